"""Calls to another host over connections that are kept, one after another: each as its number says.

Arguments: what to call (`http URL`, `redis URL`, `sql`, `signed HOST PORT KEY`), then how many. A tenth of what goes by HTTP
are uploads of 200 KB."""

import os
import socket
import struct
import sys
import time

import psycopg
import redis
import requests
import urllib3

BODY = bytes(range(256)) * 800


def http(url, count):
    urllib3.disable_warnings()
    session = requests.Session()
    session.verify = False
    # What is set for the host's own programs is not for this one.
    session.trust_env = False
    for number in range(count):
        if number % 10 == 5:
            response = session.put(f"{url}/put/{number}", data=BODY)
            assert response.status_code in (201, 204), response.status_code
        else:
            assert session.get(f"{url}/n/{number}").text == "inside"


def keys(url, count):
    client = redis.Redis.from_url(url, lib_name=None, lib_version=None)
    for number in range(count):
        client.set(f"key:{number}", BODY if number % 10 == 5 else number)
    assert client.get("key:15") == BODY


def sql(count):
    with psycopg.connect(autocommit=True) as connection:
        for number in range(count):
            value = "x" * number
            row = connection.execute("SELECT length(%s)", (value,), prepare=number % 2 == 0).fetchone()
            assert row == (len(value),)


def sign(connection, host, key):
    """TCP_MD5SIG (RFC 2385): 18 bytes of options with each segment."""
    address = struct.pack("=HH4s120x", socket.AF_INET, 0, socket.inet_aton(host))
    connection.setsockopt(socket.IPPROTO_TCP, 14, address + struct.pack("=BBHiI80s", 0, 0, len(key), 0, 0, key))


def signed(host, port, key, count):
    connection = socket.socket()
    sign(connection, host, key.encode())
    connection.connect((host, int(port)))
    for number in range(count):
        connection.sendall(b"GET /n/%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
        came = b""
        while not came.endswith(b"\r\n\r\nok"):
            came += connection.recv(4096)


def serve(host, port, peer, key):
    """Answers one connection that is signed."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sign(listener, peer, key.encode())
    listener.bind((host, int(port)))
    listener.listen()
    print("listening", flush=True)
    connection, _ = listener.accept()
    while connection.recv(4096):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def wait():
    """Until told to begin: whoever is to look at this process has looked by then."""
    print("waiting", flush=True)
    while not os.path.exists(os.environ["START"]):
        time.sleep(0.02)


what, *arguments = sys.argv[1:]
if what == "serve":
    serve(*arguments)
else:
    wait()
    {"http": http, "redis": keys, "sql": sql, "signed": signed}[what](*arguments[:-1], int(arguments[-1]))
