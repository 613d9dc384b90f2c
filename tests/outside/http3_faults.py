"""aioquic as a client that breaks the rules of HTTP/3, with the error that RFC 9114, RFC 9204 and RFC 9218 want for each.

usage: http3_faults.py faults BINARY JUDGES    (started by scripts/outside_http3)
"""
import asyncio

from http3_client import CANCEL_PUSH, CONTROL, DATA, DECODER, ENCODER, GOAWAY, HEADERS, MAX_PUSH_ID, PUSH, PUSH_PROMISE, SETTINGS
from http3_client import connected, fields, frame, request_fields, serves, varint
from http3_kit import Site
from judge_kit import main

STREAM_CREATION, CLOSED_CRITICAL, FRAME_UNEXPECTED, FRAME, ID, SETTINGS_CODE, MISSING_SETTINGS = 0x103, 0x104, 0x105, 0x106, 0x108, 0x109, 0x10A
REQUEST_INCOMPLETE, MESSAGE, DECOMPRESSION, ENCODER_STREAM, DECODER_STREAM = 0x10D, 0x10E, 0x200, 0x201, 0x202
PRIORITY_UPDATE, PUSH_PRIORITY_UPDATE = 0xF0700, 0xF0701
# Cases that run at the same time.
AT_ONCE = 4

HEAD = frame(HEADERS, fields(*request_fields()))
# How a stream goes on: it stays open, ends, or is reset.
OPEN, END, RESET = "open", "end", "reset"


def uni(kind, payload=b"", after=OPEN):
    return ("uni", varint(kind) + payload, after)


def bidi(payload, after=END):
    return ("bidi", payload, after)


def control(*more, after=OPEN):
    """The client's control stream with SETTINGS and what follows them."""
    return uni(CONTROL, frame(SETTINGS) + b"".join(more), after)


def bad_settings(*pairs):
    return [uni(CONTROL, frame(SETTINGS, b"".join(varint(number) + varint(value) for number, value in pairs)))]


def on_request(*sent, after=END):
    return [control(), bidi(b"".join(sent), after)]


def number(kind, value):
    return frame(kind, varint(value))


