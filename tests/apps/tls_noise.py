"""Both ends of a TLS connection on which nothing is said that anybody parses. Takes a key, a certificate, and how many
lines are said and answered before a pause and after it."""

import socket
import ssl
import sys
import threading
import time

key, certificate, before, after = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
LINE = b"SSH-2.0-nothing that is parsed\r\n"


def serve(listener):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    connection = context.wrap_socket(listener.accept()[0], server_side=True)
    while line := connection.recv(len(LINE)):
        connection.sendall(line)


listener = socket.create_server(("127.0.0.1", 0))
server = threading.Thread(target=serve, args=(listener,))
server.start()
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
connection = context.wrap_socket(socket.create_connection(listener.getsockname()))
for lines in (before, after):
    for _ in range(lines):
        connection.sendall(LINE)
        assert connection.recv(len(LINE)) == LINE
    time.sleep(1)
connection.close()
server.join()
