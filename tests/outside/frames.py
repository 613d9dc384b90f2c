#!/usr/bin/env python3
"""Conversations with Ringway by way of hyper-h2, a codec of other people, and frames made by hand.

frames.py ADDRESS CA     says `ok CASE` or `FAILED CASE` of each
"""

import socket
import ssl
import struct
import sys

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings

PATIENCE_S = 5


class Client:
    """A connection that keeps what came of each stream."""

    def __init__(self, address, ca):
        host, port = address.rsplit(":", 1)
        context = ssl.create_default_context(cafile=ca)
        context.set_alpn_protocols(["h2"])
        tcp = socket.create_connection((host, int(port)), PATIENCE_S)
        self.socket = context.wrap_socket(tcp, server_hostname="localhost")
        assert self.socket.selected_alpn_protocol() == "h2"
        self.codec = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.codec.initiate_connection()
        self.events = []
        self.bodies = {}
        self.flush()

    def flush(self):
        self.socket.sendall(self.codec.data_to_send())

    def request(self, method="GET", path="/", more=(), ends=True):
        stream = self.codec.get_next_available_stream_id()
        fields = [(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", path)]
        self.codec.send_headers(stream, fields + list(more), end_stream=ends)
        self.flush()
        return stream

    def receive(self):
        """Receives once, gives windows back and returns the events; none at the end of the connection."""
        received = self.socket.recv(65536)
        events = self.codec.receive_data(received) if received else []
        for event in events:
            if isinstance(event, h2.events.DataReceived):
                self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
                self.codec.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        self.flush()
        self.events += events
        return bool(received)

    def wait(self, kind, **terms):
        """The first event of this kind whose attributes are these."""
        while True:
            for event in self.events:
                if isinstance(event, kind) and all(getattr(event, name) == value for name, value in terms.items()):
                    return event
            assert self.receive(), f"no {kind.__name__} before the end"

    def status(self, stream):
        head = self.wait(h2.events.ResponseReceived, stream_id=stream)
        return dict(head.headers)[":status"]

    def body(self, stream):
        self.wait(h2.events.StreamEnded, stream_id=stream)
        return self.bodies.get(stream, b"")

    def send(self, kind, flags, stream, payload):
        """A frame that the codec would not send."""
        self.flush()
        self.socket.sendall(struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload)

    def ends_with(self, code):
        assert self.wait(h2.events.ConnectionTerminated).error_code == code, self.events[-1]


class Cases:
    """Each method whose name has no underscore in front is a case."""

    def __init__(self, address, ca):
        self._connect = lambda: Client(address, ca)

    def settings_are_exchanged(self):
        client = self._connect()
        changed = client.wait(h2.events.RemoteSettingsChanged).changed_settings
        assert changed[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS].new_value >= 64
        assert changed[h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL].new_value == 1
        client.wait(h2.events.SettingsAcknowledged)

    def a_request_is_answered(self):
        client = self._connect()
        stream = client.request()
        assert (client.status(stream), client.body(stream)) == ("200", b"served")

    def streams_are_interleaved(self):
        client = self._connect()
        streams = [client.request(path="/bytes/100000") for _ in range(20)]
        assert [len(client.body(stream)) for stream in streams] == [100000] * 20
        order = [event.stream_id for event in client.events if isinstance(event, h2.events.DataReceived)]
        assert order != sorted(order), "one after the other"

    def content_goes_up_in_pieces(self):
        client = self._connect()
        stream = client.request("POST", ends=False)
        for number in range(40):
            while client.codec.local_flow_control_window(stream) < 10000:
                assert client.receive()
            client.codec.send_data(stream, b"x" * 10000, end_stream=number == 39, pad_length=number)
            client.flush()
        assert client.body(stream) == b"x" * 400000

    def a_window_of_one_byte_is_kept(self):
        client = self._connect()
        client.codec.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1})
        client.flush()
        client.wait(h2.events.SettingsAcknowledged)
        client.events.clear()
        stream = client.request(path="/bytes/3")
        assert client.body(stream) == b"xxx"
        sizes = [len(event.data) for event in client.events if isinstance(event, h2.events.DataReceived) and event.data]
        assert sizes == [1, 1, 1], sizes

    def a_window_may_become_negative(self):
        client = self._connect()
        stream = client.request(path="/bytes/200000")
        client.wait(h2.events.DataReceived)
        client.events.clear()
        client.codec.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 100})
        client.flush()
        client.wait(h2.events.SettingsAcknowledged)
        client.codec.increment_flow_control_window(200000)
        client.codec.increment_flow_control_window(200000, stream)
        client.flush()
        assert len(client.body(stream)) == 200000

    def pings_are_answered(self):
        client = self._connect()
        client.codec.ping(b"12345678")
        client.flush()
        client.wait(h2.events.PingAckReceived, ping_data=b"12345678")

    def a_reset_ends_one_stream(self):
        client = self._connect()
        first, second = client.request(path="/bytes/10000000"), client.request()
        client.codec.reset_stream(first, h2.errors.ErrorCodes.CANCEL)
        client.flush()
        assert client.body(second) == b"served"
        assert client.body(client.request()) == b"served"

    def priority_is_taken(self):
        client = self._connect()
        client.codec.prioritize(1, weight=7, depends_on=3, exclusive=True)
        assert client.body(client.request(more=[("priority", "u=0, i")])) == b"served"

    def trailers_go_up(self):
        client = self._connect()
        stream = client.request("POST", more=[("te", "trailers")], ends=False)
        client.codec.send_data(stream, b"body")
        client.codec.send_headers(stream, [("x-trailer", "y")], end_stream=True)
        client.flush()
        assert client.body(stream) == b"body"

    def a_data_frame_on_stream_0_is_a_protocol_error(self):
        client = self._connect()
        client.send(0, 0, 0, b"x")
        client.ends_with(h2.errors.ErrorCodes.PROTOCOL_ERROR)

    def a_ping_of_seven_bytes_is_a_frame_size_error(self):
        client = self._connect()
        client.send(6, 0, 0, b"1234567")
        client.ends_with(h2.errors.ErrorCodes.FRAME_SIZE_ERROR)

    def a_stray_continuation_is_a_protocol_error(self):
        client = self._connect()
        client.send(9, 4, 1, b"\x82")
        client.ends_with(h2.errors.ErrorCodes.PROTOCOL_ERROR)

    def a_bad_index_is_a_compression_error(self):
        client = self._connect()
        client.send(1, 5, 1, b"\xff\xff\xff\x0f")
        client.ends_with(h2.errors.ErrorCodes.COMPRESSION_ERROR)

    def a_push_from_a_client_is_a_protocol_error(self):
        client = self._connect()
        client.send(5, 4, 1, b"\0\0\0\2\x82")
        client.ends_with(h2.errors.ErrorCodes.PROTOCOL_ERROR)

    def a_frame_that_is_too_large_is_a_frame_size_error(self):
        client = self._connect()
        client.send(0, 0, 1, b"x" * 16385)
        client.ends_with(h2.errors.ErrorCodes.FRAME_SIZE_ERROR)

    def a_window_that_overflows_is_a_flow_control_error(self):
        client = self._connect()
        client.send(8, 0, 0, struct.pack(">I", (1 << 31) - 1))
        client.ends_with(h2.errors.ErrorCodes.FLOW_CONTROL_ERROR)

    def rapid_resets_are_calmed(self):
        client = self._connect()
        try:
            for _ in range(500):
                stream = client.request()
                client.codec.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
                client.flush()
        except OSError:
            pass
        client.ends_with(h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)


def main(address, ca):
    cases = Cases(address, ca)
    failed = 0
    for name in [name for name in vars(Cases) if not name.startswith("_")]:
        try:
            getattr(cases, name)()
            print(f"ok frames {name}", flush=True)
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            print(f"FAILED frames {name}: {error!r}", flush=True)
    return min(failed, 1)


if len(sys.argv) != 3:
    sys.exit(__doc__)
sys.exit(main(*sys.argv[1:]))
