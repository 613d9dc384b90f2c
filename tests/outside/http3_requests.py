"""aioquic as a client of HTTP/3: what requests and answers are like, and how a connection ends.

usage: http3_requests.py requests BINARY JUDGES    (started by scripts/outside_http3)
"""
import asyncio
import json
import signal

from http3_backend import digest, pattern
from http3_client import DATA, MAX_PUSH_ID, NO_ERROR, SETTINGS, configuration, connected, frame, run_cases, serves, varint
from http3_kit import TRANSFER, Site
from judge_kit import main

STREAMS = 100
PRIORITY_UPDATE = 0xF0700
PIECE = 1 << 18


def is_same(wanted, found):
    assert wanted == found, f"{found!r} instead of {wanted!r}"


async def upload(client, pieces, *words, **more):
    """Sends a content as the windows allow, not all of it at once into memory."""
    stream = client.begin("POST", *words, ends=False, **more)
    sender = client._quic._streams[stream].sender
    for piece in pieces:
        client.h3.send_data(stream, piece, False)
        client.transmit()
        await client.until(lambda: len(sender._buffer) < PIECE or client.end, "room to send")
    return stream


class Cases:
    def __init__(self, site):
        self.site = site

    def connect(self, **more):
        return connected(self.site, **more)

    async def settings_come_first_and_allow_no_table(self):
        async with self.connect() as client:
            await client.until(client.control_frames, "SETTINGS")
            is_same(SETTINGS, client.control_frames()[0][0])
            is_same(0, client.h3.received_settings.get(1, 0))

    async def head_has_a_length_and_no_content(self):
        # The codec of aioquic 1.7.2 takes that for a malformed answer, against RFC 9110 §8.6.
        async with self.connect(speaks=False) as client:
            client.open(0, frame(SETTINGS))
            assert (b"content-length", b"1000") in await serves(client, method="HEAD", path="/pattern/1000")

    async def get_and_post(self):
        async with self.connect() as client:
            answer = await client.ask("GET", "/")
            is_same(("200", b"served"), (answer.status, answer.body))
            assert "date" in answer.heads[0] and "connection" not in answer.heads[0], answer.heads
            stream = client.begin("POST", "/", ends=False)
            client.h3.send_data(stream, b"abc", True)
            client.transmit()
            is_same(digest([b"abc"]), json.loads((await client.finish(stream)).body))

    async def trailers_go_up_and_down(self):
        async with self.connect() as client:
            stream = client.begin("POST", "/", more=[("te", "trailers")], ends=False)
            client.h3.send_data(stream, b"abc", False)
            client.h3.send_headers(stream, [(b"x-sum", b"7")], end_stream=True)
            client.transmit()
            is_same({"x-sum": "7"}, json.loads((await client.finish(stream)).body)["trailers"])
            answer = await client.ask("GET", "/trailers", more=[("te", "trailers")])
            is_same(({"x-sum": "42"}, b"served"), (answer.heads[-1], answer.body))

    async def interim_responses_come_before_the_answer(self):
        async with self.connect() as client:
            answer = await client.ask("GET", "/hints")
            is_same(["103", "200"], [head.get(":status") for head in answer.heads])
            is_same("</style.css>; rel=preload", answer.heads[0]["link"])

    async def a_client_that_expects_100_gets_it(self):
        async with self.connect() as client:
            stream = client.begin("POST", "/", more=[("expect", "100-continue")], ends=False)
            await client.until(lambda: client.answers[stream].heads, "100")
            is_same("100", client.answers[stream].status)
            client.h3.send_data(stream, b"abc", True)
            client.transmit()
            is_same("200", (await client.finish(stream)).status)

    async def a_hundred_streams_at_once(self):
        async with self.connect() as client:
            streams = [client.begin("GET", f"/pattern/{1000 * number}") for number in range(STREAMS)]
            for number, stream in enumerate(streams):
                answer = await client.finish(stream)
                is_same(digest(pattern(1000 * number)), {"size": answer.size, "sha256": answer.sum.hexdigest()})

    async def a_large_download(self):
        async with self.connect() as client:
            answer = await client.ask("GET", f"/pattern/{TRANSFER}", seconds=90)
            is_same(digest(pattern(TRANSFER)), {"size": answer.size, "sha256": answer.sum.hexdigest()})

    async def a_large_upload(self):
        async with self.connect() as client:
            stream = await upload(client, pattern(TRANSFER), "/", more=[("content-length", str(TRANSFER))])
            client.h3.send_data(stream, b"", True)
            client.transmit()
            is_same(digest(pattern(TRANSFER)), json.loads((await client.finish(stream, 90)).body))

    async def both_at_once(self):
        size = TRANSFER // 4
        async with self.connect() as client:
            down = client.begin("GET", f"/pattern/{size}")
            up = await upload(client, pattern(size), "/")
            client.h3.send_data(up, b"", True)
            client.transmit()
            is_same(digest(pattern(size)), json.loads((await client.finish(up, 60)).body))
            is_same(size, (await client.finish(down, 60)).size)

    async def priorities_pass_and_decide(self):
        async with self.connect() as client:
            is_same(b"u=1, i", (await client.ask("GET", "/priority", more=[("priority", "u=1, i")])).body)
        # With a window that is always full, so that data of both wait.
        settings = configuration(self.site)
        settings.max_data, settings.max_stream_data = 1 << 16, 1 << 18
        async with self.connect(settings=settings) as client:
            last, first = [client.begin("GET", "/pattern/3000000", more=[("priority", "u=7")]) for _ in range(2)]
            await client.until(lambda: client.answers[last].size and client.answers[first].size, "some of both")
            client.send(client.h3._local_control_stream_id, frame(PRIORITY_UPDATE, varint(first) + b"u=0"))
            await client.finish(first)
            assert client.answers[last].size < 1_500_000, f"there are {client.answers[last].size} bytes of what is less urgent"
            await client.finish(last)

    async def what_is_unknown_is_passed_over(self):
        """Frames, streams and settings of extensions (RFC 9114 §9), and those that are reserved (§7.2.8, §6.2.3)."""
        async with self.connect(speaks=False) as client:
            grease = frame(0x21 + 0x1F * 7, b"grease")
            settings = frame(SETTINGS, varint(0x21 + 0x1F * 3) + varint(99) + varint(0x33) + varint(1))
            client.open(0, settings + grease + frame(MAX_PUSH_ID, varint(1)) + frame(MAX_PUSH_ID, varint(1)))
            client.send(client.open(0x21 + 0x1F * 5, b"grease"), b"", True)
            await serves(client, [grease, frame(0xF0F0F0), frame(DATA), grease])

    async def a_cancelled_request_ends_alone(self):
        async with self.connect() as client:
            stream = client.begin("GET", f"/pattern/{10 * TRANSFER}")
            await client.until(lambda: client.answers[stream].size, "some of it")
            client._quic.stop_stream(stream, 0x10C)
            client.transmit()
            await client.until(lambda: stream in client.resets, "a reset")
            is_same(0x10C, client.resets[stream])
            is_same("200", (await client.ask("GET", "/")).status)

    async def a_stop_finishes_what_was_begun_and_says_goodbye(self):
        """Ends the process: the last case. RFC 9114 §5.2: two GOAWAY, then CONNECTION_CLOSE with H3_NO_ERROR."""
        async with self.connect() as client, self.connect() as idle:
            await idle.ask("GET", "/")
            slow = [client.begin("GET", "/slow/2000"), client.begin("GET", f"/pattern/{TRANSFER // 4}")]
            await client.until(lambda: client.answers[slow[1]].size, "some of it")
            self.site.process.send_signal(signal.SIGTERM)
            await client.until(client.goaways, "GOAWAY")
            is_same([], [client.answers[slow[0]].status] if client.answers[slow[0]].ended else [])
            for stream in slow:
                is_same("200", (await client.finish(stream)).status)
            is_same(TRANSFER // 4, client.answers[slow[1]].size)
            for one in (client, idle):
                await one.until(lambda one=one: one.end, "CONNECTION_CLOSE")
                is_same((NO_ERROR, None), (one.end.error_code, one.end.frame_type))
            numbers = client.goaways()
            assert numbers == sorted(numbers, reverse=True) and numbers[-1] > slow[-1] and numbers[-1] <= slow[-1] + 8, numbers
            is_same(0, self.site.process.wait(timeout=10))


def judge_requests(judge):
    cases = Cases(Site(judge))
    asyncio.run(run_cases(judge, [getattr(cases, name) for name in vars(Cases) if "_" in name and not name.startswith("_")]))


if __name__ == "__main__":
    main({"requests": judge_requests})
