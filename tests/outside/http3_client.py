"""A client of HTTP/3 made of aioquic, which keeps whatever came, and one that sends bytes of its own beside it."""
import asyncio
import contextlib
import hashlib
import ssl

import pylsqpack
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3 import events as h3
from aioquic.h3.connection import H3Connection
from aioquic.quic import events as quic
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

PATIENCE_S = 20
# Bytes of a stream that are kept as they came: those of the server's control stream, and small answers.
MAX_KEPT = 4096
# Kinds of frames and of streams (RFC 9114 §7.2, §6.2; RFC 9204 §4.2).
DATA, HEADERS, CANCEL_PUSH, SETTINGS, PUSH_PROMISE, GOAWAY, MAX_PUSH_ID = 0, 1, 3, 4, 5, 7, 0xD
CONTROL, PUSH, ENCODER, DECODER = 0, 1, 2, 3
NO_ERROR = 0x100


def varint(number):
    """RFC 9000 §16."""
    for power, bits in enumerate((6, 14, 30, 62)):
        if number < 1 << bits:
            return (number | power << bits).to_bytes(1 << power, "big")
    raise ValueError(number)


def read_varint(text):
    """The number in front, and what follows; None if it has not come whole."""
    if not text or len(text) < (length := 1 << (text[0] >> 6)):
        return None
    return int.from_bytes(text[:length], "big") & (1 << (8 * length - 2)) - 1, text[length:]


def frame(kind, payload=b""):
    return varint(kind) + varint(len(payload)) + payload


def frames(text):
    """Kind and payload of every frame that is whole."""
    while (kind := read_varint(text)) and (length := read_varint(kind[1])) and len(length[1]) >= length[0]:
        yield kind[0], length[1][: length[0]]
        text = length[1][length[0]:]


def fields(*pairs):
    """A field section without a dynamic table, whatever names and values."""
    return pylsqpack.Encoder().encode(0, [(name.encode(), value.encode("latin-1")) for name, value in pairs])[1]


