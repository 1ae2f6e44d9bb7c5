"""What a redis-py program does with Redis. Arguments: the server's URL, and the version of the protocol."""

import sys
import threading

import redis

CANARY = "canary-7f3a"

url, protocol = sys.argv[1], int(sys.argv[2])
client = redis.Redis.from_url(url, protocol=protocol, db=2, lib_name=None, lib_version=None)

client.set("greeting", CANARY, ex=60)
assert client.get("greeting").decode() == CANARY
client.hset("profile", mapping={"name": CANARY, "mail": CANARY})
assert len(client.hgetall("profile")) == 2
client.sadd("members", CANARY)
client.smembers("members")
client.zadd("scores", {CANARY: 1.5})
client.zscore("scores", CANARY)
client.get("absent")
try:
    client.lpush("greeting", CANARY)
    raise SystemExit("a string is a list")
except redis.ResponseError:
    pass
client.eval("return ARGV[1]", 1, "greeting", CANARY)

# Larger than what is captured of a message, in both directions; then an array that is.
client.set("big", CANARY * 10_000)
assert len(client.get("big")) == len(CANARY) * 10_000
client.rpush("list", *(CANARY for _ in range(3_000)))
assert len(client.lrange("list", 0, -1)) == 3_000
client.llen("list")

with client.pipeline(transaction=False) as pipeline:
    for number in range(50):
        pipeline.incrby(f"counter:{number}", number)
    assert len(pipeline.execute()) == 50

with client.pipeline() as pipeline:
    pipeline.set("a", CANARY)
    pipeline.set("b", CANARY)
    pipeline.execute()

with client.pipeline() as pipeline:
    pipeline.watch("a")
    pipeline.multi()
    client.set("a", CANARY)
    pipeline.get("a")
    pipeline.get("b")
    try:
        pipeline.execute()
        raise SystemExit("a watched key had not changed")
    except redis.WatchError:
        pass

assert client.blpop("queue", timeout=0.2) is None
threading.Timer(0.2, lambda: client.lpush("queue", CANARY)).start()
assert client.blpop(["queue", "other"], timeout=10)

subscription = client.pubsub()
subscription.subscribe("news", "weather")
for _ in range(2):
    assert subscription.get_message(timeout=5)["type"] == "subscribe"
for _ in range(3):
    client.publish("news", CANARY)
for _ in range(3):
    assert subscription.get_message(timeout=5)["type"] == "message"
subscription.close()

client.delete("greeting", "big")
