"""A collector of OTLP, and a client and a backend that OpenTelemetry instruments: one trace goes through all of them.

Usage: trace_participants.py collector PORTFILE      a collector and a backend; writes both ports
       trace_participants.py judge RINGWAY COLLECTOR  asks RINGWAY and judges what COLLECTOR got
"""

import gzip
import json
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

PATIENCE = 20


def value_of(any_value):
    kind = any_value.WhichOneof("value")
    return getattr(any_value, kind) if kind else None


def told(message):
    """The spans of a message, as JSON can hold them."""
    for resource_spans in message.resource_spans:
        resource = {pair.key: value_of(pair.value) for pair in resource_spans.resource.attributes}
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield {
                    "service": resource.get("service.name"),
                    "scope": scope_spans.scope.name,
                    "trace": span.trace_id.hex(),
                    "span": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "state": span.trace_state,
                    "name": span.name,
                    "kind": span.kind,
                    "start": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano,
                    "status": span.status.code,
                    "flags": span.flags,
                    "attributes": {pair.key: value_of(pair.value) for pair in span.attributes},
                }


class Collector(BaseHTTPRequestHandler):
    """Takes spans as protobuf, and shows them as JSON to GET."""

    spans = []

    def log_message(self, *_):
        pass

    def answer(self, content, content_type):
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            content = gzip.decompress(content)
        message = ExportTraceServiceRequest()
        message.ParseFromString(content)
        # What protobuf does not know of a message would be a mistake of ours.
        again = ExportTraceServiceRequest()
        again.CopyFrom(message)
        again.DiscardUnknownFields()
        if again.ByteSize() != message.ByteSize():
            self.spans.append({"unknown": True})
        self.spans.extend(told(message))
        self.answer(ExportTraceServiceResponse().SerializeToString(), "application/x-protobuf")

    def do_GET(self):
        self.answer(json.dumps(self.spans).encode(), "application/json")


def provider(service, collector):
    resource = Resource.create({"service.name": service})
    made = TracerProvider(resource=resource)
    made.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=f"http://{collector}/v1/traces")))
    return made


def serve(port_file):
    """The collector, and a Flask application that tells of itself there."""
    from flask import Flask, request
    from opentelemetry.instrumentation.flask import FlaskInstrumentor
    from werkzeug.serving import make_server

    collector = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    app = Flask("shop")

    @app.get("/orders/<number>")
    def orders(number):
        return {"number": number}

    @app.get("/headers")
    def headers():
        return dict(request.headers)

    address = f"127.0.0.1:{collector.server_port}"
    FlaskInstrumentor().instrument_app(app, tracer_provider=provider("shop", address))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    with open(port_file + ".part", "w") as out:
        out.write(f"{collector.server_port} {server.server_port}\n")
    import os

    os.rename(port_file + ".part", port_file)
    server.serve_forever()


def collected(collector, count):
    """What the collector has got, once there are as many spans."""
    end = time.monotonic() + PATIENCE
    while True:
        with urllib.request.urlopen(f"http://{collector}/") as answer:
            spans = json.load(answer)
        if len(spans) >= count or time.monotonic() > end:
            return spans
        time.sleep(0.1)


def judge(ringway, collector):
    """Asks once as a client that is instrumented, and looks whether all tell of one trace."""
    import requests
    from opentelemetry.instrumentation.requests import RequestsInstrumentor

    client = provider("client", collector)
    RequestsInstrumentor().instrument(tracer_provider=client)
    trace.set_tracer_provider(client)
    answer = requests.get(f"http://{ringway}/orders/7?secret=1", timeout=PATIENCE)
    spans = collected(collector, 4)

    def one(service, kind):
        found = [span for span in spans if span.get("service") == service and span["kind"] == kind]
        return found[0] if len(found) == 1 else None

    def check(name, is_so):
        print(f"ok tracing: {name}" if is_so else f"FAILED tracing: {name}: {json.dumps(spans)}")

    check("the request is answered", answer.status_code == 200 and answer.json() == {"number": "7"})
    check("protobuf knows every field", not any(span.get("unknown") for span in spans))
    asking, serving = one("client", 3), one("shop", 2)
    exchange, attempt = one("ringway", 2), one("ringway", 3)
    chain = [asking, exchange, attempt, serving]
    check("each participant tells of it", all(chain))
    if not all(chain):
        return
    check("it is one trace", len({span["trace"] for span in chain}) == 1)
    parents = [span["parent"] for span in chain]
    check("each is asked by the one before", parents == ["", *[span["span"] for span in chain[:-1]]])
    # Who has answered may note that later than who has got the answer, so that ends say less than beginnings.
    in_turn = all(
        outer["start"] <= inner["start"] + 2_000_000 and inner["start"] <= outer["end"]
        for outer, inner in zip(chain, chain[1:])
    )
    within = exchange["start"] <= attempt["start"] <= attempt["end"] <= exchange["end"]
    check("times follow each other", in_turn and within and all(span["start"] <= span["end"] for span in chain))
    told_of = exchange["attributes"]
    expected = {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": "/orders/7",
        "network.protocol.version": "1.1",
        "client.address": "127.0.0.1",
        "ringway.group": "shop",
    }
    wrong = {key: told_of.get(key) for key, value in expected.items() if told_of.get(key) != value}
    check("attributes follow the conventions", not wrong)
    check("queries are kept back", "secret" not in json.dumps([exchange, attempt]))
    check("the agent is told", "python-requests" in told_of.get("user_agent.original", ""))


def judge_b3(ringway):
    """Writes B3 as OpenTelemetry's own package does, and reads with it what a backend gets."""
    from opentelemetry.propagators.b3 import B3MultiFormat, B3SingleFormat

    ids = trace.SpanContext(0x80F198EE56343BA864FE8B2A57D3EFF7, 0xE457B5A2E4D86BD1, True, trace.TraceFlags(1))
    here = trace.set_span_in_context(trace.NonRecordingSpan(ids))
    for name, form in [("b3", B3SingleFormat()), ("X-B3-*", B3MultiFormat())]:
        carrier = {}
        form.inject(carrier, here)
        asked = urllib.request.Request(f"http://{ringway}/headers", headers=carrier)
        with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
            got = {key.lower(): value for key, value in json.load(answer).items()}
        there = trace.get_current_span(form.extract({name: got.get(name.lower()) for name in form.fields}))
        told = there.get_span_context()
        goes_on = told.trace_id == ids.trace_id and told.trace_flags == 1 and told.span_id not in (0, ids.span_id)
        is_so = goes_on and "traceparent" not in got
        print(f"ok tracing: {name} is passed on" if is_so else f"FAILED tracing: {name} is passed on: {got}")


if __name__ == "__main__":
    if sys.argv[1] == "collector":
        serve(sys.argv[2])
    else:
        judge(sys.argv[2], sys.argv[3])
        judge_b3(sys.argv[2])
