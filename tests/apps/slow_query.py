"""A server that asks its database for each request, which takes the database a while. Takes a port."""

import http.server
import sys
import threading

import psycopg

QUERY = "SELECT sum(sqrt(number)) FROM generate_series(1, 300000) AS number"
local = threading.local()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if not hasattr(local, "connection"):
            local.connection = psycopg.connect(autocommit=True)
        local.connection.execute(QUERY).fetchone()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
