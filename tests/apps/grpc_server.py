"""A gRPC service of bytes, with no generated code. Takes a port; for TLS the files of a certificate and its key come
before it."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc


def unary(request, context):
    if request == b"missing":
        context.abort(grpc.StatusCode.NOT_FOUND, "not here")
    if request == b"broken":
        raise RuntimeError("broken")
    return request


def late(request, context):
    time.sleep(5)
    return request


def collect(requests, context):
    return b"".join(requests)


def repeat(request, context):
    for _ in range(3):
        yield request


def echo(requests, context):
    yield from requests


METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Late": grpc.unary_unary_rpc_method_handler(late),
    "Collect": grpc.stream_unary_rpc_method_handler(collect),
    "Repeat": grpc.unary_stream_rpc_method_handler(repeat),
    "Echo": grpc.stream_stream_rpc_method_handler(echo),
}

server = grpc.server(ThreadPoolExecutor(8))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tests.Bytes", METHODS),))
address = f"127.0.0.1:{sys.argv[-1]}"
if len(sys.argv) > 2:
    certificate, key = (Path(name).read_bytes() for name in sys.argv[1:3])
    server.add_secure_port(address, grpc.ssl_server_credentials([(key, certificate)]))
else:
    server.add_insecure_port(address)
server.start()
server.wait_for_termination()
