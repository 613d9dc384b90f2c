#!/usr/bin/env bash
# h2load counts requests that it never sent as failed when its server says GOAWAY, and connects no second time; with HTTP/1.1,
# it connects again when its server closes, and loses nothing.
#
# Seen: h2load of Debian's nghttp2-client 1.52.0. A server answers ten requests of a connection, says GOAWAY with the last of
# them and NO_ERROR, and closes in good order. Of 100 requests that h2load is to make, one after another, the server gets 10 on one
# connection and answers all of them; h2load reports "11 started, 10 done, 10 succeeded, 90 failed, 90 errored", so that even one
# that was never on the wire counts as started. The same server in HTTP/1.1, with `Connection: close` in each tenth answer: 10
# connections, 100 requests, all of them succeed.
# Expected: RFC 9113 §6.8 has GOAWAY so that a server can stop gracefully, and clients go on over another connection. The
# manual of h2load says nothing of GOAWAY.
#
# What follows for who proves by h2load that a restart loses nothing: its failures are no proof of a loss. Count answers other than
# 2xx, and what the server has received and not answered, or ask by a client that connects again, such as curl.
#
# Needs Debian 12 with apt-get, dpkg-deb and python3. Fails when what is seen changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -q nghttp2-client=1.52.0-1+deb12u3 libnghttp2-14=1.52.0-1+deb12u3 libev4 libjemalloc2 >/dev/null
for package in ./*.deb; do dpkg-deb -x "$package" root; done
libraries=$(find "$folder/root/usr/lib" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd:)
LD_LIBRARY_PATH=$libraries root/usr/bin/h2load --version
LD_LIBRARY_PATH=$libraries python3 - root/usr/bin/h2load <<'PY'
import re
import socket
import subprocess
import sys
import threading

ANSWERS_PER_CONNECTION = 10
SETTINGS, HEADERS, GOAWAY = 4, 1, 7
ACK, END_STREAM_AND_HEADERS = 1, 5


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def http2(client, counts):
    reader = client.makefile("rb")
    reader.read(24)
    client.sendall(frame(SETTINGS, 0, 0))
    answered = 0
    while len(head := reader.read(9)) == 9:
        reader.read(int.from_bytes(head[:3], "big"))
        if head[3] == SETTINGS and not head[4] & ACK:
            client.sendall(frame(SETTINGS, ACK, 0))
        if head[3] == HEADERS:
            counts["requests"] += 1
            answered += 1
            # The one byte is `:status 200`.
            client.sendall(frame(HEADERS, END_STREAM_AND_HEADERS, int.from_bytes(head[5:], "big"), b"\x88"))
            if answered == ANSWERS_PER_CONNECTION:
                client.sendall(frame(GOAWAY, 0, 0, head[5:] + bytes(4)))
                client.shutdown(socket.SHUT_WR)


def http1(client, counts):
    reader = client.makefile("rb")
    answered = 0
    while line := reader.readline():
        if line == b"\r\n":
            counts["requests"] += 1
            answered += 1
            is_last = answered == ANSWERS_PER_CONNECTION
            close = b"Connection: close\r\n" if is_last else b""
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + close + b"\r\nok")
            if is_last:
                client.shutdown(socket.SHUT_WR)
                return


def ask(serve, *words):
    counts = {"connections": 0, "requests": 0}
    listener = socket.create_server(("127.0.0.1", 0))

    def accept():
        while True:
            client, _ = listener.accept()
            counts["connections"] += 1
            threading.Thread(target=serve, args=(client, counts), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    command = [sys.argv[1], *words, "-n", "100", "-c", "1", "-m", "1", url]
    said = subprocess.run(command, capture_output=True, text=True, timeout=30).stdout
    told = re.search(r"requests: (.*)", said)[1]
    print(f"{words or ('HTTP/2',)}: {told}; the server: {counts}")
    return told, counts


told, counts = ask(http2)
assert told.startswith("100 total, 11 started, 10 done, 10 succeeded, 90 failed, 90 errored"), told
assert counts == {"connections": 1, "requests": 10}, counts
told, counts = ask(http1, "--h1")
assert told.startswith("100 total, 100 started, 100 done, 100 succeeded, 0 failed"), told
assert counts == {"connections": 10, "requests": 100}, counts
PY
