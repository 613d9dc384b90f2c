"""Clients of HTTP/3 by other people, as their users run them: ngtcp2 (its example client with GnuTLS) and curl (with BoringSSL).

usage: http3_clients.py ngtcp2|curl BINARY JUDGES    (started by scripts/outside_http3)
"""
import hashlib
import json
import os
import shutil

from http3_backend import digest, pattern
from http3_kit import TRANSFER, Site
from judge_kit import Missing, main

STREAMS = 40
SMALL = 3_000_000
UNKNOWN_VERSION = "0x1a2a3a4a"
CURLALTSVC_H1_H2_H3 = 0x38


def is_whole(path, size):
    """Whether a file has the pattern of http3_backend.py."""
    with path.open("rb") as file:
        return digest(iter(lambda: file.read(1 << 16), b"")) == digest(pattern(size))


class Ngtcp2:
    """gtlsclient, whose every run is a connection. It says little of how it went: what it saves counts, and what it logs."""

    def __init__(self, judge):
        self.judge, self.site = judge, Site(judge)
        self.program = shutil.which("gtlsclient")
        if not self.program:
            raise Missing("gtlsclient is missing: apt-get install ngtcp2-client")
        self.saved = judge.folder / "saved"
        self.saved.mkdir()

    def run(self, *options, paths=("/",)):
        """What it logs; what it saved before is gone."""
        for path in self.saved.iterdir():
            path.unlink()
        urls = [f"https://localhost{path}" for path in paths]
        return self.judge.run(self.program, "--exit-on-all-streams-close", "--no-quic-dump", "--no-http-dump", "--timeout=10s",
                              f"--download={self.saved}", *options, "localhost", str(self.site.port), *urls, env=os.environ)

    def gets(self, case, *options, size=SMALL, logs=()):
        said = self.run(*options, paths=[f"/pattern/{size}"])
        self.judge.tell(case, (True, []), (is_whole(self.saved / str(size), size), [text for text in logs if text not in said]))

    def requests(self):
        self.gets("GET", size=1000, logs=["Negotiated ALPN is h3", "closed with error code 256"])
        sizes = [1000 * number for number in range(1, STREAMS + 1)]
        self.run("-q", paths=[f"/pattern/{size}" for size in sizes])
        self.judge.tell(f"{STREAMS} streams", STREAMS, sum(is_whole(self.saved / str(size), size) for size in sizes))
        sent = self.judge.folder / "sent"
        sent.write_bytes(b"".join(pattern(SMALL)))
        self.run("-q", "-m", "POST", "-d", str(sent), paths=["/up"])
        self.judge.tell("POST", digest(pattern(SMALL)), json.loads((self.saved / "up").read_text()))
        self.gets("a download", "-q", size=TRANSFER)

    def connections(self):
        self.gets("a version that is negotiated", "-v", UNKNOWN_VERSION, "--preferred-versions=v1", logs=["Client selected version 0x1"])
        # With its log on it is slower, so that the change comes before the end.
        self.gets("keys that change under way", "--key-update=10ms", size=TRANSFER, logs=["Initiate key update", "k=1"])
        self.gets("an address that changes under way", "--change-local-addr=10ms", size=TRANSFER, logs=["Changing local address", "PATH_RESPONSE"])
        # Only what a client sends shows its new address, and this one sends nothing while it waits for a download.
        self.gets("a NAT that forgets", "--change-local-addr=100ms", "--nat-rebinding", "--delay-stream=200ms",
                  logs=["Changing local address", "PATH_CHALLENGE"])
        self.gets("one packet in twenty is lost each way", "-q", "-t", "0.05", "-r", "0.05")
        self.gets("connection ids of no bytes", "--scid=", "-q")
        for cipher in ("AES-256-GCM", "CHACHA20-POLY1305"):
            self.gets(cipher, f"--ciphers=NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+{cipher}", logs=[f"cipher suite is {cipher}"])
        self.gets("another group, by HelloRetryRequest or at once", "--groups=-GROUP-ALL:+GROUP-SECP384R1", "-q")

    def sessions(self):
        """Version 0.12.1 sends early data though the session allows none; the request is answered once nevertheless."""
        kept = [f"--session-file={self.judge.folder}/session", f"--tp-file={self.judge.folder}/parameters"]
        self.run(*kept, paths=["/first"])
        said = self.run(*kept, paths=["/early"])
        self.judge.tell("early data is refused, and sent again", True, "Early data was rejected by server" in said and (self.saved / "early").exists())
        self.run("--disable-early-data", *kept, paths=["/late"])
        log = self.judge.folder / f"{self.site.name}.access"
        seen = []

        def is_logged():
            lines = [json.loads(line) for line in log.read_text().splitlines()]
            seen[:] = sorted((line["request_uri"], line["tls_resumed"]) for line in lines if line["request_uri"] in ("/first", "/early", "/late"))
            return len(seen) >= 3

        self.judge.wait_until(is_logged, "requests are not logged")
        self.judge.tell("sessions resume", [("/early", True), ("/first", False), ("/late", True)], seen)


def judge_ngtcp2(judge):
    client = Ngtcp2(judge)
    client.requests()
    client.connections()
    client.sessions()


def judge_curl(judge):
    try:
        from curl_cffi import CurlHttpVersion, CurlOpt, requests
    except ImportError as error:
        raise Missing("curl_cffi is missing; .ci/run installs it") from error
    site = Site(judge)
    url = f"https://localhost:{site.port}"
    trust = {"verify": str(judge.folder / "ca.pem"), "timeout": 60}
    with requests.Session(http_version=CurlHttpVersion.V3ONLY, **trust) as session:

        def ask(method, path, **more):
            answer = session.request(method, url + path, **more)
            return (answer.status_code, answer.http_version == CurlHttpVersion.V3), answer

        judge.tell("GET", ((200, True), b"served"), ((found := ask("GET", "/"))[0], found[1].content))
        judge.tell("HEAD", ((200, True), "1000"), ((found := ask("HEAD", "/pattern/1000"))[0], found[1].headers["content-length"]))
        judge.tell("103 before the answer", (200, True), ask("GET", "/hints")[0])
        judge.tell("trailers", ((200, True), b"served"), ((found := ask("GET", "/trailers"))[0], found[1].content))
        down = ask("GET", f"/pattern/{TRANSFER}")[1].content
        judge.tell("a download", digest(pattern(TRANSFER))["sha256"], hashlib.sha256(down).hexdigest())
        judge.tell("an upload", digest(pattern(TRANSFER)), ask("POST", "/up", data=down)[1].json())
    known = {CurlOpt.ALTSVC: str(judge.folder / "alternatives"), CurlOpt.ALTSVC_CTRL: CURLALTSVC_H1_H2_H3}
    versions = []
    for _ in range(2):
        # What it has learned is in a file, and counts for its next connection.
        with requests.Session(http_version=CurlHttpVersion.NONE, curl_options=known, **trust) as session:
            versions.append(session.get(url).http_version)
    judge.tell("TCP first, then where Alt-Svc leads to", [CurlHttpVersion.V2_0, CurlHttpVersion.V3], versions)


if __name__ == "__main__":
    main({"ngtcp2": judge_ngtcp2, "curl": judge_curl})
