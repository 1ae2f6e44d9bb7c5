"""Calls every kind of method of `grpc_server.py`. Takes a port, and for TLS the file of a certificate."""

import sys
from pathlib import Path

import grpc


def main():
    with connect(f"127.0.0.1:{sys.argv[1]}", sys.argv[2:]) as channel:
        unary = channel.unary_unary("/tests.Bytes/Unary")
        for number in range(100):
            assert unary(b"%d" % number) == b"%d" % number
        for request, code in [(b"missing", grpc.StatusCode.NOT_FOUND), (b"broken", grpc.StatusCode.UNKNOWN)]:
            expect(code, unary, request)
        expect(grpc.StatusCode.UNIMPLEMENTED, channel.unary_unary("/tests.Bytes/Absent"), b"")
        pieces = [b"a" * 100, b"b" * 5_000, b"c"]
        assert channel.stream_unary("/tests.Bytes/Collect")(iter(pieces)) == b"".join(pieces)
        assert list(channel.unary_stream("/tests.Bytes/Repeat")(b"x")) == [b"x"] * 3
        assert list(channel.stream_stream("/tests.Bytes/Echo")(iter(pieces))) == pieces
        late = channel.unary_unary("/tests.Bytes/Late")
        expect(grpc.StatusCode.DEADLINE_EXCEEDED, lambda request: late(request, timeout=0.2), b"")


def connect(address, certificates):
    if not certificates:
        return grpc.insecure_channel(address)
    roots = Path(certificates[0]).read_bytes()
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(roots))


def expect(code, call, request):
    try:
        call(request)
    except grpc.RpcError as error:
        assert error.code() == code, error
    else:
        raise AssertionError(f"no {code}")


main()
