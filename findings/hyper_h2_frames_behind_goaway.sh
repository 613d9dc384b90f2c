#!/usr/bin/env bash
# A server of HTTP/2 that wants to end a connection says GOAWAY and goes on with the streams that it has begun.
#
# Seen: the Python package h2 4.4.1 (the codec of httpx and others) as a client, with a request in flight. The server
# sends GOAWAY with NO_ERROR and the last stream 2^31-1, the first of the two steps that RFC 9113 §6.8 describes, and then
# the response. h2 takes the connection for closed at the first frame behind the GOAWAY: receive_data raises
# ProtocolError, and the response is lost. The same bytes without the GOAWAY are taken.
# Expected: "Activity on streams numbered lower than or equal to the last stream identifier might still complete
# successfully" (RFC 9113 §6.8).
#
# What follows for a server: end idle connections by one GOAWAY and nothing behind it, and expect that clients lose what
# is in flight when it ends busy ones.
#
# Needs python3 with venv. Fails when what is seen changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python3 -m pip install --quiet --disable-pip-version-check h2==4.4.1
cat >case.py <<'PY'
import struct

import h2
import hpack
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded
from h2.exceptions import ProtocolError


def frame(kind, flags, stream, payload=b""):
    return struct.pack("!I", len(payload))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + payload


def answered(says_goaway):
    """Whether a client takes a response, with or without a GOAWAY before it."""
    client = H2Connection(H2Configuration(client_side=True))
    client.initiate_connection()
    fields = [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "a")]
    client.send_headers(1, fields, end_stream=True)
    client.receive_data(frame(4, 0, 0))  # SETTINGS
    if says_goaway:
        client.receive_data(frame(7, 0, 0, struct.pack("!II", 2**31 - 1, 0)))
    block = hpack.Encoder().encode([(":status", "200")])
    try:
        events = client.receive_data(frame(1, 4, 1, block) + frame(0, 1, 1, b"ok"))
    except ProtocolError as error:
        return f"{type(error).__name__}: {error}"
    kinds = {type(event) for event in events}
    return "response taken" if {ResponseReceived, DataReceived, StreamEnded} <= kinds else repr(events)


print("h2", h2.__version__)
plain, behind = answered(False), answered(True)
print("response alone:", plain)
print("response behind GOAWAY(2^31-1, NO_ERROR):", behind)
assert plain == "response taken"
assert "ProtocolError" in behind
print("seen as described")
PY
venv/bin/python3 case.py
