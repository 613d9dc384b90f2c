#!/usr/bin/env python3
"""The backend behind Ringway for judges of HTTP/3: HTTP/1.1, says its port on the first line.

GET /pattern/N answers with the first N bytes of a pattern in which no piece is like another, /hints with 103 before 200, /trailers
with a trailer, /priority with the field of that name, /who with what Ringway tells of the client's certificate, /slow/MS after a while,
/page/N with the page for browsers, which exchanges N bytes, and /socket with a WebSocket that sends its first message back. POST
answers with size and SHA-256 of what came, and with the trailers that came.
"""
import base64
import hashlib
import http.server
import json
import pathlib
import time

PIECE = 1 << 16
WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def pattern(size):
    """The pieces of a content of that size."""
    for number in range(0, size, PIECE):
        yield hashlib.shake_128(str(number).encode()).digest(min(PIECE, size - number))


def digest(pieces):
    """The size of a content and its SHA-256, as POST answers."""
    total, taken = 0, hashlib.sha256()
    for piece in pieces:
        total += len(piece)
        taken.update(piece)
    return {"size": total, "sha256": taken.hexdigest()}


class Exchange(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body in one segment: otherwise each answer waits for a delayed acknowledgement.
    wbufsize = -1

    def content(self, trailers):
        """The pieces of the request's content; then its trailers are known."""
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            left = int(self.headers.get("Content-Length", 0))
            while left > 0:
                yield (piece := self.rfile.read(min(left, PIECE)))
                left -= len(piece)
                if not piece:
                    raise ConnectionError("the request is cut off")
            return
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while (line := self.rfile.readline().strip()):
            name, value = line.decode().split(":", 1)
            trailers[name.lower()] = value.strip()

    def answer(self, pieces, length, **fields):
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            for piece in pieces:
                self.wfile.write(piece)

    def handle_expect_100(self):
        expected = super().handle_expect_100()
        self.wfile.flush()
        return expected

    def do_POST(self):
        trailers = {}
        said = digest(self.content(trailers)) | ({"trailers": trailers} if trailers else {})
        body = json.dumps(said).encode()
        self.answer([body], len(body))

    def do_GET(self):
        _, kind, *rest = self.path.split("?")[0].split("/")
        if kind == "pattern":
            self.answer(pattern(int(rest[0])), int(rest[0]))
        elif kind == "page":
            page = pathlib.Path(__file__).with_name("http3.html").read_bytes().replace(b"SIZE", rest[0].encode())
            self.answer([page], len(page), Content_Type="text/html; charset=utf-8")
        elif kind == "socket":
            self.echo_a_message()
        elif kind == "trailers":
            self.answer_with_a_trailer()
        else:
            self.answer_small(kind, rest)

    do_HEAD = do_GET

    def answer_small(self, kind, rest):
        body = b"served"
        if kind == "hints":
            self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
            self.wfile.flush()
        elif kind == "slow":
            time.sleep(int(rest[0]) / 1000)
        elif kind == "priority":
            body = self.headers.get("Priority", "none").encode()
        elif kind == "who":
            body = self.headers.get("X-Client-Verify", "none").encode()
        self.answer([body], len(body))

    def answer_with_a_trailer(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Trailer", "X-Sum")
        self.end_headers()
        self.wfile.write(b"6\r\nserved\r\n0\r\nX-Sum: 42\r\n\r\n")

    def echo_a_message(self):
        """RFC 6455: one short text goes back."""
        key = self.headers.get("Sec-WebSocket-Key", "") + WEBSOCKET_GUID
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        self.wfile.flush()
        length = self.rfile.read(2)[1] & 0x7F
        mask = self.rfile.read(4)
        text = bytes(byte ^ mask[index % 4] for index, byte in enumerate(self.rfile.read(length)))
        self.wfile.write(bytes([0x81, length]) + text)
        self.wfile.flush()
        # The browser closes, and waits for the same: an empty Close.
        self.rfile.read(2)
        self.wfile.write(b"\x88\x00")
        self.close_connection = True

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024

    def handle_error(self, *_):
        """Clients hang up."""


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Exchange)
    print(server.server_address[1], flush=True)
    server.serve_forever()
