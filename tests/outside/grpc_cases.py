#!/usr/bin/env python3
"""gRPC through Ringway with the gRPC C core (grpcio): the interop cases that matter to a proxy.

grpc_cases.py serve              a gRPC server; says its port on the first line
grpc_cases.py ask ADDRESS CA     asks it by way of Ringway at ADDRESS and says `ok CASE` or `FAILED CASE` of each
"""

import os
import queue
import sys
import threading
import time
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

OPTIONS = [("grpc.max_receive_message_length", 32 << 20), ("grpc.max_send_message_length", 32 << 20)]
SERVICE = "outside.Judge"


class Judge(grpc.GenericRpcHandler):
    """Methods on plain bytes; /Sleeping tells whether a call that sleeps was cancelled."""

    def __init__(self):
        self.cancelled = threading.Event()

    def unary(self, request, context):
        metadata = dict(context.invocation_metadata())
        if "x-initial" in metadata:
            context.send_initial_metadata((("x-initial", metadata["x-initial"]),))
        if "x-trailing-bin" in metadata:
            context.set_trailing_metadata((("x-trailing-bin", metadata["x-trailing-bin"]),))
        if request == b"error":
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "bad \u2603 thing")
        if request == b"sleep":
            self.cancelled.clear()
            context.add_callback(self.cancelled.set)
            time.sleep(2)
        if request == b"was it cancelled?":
            return b"yes" if self.cancelled.wait(1.5) else b"no"
        return request

    def download(self, request, context):
        count, size, gap_ms = (int(number) for number in request.split(b","))
        for _ in range(count):
            time.sleep(gap_ms / 1000)
            yield b"y" * size
        context.set_trailing_metadata((("x-count", str(count)),))

    def upload(self, requests, _):
        return str(sum(len(request) for request in requests)).encode()

    def both(self, requests, context):
        for request in requests:
            if request == b"die":
                context.abort(grpc.StatusCode.DATA_LOSS, "dead")
            yield request

    def service(self, details):
        methods = {
            "Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "Download": grpc.unary_stream_rpc_method_handler(self.download),
            "Upload": grpc.stream_unary_rpc_method_handler(self.upload),
            "Both": grpc.stream_stream_rpc_method_handler(self.both),
        }
        service, _, method = details.method.lstrip("/").partition("/")
        return methods.get(method) if service == SERVICE else None


def serve():
    server = grpc.server(futures.ThreadPoolExecutor(64), options=OPTIONS)
    server.add_generic_rpc_handlers((Judge(),))
    health_service = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_service, server)
    health_service.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    server.wait_for_termination()