# Name, code, streams. Whatever else happens on the connection, it ends.
OF_CONNECTIONS = [
    ("a second control stream", STREAM_CREATION, [control(), control()]),
    ("a second encoder stream", STREAM_CREATION, [control(), uni(ENCODER), uni(ENCODER)]),
    ("a second decoder stream", STREAM_CREATION, [control(), uni(DECODER), uni(DECODER)]),
    ("a push stream", STREAM_CREATION, [control(), uni(PUSH, varint(0))]),
    ("DATA before SETTINGS", MISSING_SETTINGS, [uni(CONTROL, frame(DATA, b"x"))]),
    ("HEADERS before SETTINGS", MISSING_SETTINGS, [uni(CONTROL, HEAD)]),
    ("GOAWAY before SETTINGS", MISSING_SETTINGS, [uni(CONTROL, number(GOAWAY, 0))]),
    ("an unknown frame before SETTINGS", MISSING_SETTINGS, [uni(CONTROL, frame(0x21, b"x"))]),
    ("SETTINGS twice", FRAME_UNEXPECTED, [control(frame(SETTINGS))]),
    ("DATA on the control stream", FRAME_UNEXPECTED, [control(frame(DATA, b"x"))]),
    ("HEADERS on the control stream", FRAME_UNEXPECTED, [control(HEAD)]),
    ("PUSH_PROMISE on the control stream", FRAME_UNEXPECTED, [control(frame(PUSH_PROMISE, varint(0) + fields(*request_fields())))]),
    *[(f"HTTP/2's frame {kind} on the control stream", FRAME_UNEXPECTED, [control(frame(kind))]) for kind in (2, 6, 8, 9)],
    *[(f"HTTP/2's frame {kind} on a request", FRAME_UNEXPECTED, on_request(HEAD, frame(kind))) for kind in (2, 6, 8, 9)],
    ("the control stream ends", CLOSED_CRITICAL, [control(after=END)]),
    ("the control stream is reset", CLOSED_CRITICAL, [control(after=RESET)]),
    ("the encoder stream ends", CLOSED_CRITICAL, [control(), uni(ENCODER, after=END)]),
    ("the encoder stream is reset", CLOSED_CRITICAL, [control(), uni(ENCODER, after=RESET)]),
    ("the decoder stream ends", CLOSED_CRITICAL, [control(), uni(DECODER, after=END)]),
    ("the server's control stream is refused", CLOSED_CRITICAL, [control(), ("stop", b"", OPEN)]),
    *[(f"HTTP/2's setting {setting}", SETTINGS_CODE, bad_settings((setting, 0))) for setting in (2, 3, 4, 5)],
    ("a setting twice", SETTINGS_CODE, bad_settings((6, 100), (6, 100))),
    ("an unknown setting twice", SETTINGS_CODE, bad_settings((0x21, 1), (0x21, 2))),
    ("ENABLE_CONNECT_PROTOCOL that is neither 0 nor 1", SETTINGS_CODE, bad_settings((8, 2))),
    ("SETTINGS cut off within", FRAME, [uni(CONTROL, frame(SETTINGS, varint(6)))]),
    ("CANCEL_PUSH of what was not promised", ID, [control(number(CANCEL_PUSH, 0))]),
    ("MAX_PUSH_ID that shrinks", ID, [control(number(MAX_PUSH_ID, 8), number(MAX_PUSH_ID, 4))]),
    ("GOAWAY that grows", ID, [control(number(GOAWAY, 4), number(GOAWAY, 8))]),
    ("PRIORITY_UPDATE for no request", ID, [control(frame(PRIORITY_UPDATE, varint(2) + b"u=1"))]),
    ("PRIORITY_UPDATE for no push", ID, [control(frame(PUSH_PRIORITY_UPDATE, varint(0) + b"u=1"))]),
    *[(f"a frame of kind {kind:#x} without its number", FRAME, [control(frame(kind))]) for kind in (CANCEL_PUSH, GOAWAY, MAX_PUSH_ID)],
    *[(f"a frame of kind {kind:#x} with more than its number", FRAME, [control(frame(kind, varint(0) + b"x"))])
      for kind in (CANCEL_PUSH, GOAWAY, MAX_PUSH_ID)],
    *[(f"a frame of kind {kind:#x} on a request", FRAME_UNEXPECTED, on_request(HEAD, frame(kind, varint(0))))
      for kind in (CANCEL_PUSH, SETTINGS, PUSH_PROMISE, GOAWAY, MAX_PUSH_ID, PRIORITY_UPDATE)],
    ("DATA before HEADERS", FRAME_UNEXPECTED, on_request(frame(DATA, b"x"), HEAD)),
    ("DATA behind trailers", FRAME_UNEXPECTED, on_request(HEAD, frame(DATA, b"x"), frame(HEADERS, fields(("x", "y"))), frame(DATA, b"x"))),
    ("HEADERS behind trailers", FRAME_UNEXPECTED, on_request(HEAD, *[frame(HEADERS, fields(("x", "y")))] * 2)),
    ("HEADERS that are cut off", FRAME, on_request(HEAD[:-1])),
    ("DATA that is cut off", FRAME, on_request(HEAD, frame(DATA, b"abc")[:-1])),
    ("a capacity of the dynamic table", ENCODER_STREAM, [control(), uni(ENCODER, b"\x3f\xbd\x01")]),
    ("an insertion by a static name", ENCODER_STREAM, [control(), uni(ENCODER, b"\xc0\x01x")]),
    ("an insertion by a literal name", ENCODER_STREAM, [control(), uni(ENCODER, b"\x41x\x01y")]),
    ("a duplicate", ENCODER_STREAM, [control(), uni(ENCODER, b"\x00")]),
    ("an acknowledgement of no section", DECODER_STREAM, [control(), uni(DECODER, b"\x80")]),
    ("an increment of no insertion", DECODER_STREAM, [control(), uni(DECODER, b"\x01")]),
    ("an increment of 0", DECODER_STREAM, [control(), uni(DECODER, b"\x00")]),
    ("a reference to the dynamic table", DECOMPRESSION, on_request(frame(HEADERS, b"\x02\x00\x80"))),
    ("a reference to it without a count", DECOMPRESSION, on_request(frame(HEADERS, b"\x00\x00\x80"))),
    ("a reference behind its base", DECOMPRESSION, on_request(frame(HEADERS, b"\x00\x00\x10"))),
    ("entry 99 of the static table", DECOMPRESSION, on_request(frame(HEADERS, b"\x00\x00\xff\x24"))),
    ("a field section that is cut off", DECOMPRESSION, on_request(frame(HEADERS, b"\x00\x00\x51\x05/"))),
    ("an empty field section", DECOMPRESSION, on_request(frame(HEADERS))),
    ("a Huffman code with a bad end", DECOMPRESSION, on_request(frame(HEADERS, b"\x00\x00\x51\x81\x00"))),
]


def malformed(*more, without=(), **other):
    pairs = [(name, value) for name, value in request_fields() if name not in without]
    return bidi(frame(HEADERS, fields(*pairs, *more)), **other)


def with_content(length, content):
    return bidi(frame(HEADERS, fields(*request_fields("POST"), *length)) + frame(DATA, content))


