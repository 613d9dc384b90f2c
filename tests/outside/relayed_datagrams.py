"""Judges of datagrams: DNS, QUIC, floods of clients and sockets of systemd, with programs of other people.

usage: relayed_datagrams.py dns|views|quic|flood|activation BINARY JUDGES    (started by scripts/relayed)
"""
import asyncio
import hashlib
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import threading
import time

from judge_kit import Missing, main, started
from relayed_kit import Ringway, recipe

CLIENTS = 100_000
# What a listener of the flood lets in, and how many clients are there before.
SESSIONS, REGULARS = 2000, 50


def start_named(judge, number):
    """BIND with one zone: `a` is small, `half` needs fragments, `whole` is more than fits into a datagram of 4096 bytes."""
    texts = {"half": 13, "whole": 30}
    records = "".join(f'{name} TXT "{index:04} {"x" * 220}"\n' for name, count in texts.items() for index in range(count))
    (judge.folder / f"zone{number}").write_text(f'$TTL 60\n@ SOA ns root 1 60 60 60 60\n@ NS ns\nns A 127.0.0.11\na A 192.0.2.1\nwho TXT "{number}"\n{records}')
    configuration = judge.folder / f"named{number}.conf"
    configuration.write_text(f"""
options {{
  directory "{judge.folder}"; pid-file none; session-keyfile none; listen-on-v6 {{ none; }}; listen-on {{ 127.0.0.{number}; }};
  recursion no; dnssec-validation no; max-udp-size 4096; edns-udp-size 4096; minimal-responses yes;
}};
controls {{ }};
zone "judge.test" {{ type primary; file "zone{number}"; }};
""")
    # BIND listens at addresses that interfaces have, not at all of 127.0.0.0/8.
    subprocess.run(["ip", "address", "add", f"127.0.0.{number}/32", "dev", "lo"], check=True)
    named = judge.start(judge.program("named"), "-4", "-g", "-n", "2", "-c", str(configuration))
    judge.wait_for(f"127.0.0.{number}", 53)
    return named


