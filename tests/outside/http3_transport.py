"""aioquic as a client of QUIC: versions, Retry, sessions, certificates, changes of addresses and keys, and resets.

usage: http3_transport.py transport BINARY JUDGES    (started by scripts/outside_http3)
"""
import asyncio
import signal
import socket
import subprocess

from aioquic.tls import Epoch

from http3_backend import digest, pattern
from http3_client import configuration, connected, move, run_cases
from http3_kit import TRANSFER, Site
from judge_kit import main

# Of no protocol that there is: RFC 9000 §15 reserves versions like this to see that they are not taken.
UNKNOWN_VERSION = 0x1A2A3A4A
VERSION_1 = 1
SILENCE_S = 0.3
TOKEN_BYTES = 16
# CRYPTO_ERROR (RFC 9000 §20.1) with alerts of TLS (RFC 8446 §6).
NO_APPLICATION_PROTOCOL, CERTIFICATE_REQUIRED, UNKNOWN_CA = 0x100 + 120, 0x100 + 116, 0x100 + 48


def is_same(wanted, found):
    assert wanted == found, f"{found!r} instead of {wanted!r}"


def of_a_version(version, size):
    """A datagram of a client whose connection ids are 8 and 5 bytes."""
    head = b"\xc0" + version.to_bytes(4, "big") + b"\x08targeted" + b"\x05ours!"
    return head + bytes(size - len(head))


