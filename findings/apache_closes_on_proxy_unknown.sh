#!/usr/bin/env bash
# Apache closes each connection that begins with the shortest header of the PROXY protocol, the line `PROXY UNKNOWN`, and goes on
# where addresses stand behind UNKNOWN, which say nothing.
#
# Seen: mod_remoteip of Debian's apache2-bin 2.4.71 with `RemoteIPProxyProtocol On`. `PROXY UNKNOWN\r\n` and a GET, in one send or
# with a pause in between: the connection ends without an answer, and the error log says "AH03513: RemoteIPProxyProtocol: internal
# error: have data left over; need=15". `PROXY UNKNOWN 192.0.2.1 127.0.0.1 50000 80\r\n`, a line with `TCP4`, and LOCAL of
# version 2, each with the same GET in one send: 200.
# Expected: `PROXY UNKNOWN\r\n` is a whole header; who sends it is asked to be served with the addresses of the connection
# (PROXY protocol, section 2.1: 15 bytes are the shortest line).
#
# What follows for who probes servers by version 1: name the two ends of the probe's own connection instead of UNKNOWN; with the
# short line every probe of an Apache fails, and a load balancer takes it out of service.
#
# Needs Debian 12 with apt-get, dpkg-deb and python3. Fails when what is seen changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -q apache2-bin=2.4.71-1~deb12u1 libapr1 libaprutil1 libaprutil1-ldap libaprutil1-dbd-sqlite3 \
  libjansson4 liblua5.3-0 libldap-2.5-0 libsasl2-2 >/dev/null 2>&1
for package in ./*.deb; do dpkg-deb -x "$package" root; done
libraries=$(find "$folder/root/usr/lib" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
export LD_LIBRARY_PATH=$libraries
root/usr/sbin/apache2 -v | head -1
python3 - "$folder" <<'PY'
import pathlib
import socket
import subprocess
import sys
import time

folder = pathlib.Path(sys.argv[1])
modules = folder / "root/usr/lib/apache2/modules"
with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
pages = folder / "pages"
pages.mkdir()
(pages / "page").write_text("hello\n")
configuration = folder / "apache.conf"
configuration.write_text(
    f"""
ServerRoot "{folder}"
ServerName localhost
Listen 127.0.0.1:{port}
PidFile "{folder}/pid"
Mutex posixsem
ErrorLog "{folder}/error.log"
LogLevel warn
User nobody
Group nogroup
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule remoteip_module {modules}/mod_remoteip.so
RemoteIPProxyProtocol On
DocumentRoot "{pages}"
"""
)
folder.chmod(0o755)
server = subprocess.Popen([folder / "root/usr/sbin/apache2", "-X", "-f", configuration])
REQUEST = b"GET /page HTTP/1.0\r\nHost: localhost\r\n\r\n"
UNKNOWN = b"PROXY UNKNOWN\r\n"
UNKNOWN_WITH_ADDRESSES = b"PROXY UNKNOWN 192.0.2.1 127.0.0.1 50000 80\r\n"
WITH_ADDRESSES = b"PROXY TCP4 192.0.2.1 127.0.0.1 50000 80\r\n"
LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"


def ask(*sends):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for index, bytes_ in enumerate(sends):
            if index:
                time.sleep(0.3)
            client.sendall(bytes_)
        try:
            answer = client.makefile("rb").read()
        except ConnectionResetError:
            answer = b""
    return answer.split(b"\r\n")[0].decode()


try:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            time.sleep(0.1)
    seen = {
        "UNKNOWN and the request in one send": ask(UNKNOWN + REQUEST),
        "UNKNOWN, then the request": ask(UNKNOWN, REQUEST),
        "UNKNOWN with addresses and the request in one send": ask(UNKNOWN_WITH_ADDRESSES + REQUEST),
        "addresses and the request in one send": ask(WITH_ADDRESSES + REQUEST),
        "LOCAL of version 2 and the request in one send": ask(LOCAL + REQUEST),
    }
    complaint = "AH03513" in (folder / "error.log").read_text()
finally:
    server.terminate()
    server.wait(timeout=10)
for how, answer in seen.items():
    print(f"{how}: {answer or 'closed without an answer'}")
print(f"the error log has AH03513: {complaint}")
assert list(seen.values()) == ["", "", *["HTTP/1.1 200 OK"] * 3], seen
assert complaint
PY
