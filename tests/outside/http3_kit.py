"""A Ringway with HTTP/3 in front of a backend, for judges of that: started by scripts/outside_http3, on ports of the kernel's choice."""
import os
import re
import socket
import subprocess
import sys
import urllib.request

from judge_kit import repository, started

# What goes down and up in one piece, in bytes; larger where there is time.
TRANSFER = int(os.environ.get("RINGWAY_JUDGE_TRANSFER", 20_000_000))


def is_free(kind, port):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, kind == socket.SOCK_STREAM)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class Site:
    """Two workers, a listener for https with HTTP/3 and a certificate for localhost, and a backend as in http3_backend.py."""

    def __init__(self, judge, name="site", listener="", more=""):
        self.judge, self.name, self.log = judge, name, judge.folder / f"{name}.log"
        self.port = 0
        if not (judge.folder / "localhost.pem").exists():
            judge.certify("localhost")
            (judge.folder / "seed").write_bytes(os.urandom(32))
            (judge.folder / "seed").chmod(0o600)
        self.backend = self.begin_backend()
        self.configuration = f"""config_version = 1

[process]
workers = 2
pin = false
ticket_seed_file = "seed"

[access_log]
path = "{judge.folder}/{name}.access"

[admin]
address = "127.0.0.1:0"

[[certificate]]
name = "site"
chain = "localhost.pem"
key = "localhost.key"

[[listener]]
name = "web"
address = "127.0.0.1:{{port}}"
protocol = "https"
http3 = true
certificates = ["site"]
default_group = "app"
{listener}

{more}

[[server_group]]
name = "app"

[[server_group.backend]]
address = "127.0.0.1:{self.backend}"
"""
        self.start()

    def begin_backend(self):
        program = [sys.executable, str(repository / "tests/outside/http3_backend.py")]
        backend = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
        started.append(backend)
        return int(backend.stdout.readline())

    def start(self):
        """Begins with an empty log, and ends when it listens: at the port of before, if there was one."""
        path = self.judge.folder / f"{self.name}.toml"
        # A process that was killed may hold its sockets for a moment more, by way of io_uring.
        self.judge.wait_until(lambda: all(is_free(kind, self.port) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)), "the port is not free")
        path.write_text(self.configuration.replace("{port}", str(self.port)))
        self.log.write_bytes(b"")
        self.process = self.judge.start(self.judge.binary, "run", "-c", str(path), said=self.log.name)
        self.judge.wait_until(lambda: self.said("quic") or self.process.poll() is not None, "Ringway does not come up")
        if self.process.poll() is not None:
            raise SystemExit(f"FAILED {self.judge.protocol}: Ringway has ended\n{self.log.read_text()}")
        self.port = int(self.said("quic")[1].rsplit(":", 1)[1])
        self.judge.wait_until(lambda: self.said("https"), "nothing listens over TCP")

    def said(self, scheme):
        return re.search(rf"listening on {scheme}://(\S+) \(", self.log.read_text())

    def metric(self, start):
        """The sum of all series whose line begins so."""
        address = re.search(r"metrics on (http://\S+/metrics)", self.log.read_text())[1]
        with urllib.request.urlopen(address, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(start))