class Cases:
    def __init__(self, judge):
        self.judge, self.site = judge, Site(judge)

    async def download_while(self, change):
        """Whether a download is whole in which something changes three times."""
        size = TRANSFER // 2
        async with connected(self.site) as client:
            stream = client.begin("GET", f"/pattern/{size}")
            answer = client.answers[stream]
            for number in range(1, 4):
                await client.until(lambda number=number: answer.size > number * size // 5 or client.end, "some of it")
                await change(client)
            await client.finish(stream, 60)
            is_same(digest(pattern(size)), {"size": answer.size, "sha256": answer.sum.hexdigest()})
            is_same("200", (await client.ask("GET", "/")).status)

    async def a_port_that_changes_under_way(self):
        """As behind a NAT that forgets: the client knows nothing of it (RFC 9000 §9.3.3)."""
        paths = []

        async def rebind(client):
            paths.append(await move(client))

        await self.download_while(rebind)
        assert all(path.received > 10 for path in paths), [path.received for path in paths]

    async def a_client_that_moves_under_way(self):
        """With a connection id that nobody has seen (RFC 9000 §9.5)."""
        paths = []

        async def migrate(client):
            client.change_connection_id()
            paths.append(await move(client))

        await self.download_while(migrate)
        assert all(path.received > 10 for path in paths), [path.received for path in paths]

    async def keys_that_change_under_way(self):
        """RFC 9001 §6: the server answers with keys of the same phase."""

        async def update(client):
            keys = client._quic._cryptos[Epoch.ONE_RTT]
            before = keys.recv.key_phase
            client.request_key_update()
            await client.ping()
            is_same((1 - before, 1 - before), (keys.send.key_phase, keys.recv.key_phase))

        await self.download_while(update)

    async def versions_are_negotiated(self):
        settings = configuration(self.site, supported_versions=[UNKNOWN_VERSION, VERSION_1], original_version=UNKNOWN_VERSION)
        async with connected(self.site, settings=settings) as client:
            is_same((True, VERSION_1), (client._quic._version_negotiated_incompatible, client._quic._version))
            is_same("200", (await client.ask("GET", "/")).status)

    async def an_unknown_version_is_answered_with_those_that_are_known(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(SILENCE_S)
            client.connect(("127.0.0.1", self.site.port))
            client.send(of_a_version(UNKNOWN_VERSION, 1200))
            said = client.recv(2000)
            is_same((0x80, bytes(4), b"\x05ours!", b"\x08targeted"), (said[0] & 0x80, said[1:5], said[5:11], said[11:20]))
            versions = [int.from_bytes(said[at:at + 4], "big") for at in range(20, len(said), 4)]
            assert VERSION_1 in versions and UNKNOWN_VERSION not in versions, versions
            for short in (of_a_version(UNKNOWN_VERSION, 1199), of_a_version(VERSION_1, 1199), of_a_version(0, 1200)):
                client.send(short)
            try:
                raise AssertionError(f"an answer to what deserves none: {client.recv(2000)}")
            except TimeoutError:
                pass

    async def who_speaks_no_http3_is_told_so(self):
        settings = configuration(self.site)
        settings.alpn_protocols = ["h2", "smtp"]
        async with connected(self.site, settings=settings, speaks=False) as client:
            is_same(NO_APPLICATION_PROTOCOL, client.end and client.end.error_code)

    async def where_places_are_few_clients_show_their_address_first(self):
        site = Site(self.judge, "limited", listener="max_connections = 1000")
        for _ in range(3):
            async with connected(site) as client:
                is_same(1, client._quic._retry_count)
                is_same("200", (await client.ask("GET", "/")).status)
        retried = 'ringway_quic_handshakes_total{listener="web",outcome="retried"}'
        # More where a client was slow, and asked again.
        self.judge.wait_until(lambda: site.metric(retried) >= 3, "Retry is not counted")

    async def sessions_resume_without_early_data(self):
        async with connected(self.site) as client:
            await client.until(lambda: client.tickets, "a ticket")
            await client.ask("GET", "/")
            is_same(False, client.handshake.session_resumed)
            tickets = client.tickets
        for _ in range(6):
            # Whichever worker it comes to.
            settings = configuration(self.site)
            settings.session_ticket = tickets[-1]
            async with connected(self.site, settings=settings) as client:
                is_same((True, False), (client.handshake.session_resumed, client.handshake.early_data_accepted))
                is_same("200", (await client.ask("GET", "/")).status)
                await client.until(lambda: client.tickets, "another ticket")
                tickets = client.tickets
                assert not tickets[-1].max_early_data_size, tickets[-1]

    async def a_restarted_server_resets_what_it_does_not_know(self):
        """RFC 9000 §10.3: with the seed of before, the tokens are those that the client was given."""
        site = Site(self.judge, "restarted")
        async with connected(site) as client:
            is_same("200", (await client.ask("GET", "/")).status)
            site.process.send_signal(signal.SIGKILL)
            site.process.wait()
            site.start()
            token = client._quic._peer_cid.stateless_reset_token
            client.begin("POST", "/", more=[("x-long", "y" * 700)], ends=False)
            # What was sent before the end is received now, too.
            await client.until(lambda: client.datagrams and client.datagrams[-1][-TOKEN_BYTES:] == token, "a reset")
            is_same(0x40, client.datagrams[-1][0] & 0xC0)

    def require_certificates(self):
        self.judge.certify("client")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9",
                        "-subj", "/CN=stranger", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", "stranger.key", "-out", "stranger.pem"],
                       cwd=self.judge.folder, check=True, stderr=subprocess.DEVNULL)
        authorities = '[[ca]]\nname = "clients"\nbundle = "ca.pem"\n'
        authenticates = '[listener.client_auth]\nmode = "require"\nca = ["clients"]\n\n[listener.forwarded]\nclientcert_clientverify = "x-client-verify"\n'
        return Site(self.judge, "authenticating", listener=authenticates, more=authorities)

    async def certificates_of_clients(self):
        site = self.require_certificates()

        def showing(name):
            settings = configuration(site)
            if name:
                settings.load_cert_chain(site.judge.folder / f"{name}.pem", site.judge.folder / f"{name}.key")
            return settings

        settings = showing("client")
        for resumed in (False, True):
            async with connected(site, settings=settings) as client:
                is_same(b"SUCCESS", (await client.ask("GET", "/who")).body)
                is_same(resumed, client.handshake.session_resumed)
                await client.until(lambda: client.tickets, "a ticket")
                settings = showing("client")
                settings.session_ticket = client.tickets[-1]
        for name, alert in ((None, CERTIFICATE_REQUIRED), ("stranger", UNKNOWN_CA)):
            async with connected(site, settings=showing(name)) as client:
                await client.until(lambda: client.end, "the end")
                is_same(alert, client.end.error_code)


def judge_transport(judge):
    cases = Cases(judge)
    names = [name for name, value in vars(Cases).items() if asyncio.iscoroutinefunction(value) and name != "download_while"]
    asyncio.run(run_cases(judge, [getattr(cases, name) for name in names]))


if __name__ == "__main__":
    main({"transport": judge_transport})
