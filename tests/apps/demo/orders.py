"""The demo's orders and prices, on flask. With PGHOST set, prices are in PostgreSQL."""

import os
import threading
import time

from flask import Flask, jsonify, request

if "PGHOST" in os.environ:
    import psycopg

app = Flask(__name__)


@app.get("/orders/<int:number>")
def order(number):
    return jsonify(number=number, jars=number % 5 + 1)


@app.post("/orders")
def make():
    return jsonify(taken=len(request.get_data())), 201


@app.get("/prices/<int:item>")
def price(item):
    if "PGHOST" in os.environ:
        statement = "SELECT cents FROM prices WHERE item = %s AND currency = 'EUR'"
        (cents,) = database().execute(statement, (item,)).fetchone()
    else:
        time.sleep(0.004)  # As if it asked someone.
        cents = item * 100 + 99
    return jsonify(price=cents)


connections = threading.local()


def database():
    """The thread's own connection."""
    if not hasattr(connections, "own"):
        connections.own = psycopg.connect(autocommit=True)
    return connections.own


@app.get("/broken")
def broken():
    return jsonify(error="out of honey"), 500
