"""Lets the validation suite of W3C Trace Context judge what a backend gets.

The suite asks a service that calls back; a proxy does not, so that here each request of the suite goes through Ringway to
a backend that shows its head.

Usage: trace_context_suite.py SUITE echo PORTFILE    the backend; writes its port
       trace_context_suite.py SUITE judge RINGWAY    SUITE is the folder test/ of github.com/w3c/trace-context
"""

import contextlib
import os
import socket
import sys
import threading
import types
import unittest

PATIENCE = 10


def read_head(stream, received=b""):
    """Bytes up to an empty line, and those behind it."""
    while b"\r\n\r\n" not in received:
        piece = stream.recv(65536)
        if not piece:
            return None, b""
        received += piece
    head, _, rest = received.partition(b"\r\n\r\n")
    return head, rest


def show_heads(stream):
    head, rest = read_head(stream)
    while head is not None:
        stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(head), head))
        head, rest = read_head(stream, rest)


def echo(port_file):
    listener = socket.create_server(("127.0.0.1", 0))
    with open(port_file + ".part", "w") as out:
        out.write(f"{listener.getsockname()[1]}\n")
    os.rename(port_file + ".part", port_file)
    while True:
        stream, _ = listener.accept()
        threading.Thread(target=show_heads, args=(stream,), daemon=True).start()


def passed_on(ringway, headers):
    """The fields that a backend gets of a request with these."""
    host, port = ringway.rsplit(":", 1)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    with socket.create_connection((host, int(port)), PATIENCE) as stream:
        stream.sendall(f"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n".encode("latin-1"))
        head, shown = read_head(stream)
        while piece := stream.recv(65536):
            shown += piece
    if not head.startswith(b"HTTP/1.1 200"):
        raise AssertionError(head.decode("latin-1"))
    return [tuple(line.split(": ", 1)) for line in shown.decode("latin-1").split("\r\n") if ": " in line]


def judge(folder, ringway, level):
    # What the suite talks to services with is not needed, and it needs packages.
    for name in ["client", "server"]:
        stub = types.ModuleType(name)
        stub.TestClient = stub.TestServer = object
        sys.modules[name] = stub
    sys.path.insert(0, folder)
    os.environ.update(SERVICE_ENDPOINT=ringway, SPEC_LEVEL=level, STRICT_LEVEL="2")
    # It says its levels, which are known.
    with contextlib.redirect_stdout(sys.stderr):
        import test as suite

    suite.setUpModule = suite.tearDownModule = lambda: None
    suite.TestBase.make_request = lambda _, headers, count=1: [
        {"headers": passed_on(ringway, headers)} for _ in range(count)
    ]
    outcome = unittest.TextTestRunner(stream=sys.stderr).run(unittest.defaultTestLoader.loadTestsFromModule(suite))
    count = outcome.testsRun - len(outcome.skipped)
    for case, why in outcome.failures + outcome.errors:
        print(f"FAILED W3C Trace Context level {level}: {case}: {why.strip().splitlines()[-1]}")
    if outcome.wasSuccessful() and count >= 40:
        print(f"ok W3C Trace Context level {level}: {count} cases")


if __name__ == "__main__":
    if sys.argv[2] == "echo":
        echo(sys.argv[3])
    else:
        judge(sys.argv[1], sys.argv[3], sys.argv[4])
