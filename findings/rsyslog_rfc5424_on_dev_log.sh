#!/usr/bin/env bash
# Programs that write to /dev/log by RFC 5424 lose their name, and everything else of the header, in rsyslog.
#
# Seen: Debian's rsyslog 8.2302.0-1+deb12u2, whose module imuxsock reads /dev/log. In its default setting it reads a
# message of RFC 5424, `<190>1 TIME HOST ringway 42 access - hello`, as one of a program called `1`; host, name, process and
# kind of message stand in the text. With UseSpecialParser="off" the very same bytes are read as they are meant, as they
# are by imudp always. The short form that syslog(3) of the C library writes is read well, but with a time of RFC 3339 in it,
# which has microseconds and the year, the name of the program is lost as well.
# Expected: RFC 5424 §6.2.2 gives messages a version so that receivers can tell its format from the older one. rsyslog's
# page of imuxsock says only that, unless UseSpecialParser is off, the form that syslog(3) writes is parsed; what becomes of
# others it does not say (rsyslog/rsyslog#4749 asks).
#
# What follows for a program that logs to /dev/log: write the short form with a time as `Nov 29 17:00:00`, and RFC 5424
# only to sockets of which it is said that they speak it.
#
# Needs Debian 12 with apt-get, dpkg-deb and python3. Fails when what is seen changes.
set -euo pipefail
folder=$(mktemp -d)
daemon=
trap '[ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -q rsyslog=8.2302.0-1+deb12u2 libestr0 libfastjson4 >/dev/null
for package in ./*.deb; do dpkg-deb -x "$package" root; done
modules=$(dirname "$(find root -name imuxsock.so)")
cat >rsyslog.conf <<CONF
global(workDirectory="$folder")
module(load="imuxsock" SysSock.Use="off")
template(name="parts" type="string" string="%app-name%|%procid%|%msgid%|%msg%\n")
ruleset(name="usual") { action(type="omfile" file="$folder/usual.log" template="parts") }
ruleset(name="plain") { action(type="omfile" file="$folder/plain.log" template="parts") }
input(type="imuxsock" Socket="$folder/usual" ruleset="usual")
input(type="imuxsock" Socket="$folder/plain" ruleset="plain" UseSpecialParser="off")
CONF
LD_LIBRARY_PATH=$(dirname "$(find "$folder/root" -name 'libfastjson.so.4')") \
  root/usr/sbin/rsyslogd -n -f rsyslog.conf -M "$folder/$modules" -i "$folder/pid" &
daemon=$!
python3 - <<'PY'
import os
import socket
import time

FULL = "<190>1 2026-11-29T17:00:00.123456Z edge-1 ringway 42 access - hello"
SHORT = "<190>Nov 29 17:00:00 ringway[42]: hello"
EXACT = "<190>2026-11-29T17:00:00.123456Z ringway[42]: hello"


def send(where, text):
    end = time.monotonic() + 10
    while True:
        try:
            sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            sender.connect(where)
            return sender.send(text.encode())
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def read(where, count):
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if os.path.exists(where) and open(where).read().count("\n") >= count:
            break
        time.sleep(0.05)
    return open(where).read().splitlines()


for text in [FULL, SHORT, EXACT]:
    send("usual", text)
send("plain", FULL)
usual, plain = read("usual.log", 3), read("plain.log", 1)
print("\n".join(["usual:"] + usual + ["UseSpecialParser=off:"] + plain))
assert plain == ["ringway|42|access|hello"], plain
assert usual[0].startswith("1|") and "ringway 42 access - hello" in usual[0], usual[0]
assert usual[1] == "ringway|42|-| hello", usual[1]
assert usual[2].startswith("-|"), usual[2]
PY
