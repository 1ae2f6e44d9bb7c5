"""The demo's orders and prices, on flask."""

import time

from flask import Flask, jsonify, request

app = Flask(__name__)


@app.get("/orders/<int:number>")
def order(number):
    return jsonify(number=number, jars=number % 5 + 1)


@app.post("/orders")
def make():
    return jsonify(taken=len(request.get_data())), 201


@app.get("/prices/<int:item>")
def price(item):
    time.sleep(0.004)  # As if it asked someone.
    return jsonify(price=item * 100 + 99)


@app.get("/broken")
def broken():
    return jsonify(error="out of honey"), 500
