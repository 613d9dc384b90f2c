#!/usr/bin/env bash
# MariaDB in its default setting takes the health probes of a load balancer for failed logins, and refuses everybody who comes from its
# address, while probes go on to succeed.
#
# Seen: Debian's mariadb-server-core 10.11.19-0+deb12u1. A host whose address has a name connects 101 times, reads the greeting and
# closes in order, as a probe does that wants to know whether the port is open. To the next client of this address the server says
# "Host '127.0.0.9' is blocked because of many connection errors; unblock with 'mariadb-admin flush-hosts'" instead of its greeting;
# connections still come about. Probes that end with a reset, at once or after a millisecond, come to the same. One login in between sets the
# count to zero. An address without a name is not counted, and with --skip-name-resolve none is.
# Expected: the manual says of max_connect_errors that it is about "successive failed connects from a host" with the default of 100; that
# a connection which sends nothing counts as a failed one, and that hosts without a name never do, it does not say.
#
# What follows for who balances MariaDB: set skip_name_resolve on the servers, or a large max_connect_errors. A check of the port alone
# does not find a server that refuses all clients so; where logins come rarely, it is the check that makes it do so.
#
# Needs Debian 12 with apt-get, dpkg-deb, unshare and python3, and root or user namespaces. Fails when what is seen changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -q mariadb-server-core=1:10.11.19-0+deb12u1 mariadb-client-core=1:10.11.19-0+deb12u1 libmariadb3 libaio1 libnuma1 liburing2 \
  libsnappy1v5 >/dev/null 2>&1
for package in ./*.deb; do dpkg-deb -x "$package" root; done
cat >inside.py <<'PY'
import pathlib
import socket
import struct
import subprocess
import time

HOME, NAMED, NAMELESS = "127.0.0.21", "127.0.0.9", "127.0.0.8"
folder = pathlib.Path.cwd()
base = folder / "root/usr"
(folder / "hosts").write_text(f"127.0.0.1 localhost\n{NAMED} balancer\n")
subprocess.run(["mount", "--bind", "hosts", "/etc/hosts"], check=True)
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def connect(source):
    return socket.create_connection((HOME, 3306), timeout=10, source_address=(source, 0))


def greeting(source):
    with connect(source) as client:
        said = client.recv(300)
    return said[7:].decode() if said[4] == 255 else "a greeting"


def probe(source, reset=False):
    with connect(source) as client:
        client.recv(300)
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def log_in(source):
    words = ["--no-defaults", "-h", HOME, "-u", "judge", "--skip-ssl", "-N", "-e", "select 1"]
    # The client has no option for the address that it comes from; the route has.
    subprocess.run(["ip", "route", "replace", "local", "127.0.0.0/8", "dev", "lo", "table", "local", "src", source], check=True)
    return subprocess.run([base / "bin/mariadb", *words], capture_output=True, text=True, check=False).stdout.strip()


def serve(*options):
    words = ["--no-defaults", f"--datadir={folder}/data", f"--basedir={base}", f"--lc-messages-dir={base}/share/mysql", "--user=root",
             f"--bind-address={HOME}", f"--socket={folder}/socket", f"--pid-file={folder}/pid", f"--init-file={folder}/init.sql"]
    with open("log", "a") as log:
        server = subprocess.Popen([base / "sbin/mariadbd", *words, *options], stderr=log, stdout=log)
    for _ in range(300):
        try:
            connect("127.0.0.1").close()
            return server
        except OSError:
            time.sleep(0.1)
    raise SystemExit(open("log").read())


def end(server):
    server.terminate()
    server.wait(timeout=30)


subprocess.run([base / "bin/mariadb-install-db", "--no-defaults", f"--datadir={folder}/data", f"--basedir={base}", "--user=root", "--skip-test-db",
                "--auth-root-authentication-method=normal"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
(folder / "init.sql").write_text("create or replace user judge@'%';\n")
seen = {}
server = serve()
for _ in range(60):
    probe(NAMED)
seen["a login after 60 probes"] = log_in(NAMED)
for _ in range(60):
    probe(NAMED)
seen["a login after 60 more"] = log_in(NAMED)
for _ in range(101):
    probe(NAMED)
seen["after 101 probes without a login"] = greeting(NAMED)
for _ in range(150):
    probe(NAMELESS)
seen["an address without a name after 150 probes"] = greeting(NAMELESS)
end(server)
server = serve()
for _ in range(101):
    probe(NAMED, reset=True)
seen["after 101 probes that end with a reset"] = greeting(NAMED)
end(server)
server = serve("--skip-name-resolve")
for _ in range(150):
    probe(NAMED)
seen["after 150 probes, with --skip-name-resolve"] = greeting(NAMED)
end(server)
for when, what in seen.items():
    print(f"{when}: {what}")
blocked = f"Host '{NAMED}' is blocked because of many connection errors; unblock with 'mariadb-admin flush-hosts'"
assert list(seen.values()) == ["1", "1", blocked, "a greeting", blocked, "a greeting"], seen
PY
LD_LIBRARY_PATH=$(find "$folder/root/usr/lib" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
export LD_LIBRARY_PATH
root/usr/sbin/mariadbd --version
spaces=(unshare --net --mount --pid --fork --kill-child --mount-proc)
[ "$(id -u)" = 0 ] || spaces=(unshare --map-root-user "${spaces[@]:1}")
"${spaces[@]}" python3 inside.py