def fragments():
    """How many datagrams this network has put together of fragments."""
    names, values = [line.split() for line in pathlib.Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Ip:")]
    return int(values[names.index("ReasmOKs")])


def judge_dns(judge):
    dig, dnsperf = judge.program("dig"), judge.program("dnsperf")
    # As wide as an Ethernet, so that large answers need fragments.
    subprocess.run(["ip", "link", "set", "lo", "mtu", "1500"], check=True)
    first = start_named(judge, 11)
    start_named(judge, 12)
    by_udp = recipe("udp", "dns") + "\n[server_group.passive_check]\nconsecutive_failures = 1\n"
    ringway = Ringway(judge, by_udp + recipe("udp", "dns-tcp").removeprefix("config_version = 1\n"))
    ringway.is_healthy(4)

    def ask(*words):
        return judge.run(dig, "@127.0.0.1", "-p", "5300", "+tries=1", "+time=3", *words)

    judge.tell("dig", "192.0.2.1\n", ask("+short", "a.judge.test"))
    judge.tell("dig by TCP", "192.0.2.1\n", ask("+short", "+tcp", "a.judge.test"))
    before = fragments()
    said = ask("+bufsize=4096", "half.judge.test", "TXT")
    judge.tell("an answer in fragments, by EDNS", (13, False), (said.count("xxxx\""), "Truncated" in said))
    judge.tell("fragments of the server and of Ringway", True, fragments() - before >= 2)
    said = ask("+bufsize=1232", "whole.judge.test", "TXT")
    judge.tell("an answer cut off, and asked for again by TCP", (30, True), (said.count("xxxx\""), "Truncated, retrying in TCP mode" in said))
    judge.tell("a transfer of the zone", 2, ask("judge.test", "AXFR").count("SOA"))
    ids = [ask("+short", "who.judge.test", "TXT").strip() for _ in range(20)]
    # Each worker goes round by itself.
    shares = [ids.count(f'"{number}"') for number in (11, 12)]
    judge.tell("questions go to both servers", (True, 20), (min(shares) >= 5, sum(shares)))

    (judge.folder / "questions").write_text("a.judge.test A\nhalf.judge.test TXT\nns.judge.test A\nnone.judge.test A\n")
    for transport in ("udp", "tcp"):
        said = judge.run(dnsperf, "-m", transport, "-s", "127.0.0.1", "-p", "5300", "-d", "questions", "-e", "-c", "20", "-n", "1500", "-q", "50")
        counted = re.findall(r"Queries (?:sent|completed|lost):\s+(\d+)", said)
        judge.tell(f"dnsperf by {transport}", ["6000", "6000", "0"], counted or said)
    # Each question was a session that ended with its answer.
    judge.wait_until(lambda: ringway.metric('ringway_connections{listener="dns"') == 0, "sessions do not end with their answer")
    sent = ringway.metric('ringway_datagrams_total{listener="dns",direction="sent"')
    judge.tell("answers are counted", True, sent > 6000)

    first.kill()
    first.wait()
    answered = [ask("+short", "+tries=3", "+time=1", "a.judge.test") for _ in range(8)]
    judge.tell("a server is gone, and clients that ask again are answered", 8, sum(said.endswith("192.0.2.1\n") for said in answered))
    # The first failure is the last: nobody else meets it.
    judge.tell("one question met it", 1, sum(said.count("timed out") for said in answered))


def judge_views(judge):
    """Unbound, which looks at the address of the client in the PROXY header before each datagram."""
    unbound, dig = judge.program("unbound"), judge.program("dig")
    (judge.folder / "unbound.conf").write_text(f"""
server:
  directory: "{judge.folder}"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  module-config: "iterator"
  interface: 127.0.0.11@5353
  proxy-protocol-port: 5353
  access-control: 127.0.0.0/8 allow
  access-control: 127.0.0.77/32 refuse
  local-zone: "." static
  local-data: "a.judge.test. A 192.0.2.1"
""")
    judge.start(unbound, "-d", "-c", "unbound.conf")
    ringway = Ringway(judge, recipe("udp", "dns-views"))
    # A probe stands behind a header that speaks for nobody.
    ringway.is_healthy(1)

    def status(client):
        said = judge.run(dig, "-b", client, "@127.0.0.1", "-p", "5300", "+tries=1", "+time=3", "a.judge.test")
        return re.findall(r"status: (\w+)", said)

    judge.tell("a client that may ask", ["NOERROR"], status("127.0.0.76"))
    judge.tell("one that may not, by its own address", ["REFUSED"], status("127.0.0.77"))


def start_caddy(judge):
    judge.certify("shop.example.com")
    content = os.urandom(8 << 20)
    (judge.folder / "content").write_bytes(content)
    (judge.folder / "Caddyfile").write_text(f"""
{{
  admin off
  auto_https disable_redirects
  default_bind 127.0.0.61
}}
https://shop.example.com {{
  tls {judge.folder}/shop.example.com.pem {judge.folder}/shop.example.com.key
  root * {judge.folder}
  file_server
}}
""")
    environment = {**judge.environment, "HOME": str(judge.folder), "XDG_DATA_HOME": str(judge.folder), "XDG_CONFIG_HOME": str(judge.folder)}
    judge.start(judge.program("caddy"), "run", "--config", "Caddyfile", "--adapter", "caddyfile", env=environment)
    judge.wait_for("127.0.0.61", 443)
    return hashlib.sha256(content).hexdigest()


async def fetch(judge, path, halfway=None):
    """The status of a page by HTTP/3, and the hash of its content. `halfway` is set when 1 MiB has come."""
    from aioquic.asyncio.client import connect
    from aioquic.asyncio.protocol import QuicConnectionProtocol
    from aioquic.h3.connection import H3Connection
    from aioquic.h3.events import DataReceived, HeadersReceived
    from aioquic.quic.configuration import QuicConfiguration

    class Client(QuicConnectionProtocol):
        def __init__(self, *given, **named):
            super().__init__(*given, **named)
            self.http, self.content, self.came = H3Connection(self._quic), hashlib.sha256(), 0
            self.status, self.ended = None, asyncio.get_running_loop().create_future()

        def quic_event_received(self, event):
            for said in self.http.handle_event(event):
                if isinstance(said, HeadersReceived):
                    self.status = dict(said.headers)[b":status"].decode()
                if isinstance(said, DataReceived):
                    self.content.update(said.data)
                    self.came += len(said.data)
                if halfway and self.came > 1 << 20:
                    halfway.set()
                if said.stream_ended and not self.ended.done():
                    self.ended.set_result((self.status, self.content.hexdigest()))

        def connection_lost(self, error):
            if not self.ended.done():
                self.ended.set_exception(error or ConnectionError("the connection ended"))

    configuration = QuicConfiguration(is_client=True, alpn_protocols=["h3"], server_name="shop.example.com")
    configuration.load_verify_locations(str(judge.folder / "ca.pem"))
    async with connect("127.0.0.1", 443, configuration=configuration, create_protocol=Client, local_port=0) as client:
        stream = client._quic.get_next_available_stream_id()
        head = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"shop.example.com"), (b":path", path)]
        client.http.send_headers(stream, head, end_stream=True)
        client.transmit()
        return await asyncio.wait_for(client.ended, 40)


def judge_quic(judge):
    try:
        import aioquic  # noqa: F401
    except ImportError as error:
        raise Missing("aioquic is missing; .ci/run installs it") from error
    wanted = ("200", start_caddy(judge))
    ringway = Ringway(judge, recipe("udp", "quic"))

    async def several(count):
        return await asyncio.gather(*[fetch(judge, b"/content") for _ in range(count)])

    judge.tell("two clients at once by HTTP/3", [wanted] * 2, asyncio.run(several(2)))
    judge.tell("a session for each", 2.0, ringway.metric('ringway_connections{listener="quic"'))
    curl = ["curl", "-sS", "-D-", "-o", "/dev/null", "--cacert", "ca.pem", "--connect-to", "shop.example.com:443:127.0.0.1:443"]
    said = judge.run(*curl, "https://shop.example.com/content", env=None)
    judge.tell("by TCP a client is told of it", (True, True), ("HTTP/2 200" in said, 'alt-svc: h3=":443"' in said))

    async def meanwhile(change):
        halfway = asyncio.Event()
        fetched = asyncio.create_task(fetch(judge, b"/content", halfway))
        await halfway.wait()
        said = await asyncio.to_thread(change)
        is_under_way = not fetched.done()
        return said.split(":")[0].split(" ")[0].strip(), is_under_way, await fetched

    judge.tell("a download goes on over a reload", ("reloaded", True, wanted), asyncio.run(meanwhile(ringway.reload)))
    # The successor's session has another port towards the server, which follows (RFC 9000, section 9).
    judge.tell("a download goes on over an upgrade", ("upgraded", True, wanted), asyncio.run(meanwhile(ringway.upgrade)))


