"""A supervisor that accepts connections, and a worker that is given each of them over a unix socket (SCM_RIGHTS).

Takes a port and where to call. Of each request the worker makes one call, named by the request's path:
    /given/N    and answers
    /forked/N   in a child, which answers
    /ended/N    and ends without an answer; another worker takes its place
"""

import http.client
import os
import socket
import sys
from urllib.parse import urlsplit

port, upstream = int(sys.argv[1]), urlsplit(sys.argv[2])


def call(path):
    connection = http.client.HTTPConnection(upstream.hostname, upstream.port, timeout=10)
    connection.request("GET", f"/behind{path}")
    connection.getresponse().read()
    connection.close()


def answer(client, path):
    call(path)
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def serve(client):
    while head := client.recv(65536):
        path = head.split(b" ")[1].decode()
        if path.startswith("/given"):
            answer(client, path)
        elif path.startswith("/forked"):
            child = os.fork()
            if child == 0:
                answer(client, path)
                os._exit(0)
            os.waitpid(child, 0)
        else:
            call(path)
            os._exit(0)


def work(given):
    while True:
        _, (descriptor,), _, _ = socket.recv_fds(given, 1, 1)
        with socket.socket(fileno=descriptor) as client:
            serve(client)


def worker():
    ours, given = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        work(given)
    given.close()
    return ours


def hand_on(client):
    global connected
    try:
        socket.send_fds(connected, [b"x"], [client.fileno()])
    except BrokenPipeError:
        os.wait()
        connected = worker()
        socket.send_fds(connected, [b"x"], [client.fileno()])


listener = socket.create_server(("127.0.0.1", port))
connected = worker()
while True:
    accepted, _ = listener.accept()
    with accepted:
        hand_on(accepted)