# The stream is reset with that code, and the connection serves the next request.
OF_STREAMS = [
    ("a stream without a request", REQUEST_INCOMPLETE, bidi(b"")),
    ("a stream with an unknown frame alone", REQUEST_INCOMPLETE, bidi(frame(0x21, b"x"))),
    ("a name in capitals", MESSAGE, malformed(("X-Upper", "y"))),
    ("a name with a space", MESSAGE, malformed(("x y", "z"))),
    # By hand, as the encoder refuses it: a literal name of no bytes, and a value.
    ("an empty name", MESSAGE, bidi(frame(HEADERS, fields(*request_fields()) + b"\x20\x01z"))),
    ("a value with CR", MESSAGE, malformed(("x", "y\rz"))),
    ("a value with LF", MESSAGE, malformed(("x", "y\nz"))),
    ("a value with NUL", MESSAGE, malformed(("x", "y\0z"))),
    *[(f"the field {name}", MESSAGE, malformed((name, value))) for name, value in
      [("connection", "close"), ("keep-alive", "5"), ("proxy-connection", "close"), ("transfer-encoding", "chunked"), ("upgrade", "h2c"), ("te", "gzip")]],
    *[(f"no {name}", MESSAGE, malformed(without=[name])) for name in (":method", ":scheme", ":path", ":authority")],
    *[(f"two of {name}", MESSAGE, malformed((name, value))) for name, value in request_fields()],
    ("a pseudo-header that is unknown", MESSAGE, malformed((":unknown", "x"))),
    ("a pseudo-header of responses", MESSAGE, malformed((":status", "200"))),
    ("a pseudo-header behind a field", MESSAGE, malformed(("x", "y"), (":path", "/"), without=[":path"])),
    (":protocol, which was not allowed", MESSAGE, malformed((":protocol", "websocket"))),
    ("an empty path", MESSAGE, malformed((":path", ""), without=[":path"])),
    ("a path without a slash", MESSAGE, malformed((":path", "x"), without=[":path"])),
    ("an empty authority", MESSAGE, malformed((":authority", ""), without=[":authority"])),
    ("an authority with user information", MESSAGE, malformed((":authority", "me@localhost"), without=[":authority"])),
    ("a Host that is not the authority", MESSAGE, malformed(("host", "other.example"))),
    ("CONNECT with a path", MESSAGE, malformed((":method", "CONNECT"), without=[":method", ":scheme"])),
    ("a pseudo-header in trailers", MESSAGE, bidi(HEAD + frame(HEADERS, fields((":path", "/"))))),
    ("less content than it says", MESSAGE, with_content([("content-length", "4")], b"abc")),
    ("more content than it says", MESSAGE, with_content([("content-length", "2")], b"abc")),
    ("two lengths", MESSAGE, with_content([("content-length", "3"), ("content-length", "4")], b"abc")),
    ("a negative length", MESSAGE, with_content([("content-length", "-3")], b"abc")),
    ("a length that is no number", MESSAGE, with_content([("content-length", "3x")], b"abc")),
]


async def play(client, streams):
    """Sends what a case has and gives the number of the last stream."""
    stream = None
    for kind, payload, after in streams:
        if kind == "stop":
            stream = await client.until(lambda: next((number for number, text in client.streams.items() if text[:1] == b"\0"), None), "a control stream")
            client._quic.stop_stream(stream, 0x10C)
            client.transmit()
            continue
        stream = client._quic.get_next_available_stream_id(is_unidirectional=kind == "uni")
        client.send(stream, payload, after == END)
        if after == RESET:
            # What a stream is stands in front of it, and has to be known before it is reset.
            await client.ping()
            client._quic.reset_stream(stream, 0x10C)
            client.transmit()
    return stream


async def of_a_connection(site, name, code, streams):
    async with connected(site, speaks=False) as client:
        await play(client, streams)
        await client.until(lambda: client.end, "the end")
        assert (client.end.error_code, client.end.frame_type) == (code, None), f"{client.end} instead of {code:#x}"


async def of_a_stream(site, name, code, sent):
    async with connected(site, speaks=False) as client:
        stream = await play(client, [control(), sent])
        await client.until(lambda: client.end or stream in client.resets, "a reset")
        assert client.resets.get(stream) == code, f"{client.end or client.resets} instead of {code:#x}"
        await serves(client)


async def judge_all(judge, site):
    free = asyncio.Semaphore(AT_ONCE)

    async def tell(check, case):
        async with free:
            try:
                await check(site, *case)
                print(f"ok {judge.protocol}: {case[0]}", flush=True)
            except Exception as error:  # Whatever it is, the others are still to be told.
                print(f"FAILED {judge.protocol}: {case[0]}: {error!r}"[:600], flush=True)

    cases = [tell(of_a_connection, case) for case in OF_CONNECTIONS] + [tell(of_a_stream, case) for case in OF_STREAMS]
    await asyncio.gather(*cases)


def judge_faults(judge):
    asyncio.run(judge_all(judge, Site(judge)))


if __name__ == "__main__":
    main({"faults": judge_faults})
