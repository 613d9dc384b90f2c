"""Chromium over HTTP/3: how it changes over from TCP, what it transfers, and what it makes of a stop.

usage: http3_browser.py chromium BINARY JUDGES    (started by scripts/outside_http3)
"""
import base64
import hashlib
import json
import shutil
import signal
import subprocess
import time

from console_browser import Browser, Failure
from http3_backend import digest, pattern
from http3_kit import TRANSFER, Site
from judge_kit import Missing, main

ROUNDS = 5


def flags(judge):
    """It speaks HTTP/3 with public certificates only. That QUIC is forced at some other port lets it trust the one of this key, too."""
    key = subprocess.run(["openssl", "x509", "-in", "localhost.pem", "-noout", "-pubkey"], cwd=judge.folder, check=True, capture_output=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=key, check=True, capture_output=True).stdout
    known = base64.b64encode(hashlib.sha256(der).digest()).decode()
    return ["--enable-quic", "--origin-to-force-quic-on=localhost:1", f"--ignore-certificate-errors-spki-list={known}",
            "--host-resolver-rules=MAP localhost 127.0.0.1"]


class Page:
    """The page of http3.html in a browser."""

    def __init__(self, judge, site):
        program = shutil.which("chromium-headless-shell") or shutil.which("chromium")
        if not program:
            raise Missing("chromium is missing: apt-get install chromium-headless-shell")
        self.judge = judge
        self.browser = Browser(program, judge.folder, flags(judge))
        # It would tell of what goes up, byte by byte.
        self.browser.send("Network.disable")
        self.browser.go(f"https://localhost:{site.port}/page/{TRANSFER}")
        self.browser.wait("typeof tests !== 'undefined'", "the page")

    def begin(self, name):
        outcome = "(found) => { told = { found }; }, (error) => { told = { error: `${error}` }; }"
        self.browser.evaluate(f"globalThis.told = null; tests.{name}().then({outcome}); 0")

    def found(self):
        told = self.browser.wait("globalThis.told", "what the page tests")
        if "error" in told:
            raise Failure(told["error"])
        return told["found"]

    def run(self, name):
        self.begin(name)
        return self.found()

    def tell(self, case, wanted, name):
        try:
            self.judge.tell(case, wanted, self.run(name))
        except Failure as failure:
            self.judge.tell(case, wanted, failure)


def judge_chromium(judge):
    site = Site(judge)
    page = Page(judge, site)
    try:
        judge_page(judge, site, page)
    finally:
        page.browser.end()


def judge_page(judge, site, page):
    page.tell("the page comes by TCP", "h2", "page")
    # It tries QUIC beside TCP, and takes it for what comes after that has worked.
    for _ in range(ROUNDS):
        counts = page.run("hundred")
        if counts == {"h3": 100}:
            break
    judge.tell("it changes over to HTTP/3", {"h3": 100}, counts)
    expected = digest(pattern(TRANSFER))
    page.tell("a download", expected["sha256"], "download")
    page.tell("an upload", expected, "upload")
    page.tell("a WebSocket beside it", "over TCP", "socket")
    page.tell("all of that by HTTP/3", {"h3": 100}, "hundred")
    log, large = judge.folder / f"{site.name}.access", (f"/pattern/{TRANSFER}", "/up")

    def protocols():
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        return [line["server_protocol"] for line in lines if line["request_uri"] in large]

    judge.wait_until(lambda: len(protocols()) == 2, "both are not logged")
    judge.tell("as the access log says", ["HTTP/3.0"] * 2, protocols())
    page.begin("slow")
    time.sleep(0.5)
    site.process.send_signal(signal.SIGTERM)
    judge.tell("a request that meets a stop is answered", "served", page.found())
    site.process.wait(timeout=20)
    site.start()
    begun = time.monotonic()
    page.tell("the next process is found", "served", "small")
    judge.tell("at once", True, time.monotonic() - begun < 5)
    judge.tell("the page has no faults", [], page.browser.faults)


if __name__ == "__main__":
    main({"chromium": judge_chromium})
