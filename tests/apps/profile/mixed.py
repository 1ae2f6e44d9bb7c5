"""Known shares of known functions: recursion, generators, threads, methods, and C code that takes the time."""

import hashlib
import json
import sys
import threading

BLOCK = b"x" * 40_000
RECORD = {"numbers": list(range(400)), "name": "é" * 50}


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


def descend(depth):
    if depth == 0:
        return loop(3_000)
    return descend(depth - 1) + 1


class Worker:
    def step(self, count):
        values = [value ^ 5 for value in range(count)]
        values.sort(key=self.key)
        return values

    def key(self, value):
        return value & 15


def rounds():
    worker = Worker()
    while True:
        loop(12_000)
        digest(8)
        encode(20)
        generate(6_000)
        descend(30)
        worker.step(3_000)


def background():
    while True:
        loop(4_000)


if __name__ == "__main__":
    for _ in range(2):
        threading.Thread(target=background, daemon=True).start()
    print("ready", flush=True)
    rounds()
