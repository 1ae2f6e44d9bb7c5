"""Ground truth on threads: flask, requests with a session a thread. See tests/src/truth."""

import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import flask
import requests

UPSTREAM = os.environ["UPSTREAM"]
app = flask.Flask(__name__)
helpers = ThreadPoolExecutor(64)
own = threading.local()


def get(path):
    if not hasattr(own, "session"):
        own.session = requests.Session()
    own.session.get(UPSTREAM + path).raise_for_status()


def call(request, number):
    get(f"/up/{request}/{number}")


def pause():
    time.sleep(random.uniform(0, 0.005))


@app.get("/seq/<int:request>")
def seq(request):
    call(request, 1)
    call(request, 2)
    return "ok"


@app.get("/pause/<int:request>")
def pauses(request):
    pause()
    call(request, 1)
    pause()
    call(request, 2)
    pause()
    return "ok"


@app.get("/fan/<int:request>")
def fan(request):
    both = [helpers.submit(call, request, number) for number in (1, 2)]
    for one in both:
        one.result()
    call(request, 3)
    return "ok"


# The third program of the chain.
@app.get("/python/<int:request>")
def chain(request):
    get(f"/go/{request}")
    return "ok"
