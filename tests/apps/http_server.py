"""The scripted routes on Python's own http.server. Takes a port."""

import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # It writes the head and the body one by one; with Nagle's algorithm each answer would wait for an ACK.
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def read_body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while length := int(self.rfile.readline(), 16):
                self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()
        else:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self):
        self.read_body()
        path = self.path.partition("?")[0]
        status, body = self.route(path)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/ok")
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status != 204:
            self.wfile.write(body)

    def route(self, path):
        if path == "/ok":
            return 200, b"ok"
        if path == "/big":
            return 200, b"z" * 65536
        if path == "/moved":
            return 302, b""
        if path == "/fail":
            return 500, b"failed"
        if path == "/items" and self.command == "POST":
            return 201, b"made"
        if re.fullmatch(r"/items/\d+", path):
            return (204, b"") if self.command == "DELETE" else (200, b"item")
        return 404, b"not here"

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