def request_fields(method="GET", path="/", more=()):
    return [(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", path), *more]


class Answer:
    """What has come of one request."""

    def __init__(self):
        self.heads, self.size, self.sum, self.body, self.ended, self.pieces = [], 0, hashlib.sha256(), b"", False, 0

    def take(self, event):
        if isinstance(event, h3.HeadersReceived):
            self.heads.append({name.decode(): value.decode() for name, value in event.headers})
        elif isinstance(event, h3.DataReceived):
            self.size += len(event.data)
            self.sum.update(event.data)
            self.pieces += 1
            if len(self.body) < MAX_KEPT:
                self.body += event.data
        self.ended = self.ended or event.stream_ended

    @property
    def status(self):
        return self.heads[-1].get(":status", self.heads[0].get(":status")) if self.heads else None


class Client(QuicConnectionProtocol):
    """One connection. `streams` are the bytes that came of each, `resets` and `stops` the codes by stream."""

    def __init__(self, connection, speaks=True):
        super().__init__(connection)
        self.h3 = H3Connection(connection) if speaks else None
        self.news, self.ended = asyncio.Event(), set()
        self.answers, self.streams, self.resets, self.stops = {}, {}, {}, {}
        self.handshake = self.end = None
        self.datagrams = []
        self.tickets = []

    def quic_event_received(self, event):
        if isinstance(event, quic.StreamDataReceived):
            kept = self.streams.get(event.stream_id, b"")
            if len(kept) < MAX_KEPT:
                self.streams[event.stream_id] = kept + event.data
            if event.end_stream:
                self.ended.add(event.stream_id)
        elif isinstance(event, quic.StreamReset):
            self.resets[event.stream_id] = event.error_code
        elif isinstance(event, quic.StopSendingReceived):
            self.stops[event.stream_id] = event.error_code
        elif isinstance(event, quic.HandshakeCompleted):
            self.handshake = event
        elif isinstance(event, quic.ConnectionTerminated):
            self.end = event
        for came in self.h3.handle_event(event) if self.h3 else ():
            if came.stream_id in self.answers:
                self.answers[came.stream_id].take(came)
        self.news.set()

    def datagram_received(self, data, addr):
        self.datagrams = self.datagrams[-7:] + [data]
        super().datagram_received(data, addr)
        # The codec tells of an end when it has drained; its code is known before.
        self.end = self.end or self._quic._close_event
        self.news.set()

    async def until(self, find, what, seconds=PATIENCE_S):
        """Waits until `find` gives something."""
        with contextlib.suppress(asyncio.TimeoutError):
            async with asyncio.timeout(seconds):
                while not (found := find()):
                    self.news.clear()
                    await self.news.wait()
                return found
        raise TimeoutError(f"{what} did not come about; the connection's end: {self.end}, resets: {self.resets}")

    def begin(self, method="GET", path="/", more=(), ends=True):
        """Sends the head of a request and gives the number of its stream."""
        stream = self._quic.get_next_available_stream_id()
        self.answers[stream] = Answer()
        head = [(name.encode(), value.encode()) for name, value in request_fields(method, path, more)]
        self.h3.send_headers(stream, head, end_stream=ends)
        self.transmit()
        return stream

    async def finish(self, stream, seconds=PATIENCE_S):
        answer = self.answers[stream]
        await self.until(lambda: answer.ended or stream in self.resets or self.end, f"the end of stream {stream}", seconds)
        if not answer.ended:
            raise ConnectionError(f"no end of stream {stream}, which has {answer.heads} and {answer.size} bytes: {self.end}, {self.resets}")
        return answer

    async def ask(self, *words, seconds=PATIENCE_S, **more):
        return await self.finish(self.begin(*words, **more), seconds)

    def open(self, kind, payload=b""):
        """A unidirectional stream that begins so."""
        stream = self._quic.get_next_available_stream_id(is_unidirectional=True)
        self.send(stream, varint(kind) + payload)
        return stream

    def send(self, stream, payload, ends=False):
        self._quic.send_stream_data(stream, payload, ends)
        self.transmit()

    def control_frames(self):
        """What the server has said on its control stream."""
        for stream, text in self.streams.items():
            if stream % 4 == 3 and text[:1] == b"\0":
                return list(frames(text[1:]))
        return []

    def goaways(self):
        return [read_varint(payload)[0] for kind, payload in self.control_frames() if kind == GOAWAY]


def configuration(site, **more):
    made = QuicConfiguration(is_client=True, alpn_protocols=["h3"], server_name="localhost", max_data=1 << 24, max_stream_data=1 << 22,
                             cafile=str(site.judge.folder / "ca.pem"), **more)
    made.verify_mode = ssl.CERT_REQUIRED
    return made


class Path(asyncio.DatagramProtocol):
    """Another port of a client's, from which it sends from now on. What still comes to the one before is taken, too."""

    def __init__(self, client):
        self.client, self.received = client, 0

    def connection_made(self, transport):
        self.client._transport = transport

    def datagram_received(self, data, addr):
        self.received += 1
        self.client.datagram_received(data, addr)


async def move(client):
    _, path = await asyncio.get_running_loop().create_datagram_endpoint(lambda: Path(client), local_addr=("127.0.0.1", 0))
    return path


@contextlib.asynccontextmanager
async def connected(site, speaks=True, settings=None, waits=True):
    """A client with a connection, of which nothing is left afterwards."""
    tickets = []
    connection = QuicConnection(configuration=settings or configuration(site), session_ticket_handler=tickets.append)
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_datagram_endpoint(lambda: Client(connection, speaks), local_addr=("127.0.0.1", 0))
    client.tickets = tickets
    try:
        client.connect(("127.0.0.1", site.port))
        if waits:
            await client.until(lambda: client.handshake or client.end, "the handshake")
        yield client
    finally:
        client.close(NO_ERROR)
        client._transport.close()
        transport.close()
        if client._timer:
            client._timer.cancel()


async def serves(client, between=(), **request):
    """The head of the whole answer to a client without a codec of its own, with further frames behind that of its request."""
    stream = client._quic.get_next_available_stream_id()
    client.send(stream, frame(HEADERS, fields(*request_fields(**request))) + b"".join(between), True)
    await client.until(lambda: client.end or stream in client.resets or stream in client.ended, "an answer")
    assert stream in client.ended, f"no answer, but {client.end or client.resets}"
    sections = [payload for kind, payload in frames(client.streams[stream]) if kind == HEADERS]
    _, head = pylsqpack.Decoder(0, 0).feed_header(stream, sections[0])
    assert (b":status", b"200") in head, head
    return head


async def run_cases(judge, cases):
    """Runs each case, `async def case()`, and tells how it went by its name."""
    for case in cases:
        name = case.__name__.replace("_", " ")
        try:
            await case()
            print(f"ok {judge.protocol}: {name}", flush=True)
        except Exception as error:  # Whatever it is, the others are still to be told.
            print(f"FAILED {judge.protocol}: {name}: {error!r}"[:600], flush=True)
