"""What judges have in common: programs, a folder, certificates, and how they say yes or no.

Prints `ok CASE`, `FAILED CASE: why` or `skipped: why`.
"""
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

repository = pathlib.Path(__file__).resolve().parents[2]
started = []


class Missing(Exception):
    """A program is not on this machine."""


class Judge:
    """One protocol: its programs, its folder, and whether it has said yes."""

    def __init__(self, protocol, binary, judges):
        self.protocol, self.binary, self.judges = protocol, binary, pathlib.Path(judges)
        self.root = self.judges / "relayed"
        # Servers that give root up have to read it.
        self.folder = pathlib.Path(tempfile.mkdtemp(dir="/tmp"))
        self.folder.chmod(0o755)
        libraries = ":".join(str(path) for path in self.root.glob("usr/lib/*-linux-gnu"))
        self.environment = {**os.environ, "LD_LIBRARY_PATH": libraries}

    def tell(self, case, wanted, found):
        verdict = f"ok {self.protocol}: {case}"
        if found != wanted:
            verdict = f"FAILED {self.protocol}: {case}: {str(found)[:300]!r} instead of {str(wanted)[:300]!r}"
        print(verdict, flush=True)

    def wait_until(self, is_so, what, seconds=20):
        end = time.monotonic() + seconds
        while not is_so():
            if time.monotonic() > end:
                raise SystemExit(f"FAILED {self.protocol}: {what}")
            time.sleep(0.02)

    def program(self, name, *more):
        """Where a program is: unpacked for judges, in folders that are named, or installed."""
        folders = [self.root / "usr/sbin", self.root / "usr/bin", *more]
        for folder in folders:
            if (pathlib.Path(folder) / name).exists():
                return str(pathlib.Path(folder) / name)
        found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
        if not found:
            raise Missing(f"{name} is missing in {self.root}; .ci/run unpacks it")
        return found

    def start(self, *command, said="servers.log", **more):
        with (self.folder / said).open("ab") as out:
            more = {"env": self.environment, "cwd": self.folder, **more}
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, **more)
        started.append(process)
        return process

    def run(self, *command, **more):
        """What a command says, and how it ended, in one text."""
        more = {"env": self.environment, "cwd": self.folder, "timeout": 60, **more}
        done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
        return done.stdout + done.stderr + (f"exit {done.returncode}" if done.returncode else "")

    def certify(self, name):
        """Makes ca.pem once, and a certificate of it for a host: NAME.pem, NAME.key."""
        common = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9"]
        if not (self.folder / "ca.pem").exists():
            subprocess.run([*common, "-subj", "/CN=judges", "-keyout", "ca.key", "-out", "ca.pem"],
                           cwd=self.folder, check=True, stderr=subprocess.DEVNULL)
        signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE"]
        subprocess.run([*common, *signed, "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
                        "-keyout", f"{name}.key", "-out", f"{name}.pem"],
                       cwd=self.folder, check=True, stderr=subprocess.DEVNULL)

    def answers(self, address, port):
        """Whether a server accepts connections."""
        with socket.socket() as probe:
            return probe.connect_ex((address, port)) == 0

    def wait_for(self, address, port):
        self.wait_until(lambda: self.answers(address, port), f"nobody listens at {address}:{port}\n{self.said('servers.log')}")

    def said(self, name):
        path = self.folder / name
        return path.read_text(errors="replace")[-2000:] if path.exists() else ""


def main(judges):
    """Runs the judge that the command line names, and ends what it has started."""
    protocol, binary, folder = sys.argv[1:]
    judge = Judge(protocol, os.path.abspath(binary), os.path.abspath(folder))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        judges[protocol](judge)
    except Missing as missing:
        print(f"skipped: {protocol}: {missing}", flush=True)
    except SystemExit as end:
        print(end.code, flush=True)
    except Exception as error:  # A judge that breaks has not said yes.
        print(f"FAILED {protocol}: {error!r}", flush=True)
        raise
    finally:
        for process in started:
            process.terminate()
        for process in started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)
            process.kill()
        if os.environ.get("RINGWAY_JUDGE_KEEPS"):
            print(f"kept: {judge.folder}")
        else:
            shutil.rmtree(judge.folder, ignore_errors=True)
