"""What a pymemcache program does with Memcached, and then one that speaks the protocol itself. Argument: the port."""

import socket
import sys

from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheClientError

CANARY = "canary-7f3a"

client = Client(("127.0.0.1", int(sys.argv[1])), default_noreply=False)
client.set(CANARY, CANARY, expire=60)
assert client.get(CANARY).decode() == CANARY
client.add(CANARY, CANARY)
client.get_many([CANARY, "absent", "other"])
value, token = client.gets(CANARY)
assert client.cas(CANARY, CANARY, token)
client.set("number", "41")
assert client.incr("number", 1) == 42
try:
    client.incr(CANARY, 1)
    raise SystemExit("a word is a number")
except MemcacheClientError:
    pass
client.touch(CANARY, 10)
client.set("quiet", CANARY, noreply=True)
client.delete("absent")
# Larger than what is captured of a message, in both directions.
client.set("big", CANARY * 10_000)
assert len(client.get("big")) == len(CANARY) * 10_000
client.version()
client.stats()
client.flush_all()
client.close()

peer = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
answers = peer.makefile("rb")


def ask(text, lines):
    peer.sendall(text.encode())
    return [answers.readline() for _ in range(lines)]


ask(f"ms {CANARY} {len(CANARY)} T60\r\n{CANARY}\r\n", 1)
ask(f"mg {CANARY} v t\r\n", 2)
ask("mg absent v\r\n", 1)
# Quiet commands: two misses that are not told, one value.
ask(f"mg a v k q\r\nmg {CANARY} v k q\r\nmg b v k q\r\nmn\r\n", 3)
