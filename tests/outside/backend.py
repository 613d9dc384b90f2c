#!/usr/bin/env python3
"""The backend behind Ringway for the outside judges: HTTP/1.1, says its port on the first line.

/bytes/N answers with N bytes, /page with the page for browsers, everything else with the body of the request, or "served" where there is none.
"""

import http.server
import pathlib
import re

PIECE = 1 << 16

PAGE = pathlib.Path(__file__).with_name("cors.html").read_bytes()


class Exchange(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body in one segment: otherwise each answer waits for a delayed acknowledgement.
    wbufsize = -1

    def content(self):
        """The body of the request, piece by piece."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline() not in (b"\r\n", b""):
                pass
        left = int(self.headers.get("Content-Length", 0))
        while left > 0:
            piece = self.rfile.read(min(left, PIECE))
            if not piece:
                raise ConnectionError("the request is cut off")
            left -= len(piece)
            yield piece

    def answer(self):
        body = b"".join(self.content())
        size = re.fullmatch(r"/bytes/(\d+)", self.path)
        body = body or (PAGE if self.path.startswith("/page?") else b"served")
        length = int(size[1]) if size else len(body)
        self.send_response(200)
        if body is PAGE:
            self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command == "HEAD":
            return
        if not size:
            self.wfile.write(body)
            return
        for start in range(0, length, PIECE):
            self.wfile.write(b"x" * min(PIECE, length - start))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = do_TRACE = answer

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024

    def handle_error(self, *_):
        """Clients hang up."""


server = Server(("127.0.0.1", 0), Exchange)
print(server.server_address[1], flush=True)
server.serve_forever()
