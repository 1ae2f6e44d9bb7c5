"""Functions whose shares of the time are steady: recursion, generators, coroutines, threads, methods, C code that takes
the time, and C code that calls back. `deep`: nothing but a recursion of so many levels. With a file as its argument it
counts its rounds there, as eight bytes.
"""

import asyncio
import ctypes
import hashlib
import itertools
import json
import mmap
import random
import struct
import sys
import threading
import time

# A shorter one than 2,048 bytes is hashed without letting other threads run.
BLOCK = b"x" * 2_000
RECORD = {"numbers": list(range(400)), "name": "é" * 50}
VALUES = random.Random(7).sample(range(10_000), 300)
LIBC = ctypes.PyDLL(None)
COMPARISON = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))


def loop(count):
    total = 0
    for number in range(count):
        total += number * number % 7
    return total


def digest(count):
    for _ in range(count):
        hashlib.sha256(BLOCK).digest()


def encode(count):
    for _ in range(count):
        json.dumps(RECORD)


def numbers(count):
    for number in range(count):
        yield number * 3 % 11


def generate(count):
    return sum(number for number in numbers(count))


def descend(depth, count):
    if depth == 0:
        return loop(count)
    return descend(depth - 1, count) + 1


class Worker:
    def step(self, count):
        values = [value ^ 5 for value in range(count)]
        values.sort(key=self.key)
        return values

    def key(self, value):
        return value & 15


def compare(left, right):
    return left[0] - right[0]


COMPARE = COMPARISON(compare)


def order():
    """libc's qsort between two Python frames."""
    values = (ctypes.c_int * len(VALUES))(*VALUES)
    LIBC.qsort(values, len(values), ctypes.sizeof(ctypes.c_int), COMPARE)


async def produce(queue, count):
    for number in range(count):
        loop(20)
        await queue.put(number)
    await queue.put(None)


async def consume(queue):
    total = 0
    while (number := await queue.get()) is not None:
        total += settle(number)
    return total


def settle(number):
    return sum(divmod(number, digit)[1] for digit in range(1, 12))


async def exchange(count):
    queue = asyncio.Queue(64)
    await asyncio.gather(produce(queue, count), consume(queue))


def rounds(done):
    worker = Worker()
    events = asyncio.new_event_loop()
    for count in itertools.count(1):
        # Of no steady length: who samples at a steady rate must not meet the same function again and again.
        loop(random.randrange(3_000, 9_000))
        digest(120)
        encode(12)
        generate(6_000)
        descend(30, 3_000)
        worker.step(3_000)
        order()
        events.run_until_complete(exchange(120))
        struct.pack_into("=Q", done, 0, count)


def background():
    while True:
        spare(12_000)
        time.sleep(0.02)


def spare(count):
    total = 1
    for number in range(count):
        total = total * 31 + number & 0xFFFF
    return total


def deep(depth):
    sys.setrecursionlimit(depth + 100)
    while True:
        descend(depth, 200_000)


def counter(path):
    with open(path, "w+b") as file:
        file.truncate(8)
        return mmap.mmap(file.fileno(), 8)


if __name__ == "__main__":
    if sys.argv[1:2] == ["deep"]:
        print("ready", flush=True)
        deep(int(sys.argv[2]))
    done = counter(sys.argv[1]) if len(sys.argv) > 1 else bytearray(8)
    for _ in range(2):
        threading.Thread(target=background, daemon=True).start()
    print("ready", flush=True)
    rounds(done)