class Cases:
    """Each method whose name has no underscore in front is a case."""

    def __init__(self, address, ca):
        with open(ca, "rb") as file:
            self._credentials = grpc.ssl_channel_credentials(file.read())
        self._address = address
        self._channel = self._connect()
        self._unary = self._channel.unary_unary(f"/{SERVICE}/Unary")
        self._download = self._channel.unary_stream(f"/{SERVICE}/Download")
        self._upload = self._channel.stream_unary(f"/{SERVICE}/Upload")
        self._both = self._channel.stream_stream(f"/{SERVICE}/Both")

    def _connect(self):
        name = [("grpc.ssl_target_name_override", "localhost"), ("grpc.default_authority", "localhost")]
        return grpc.secure_channel(self._address, self._credentials, OPTIONS + name)

    @staticmethod
    def _error(call):
        try:
            call()
        except grpc.RpcError as error:
            return error
        raise AssertionError("there is no error")

    def empty_unary(self):
        assert self._unary(b"", timeout=5) == b""

    def unary(self):
        assert self._unary(b"hello", timeout=5) == b"hello"

    def large_unary(self):
        assert self._unary(b"q" * 314159, timeout=10) == b"q" * 314159

    def four_mebibytes_each_way(self):
        assert len(self._unary(b"q" * (4 << 20), timeout=20)) == 4 << 20

    def compressed(self):
        call = self._unary(b"c" * 100000, timeout=5, compression=grpc.Compression.Gzip)
        assert call == b"c" * 100000

    def server_streaming(self):
        assert [len(piece) for piece in self._download(b"4,1000,0", timeout=5)] == [1000] * 4

    def server_streaming_of_2000(self):
        assert len(list(self._download(b"2000,500,0", timeout=20))) == 2000

    def streams_are_not_held_back(self):
        start = time.time()
        stream = self._download(b"4,10,400", timeout=8)
        next(stream)
        assert time.time() - start < 1.2, "the first message came late"
        assert len(list(stream)) == 3

    def client_streaming(self):
        pieces = (b"x" * size for size in (27182, 8, 1828, 45904))
        assert self._upload(pieces, timeout=5) == b"74922"

    def ping_pong(self):
        asked = queue.Queue()
        stream = self._both(iter(asked.get, None), timeout=8)
        for number in range(500):
            asked.put(b"%d" % number)
            assert next(stream) == b"%d" % number
        asked.put(None)
        assert not list(stream)

    def empty_stream(self):
        assert not list(self._both(iter(()), timeout=5))

    def status_and_message(self):
        error = self._error(lambda: self._unary(b"error", timeout=5))
        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION, error.code()
        assert error.details() == "bad \u2603 thing", error.details()

    def unimplemented_method(self):
        error = self._error(lambda: self._channel.unary_unary(f"/{SERVICE}/Nope")(b"", timeout=5))
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error.code()

    def unimplemented_service(self):
        error = self._error(lambda: self._channel.unary_unary("/no.Such/Nope")(b"", timeout=5))
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error.code()

    def custom_metadata(self):
        metadata = (("x-initial", "abc"), ("x-trailing-bin", b"\xab\x00\xff"))
        _, call = self._unary.with_call(b"m", timeout=5, metadata=metadata)
        assert dict(call.initial_metadata()).get("x-initial") == "abc"
        assert dict(call.trailing_metadata()).get("x-trailing-bin") == b"\xab\x00\xff"

    def trailers_behind_a_stream(self):
        stream = self._download(b"3,10,0", timeout=5)
        list(stream)
        assert dict(stream.trailing_metadata()).get("x-count") == "3"

    def error_within_a_stream(self):
        stream = self._both(iter([b"a", b"die", b"b"]), timeout=5)
        assert next(stream) == b"a"
        error = self._error(lambda: next(stream))
        assert (error.code(), error.details()) == (grpc.StatusCode.DATA_LOSS, "dead")

    def deadline(self):
        error = self._error(lambda: self._unary(b"sleep", timeout=0.4))
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error.code()

    def cancellation_reaches_the_server(self):
        call = self._unary.future(b"sleep", timeout=10)
        time.sleep(0.4)
        call.cancel()
        assert self._unary(b"was it cancelled?", timeout=5) == b"yes"

    def cancellation_behind_the_first_response(self):
        stream = self._download(b"100,10,50", timeout=10)
        next(stream)
        stream.cancel()
        assert self._error(lambda: list(stream)).code() == grpc.StatusCode.CANCELLED

    def a_hundred_at_a_time(self):
        for _ in range(5):
            calls = [self._unary.future(b"%d" % number, timeout=10) for number in range(100)]
            assert [call.result() for call in calls] == [b"%d" % number for number in range(100)]

    def thirty_streams_at_a_time(self):
        streams = [self._download(b"20,2000,5", timeout=15) for _ in range(30)]
        assert [len(list(stream)) for stream in streams] == [20] * 30

    def health_check(self):
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        status = health_pb2_grpc.HealthStub(self._channel).Check(request, timeout=5).status
        assert status == health_pb2.HealthCheckResponse.SERVING

    def health_watch(self):
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        stream = health_pb2_grpc.HealthStub(self._channel).Watch(request, timeout=5)
        assert next(stream).status == health_pb2.HealthCheckResponse.SERVING
        stream.cancel()

    def a_channel_is_used_again_after_a_while(self):
        time.sleep(1.5)
        assert self._unary(b"again", timeout=5) == b"again"

    def twenty_channels(self):
        for _ in range(20):
            with self._connect() as channel:
                assert channel.unary_unary(f"/{SERVICE}/Unary")(b"n", timeout=5) == b"n"


def ask(address, ca):
    cases = Cases(address, ca)
    failed = 0
    for name in [name for name in vars(Cases) if not name.startswith("_")]:
        try:
            getattr(cases, name)()
            print(f"ok grpc {name}", flush=True)
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            said = f"{error.code()} {error.details()}" if isinstance(error, grpc.RpcError) else repr(error)
            print(f"FAILED grpc {name}: {said}", flush=True)
    # The C core may wait for its threads for long.
    os._exit(min(failed, 1))


if sys.argv[1:] == ["serve"]:
    serve()
elif len(sys.argv) == 4 and sys.argv[1] == "ask":
    ask(*sys.argv[2:])
else:
    sys.exit(__doc__)
