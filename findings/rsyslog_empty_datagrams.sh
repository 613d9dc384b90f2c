#!/usr/bin/env bash
# A probe of an rsyslog over UDP leaves a line in the log unless it is an empty datagram: one line feed is a message.
#
# Seen: Debian's rsyslog 8.2302.0-1+deb12u2, module imudp. A datagram of no bytes leaves nothing. One of a line feed alone
# leaves a line without text, and so does `<0>`, a priority without a message, which counts as one of the kernel's emergencies.
# Expected: that what has no text is treated alike. RFC 5426 §3.1 asks for one message in each datagram, and RFC 5424 §6
# knows none without a header.
#
# What follows for who probes syslog servers by UDP: send empty datagrams, and take the absence of an ICMP error for an
# answer; any other probe writes a line for each backend and interval into somebody's log.
#
# Needs Debian 12 with apt-get, dpkg-deb and python3. Fails when what is seen changes.
set -euo pipefail
folder=$(mktemp -d)
daemon=
trap '[ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -q rsyslog=8.2302.0-1+deb12u2 libestr0 libfastjson4 >/dev/null
for package in ./*.deb; do dpkg-deb -x "$package" root; done
modules=$(dirname "$(find root -name imudp.so)")
port=$(python3 -c 'import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >rsyslog.conf <<CONF
global(workDirectory="$folder")
module(load="imudp")
template(name="parts" type="string" string="%syslogseverity%|%msg%|\n")
ruleset(name="all") { action(type="omfile" file="$folder/all.log" template="parts") }
input(type="imudp" address="127.0.0.1" port="$port" ruleset="all")
CONF
LD_LIBRARY_PATH=$(dirname "$(find "$folder/root" -name 'libfastjson.so.4')") \
  root/usr/sbin/rsyslogd -n -f rsyslog.conf -M "$folder/$modules" -i "$folder/pid" &
daemon=$!
python3 - "$port" <<'PY'
import pathlib
import socket
import sys
import time

port = int(sys.argv[1])
log = pathlib.Path("all.log")


def lines_after(datagram):
    """The lines that a datagram leaves, in front of that of one behind it."""
    known = len(log.read_text().splitlines()) if log.exists() else 0
    sender = socket.socket(type=socket.SOCK_DGRAM)
    sender.connect(("127.0.0.1", port))
    end = time.monotonic() + 10
    sender.send(datagram)
    while time.monotonic() < end:
        sender.send(b"<14>Nov 29 17:00:00 host behind: it")
        time.sleep(0.2)
        lines = log.read_text().splitlines()[known:] if log.exists() else []
        if any("it" in line for line in lines):
            return [line for line in lines if "it" not in line]
    raise SystemExit("rsyslog writes nothing")


# It takes a while to listen; a refused datagram is an error of the next send.
end = time.monotonic() + 10
while True:
    try:
        lines_after(b"<14>Nov 29 17:00:00 host first: begins")
        break
    except OSError:
        if time.monotonic() > end:
            raise
        time.sleep(0.1)
seen = {name: lines_after(datagram) for name, datagram in [("empty", b""), ("line feed", b"\n"), ("<0>", b"<0>")]}
for name, lines in seen.items():
    print(f"{name}: {lines}")
assert seen["empty"] == [], seen
assert len(seen["line feed"]) == 1 and len(seen["<0>"]) == 1, seen
assert seen["<0>"][0].startswith("0|"), seen
PY