class Echo(threading.Thread):
    """Answers each datagram with itself."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(address)

    def run(self):
        while True:
            data, sender = self.socket.recvfrom(2048)
            self.socket.sendto(data, sender)


def ask_all(clients, text):
    """How many of these clients are answered with what they have sent."""
    for client in clients:
        client.send(text)
    answered = 0
    for client in clients:
        try:
            answered += client.recv(2048) == text
        except OSError:
            pass
    return answered


def from_address(number):
    """A client of an address of its own: 127.1.0.0 and so on, with a port that the kernel chooses."""
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.bind((f"127.{1 + (number >> 16)}.{number >> 8 & 255}.{number & 255}", 0))
    client.settimeout(2)
    client.connect(("127.0.0.1", 5300))
    return client


def memory(process):
    """Resident memory in MiB."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def judge_flood(judge):
    Echo(("127.0.0.11", 53)).start()
    Echo(("127.0.0.12", 53)).start()
    text = recipe("udp", "dns").replace("requests = 1\nresponses = 1\n", f'max_connections = {SESSIONS}\nidle_timeout = "5s"\n')
    ringway = Ringway(judge, text)
    ringway.is_healthy(2)
    regulars = [from_address(200_000 + number) for number in range(REGULARS)]
    judge.tell("clients before the flood", REGULARS, ask_all(regulars, b"before"))
    before, answered, rounds, sessions = memory(ringway.process), 0, 0, []
    for number in range(CLIENTS):
        with from_address(number) as client:
            client.send(b"one of many")
        if number % 10_000 == 9_999:
            answered += ask_all(regulars, b"%d" % number)
            rounds += 1
            sessions.append(ringway.metric('ringway_connections{listener="dns"'))
    judge.tell(f"they are answered within a flood of {CLIENTS} clients", REGULARS * rounds, answered)
    judge.tell("there are as many sessions as may be", SESSIONS, int(max(sessions)))
    lost = ringway.metric('ringway_datagrams_dropped_total{listener="dns",reason="session_limit"')
    overrun = ringway.metric('ringway_datagrams_dropped_total{listener="dns",reason="receive_queue_full"')
    received = ringway.metric('ringway_datagrams_total{listener="dns",direction="received"')
    grown = memory(ringway.process) - before
    print(f"flood: {lost:.0f} lost at the limit of sessions, {overrun:.0f} in full queues, {received:.0f} received, {grown:.1f} MiB more", flush=True)
    accepted = ringway.metric('ringway_connections_accepted_total{listener="dns"')
    judge.tell("whoever has no session is counted as lost", CLIENTS + REGULARS, int(accepted + lost + overrun))
    judge.tell("every datagram is counted", CLIENTS + REGULARS * (rounds + 1), int(received + overrun))
    judge.tell("memory is bounded: at most 16 KiB for each session", True, grown < SESSIONS * 16 / 1024)
    time.sleep(6)
    judge.tell("when sessions are silent, new clients get in", 20, ask_all([from_address(300_000 + number) for number in range(20)], b"after"))


def judge_activation(judge):
    activate = shutil.which("systemd-socket-activate")
    if not activate:
        raise Missing("systemd-socket-activate is missing: apt-get install systemd")
    Echo(("127.0.0.11", 53)).start()
    Echo(("127.0.0.12", 53)).start()
    text = recipe("udp", "dns")
    # It starts the program with the first datagram, which waits in the socket.
    first = from_address(1)
    first.settimeout(20)
    listening = f"{activate} --datagram --listen=127.0.0.1:5300".split()
    sender = threading.Timer(0.5, lambda: first.send(b"first"))
    sender.start()
    ringway = Ringway(judge, text, before=listening)
    judge.tell("the datagram that started Ringway is answered", b"first", first.recv(100))
    clients = [from_address(10 + number) for number in range(100)]
    judge.tell("so are others", 100, ask_all(clients, b"more"))
    sockets = judge.run("ss", "-Hulnp", "sport = :5300")
    judge.tell("on the socket of systemd alone", 1, len(sockets.splitlines()))
    judge.tell("a reload", True, "reloaded" in ringway.reload())
    judge.tell("others after a reload", 100, ask_all(clients, b"again"))


if __name__ == "__main__":
    main({"dns": judge_dns, "views": judge_views, "quic": judge_quic, "flood": judge_flood, "activation": judge_activation})
