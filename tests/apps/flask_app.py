"""The scripted routes on flask."""

from flask import Flask, Response, request

app = Flask(__name__)


@app.get("/ok")
def ok():
    return "ok"


@app.get("/big")
def big():
    return Response((b"z" * 8192 for _ in range(8)), mimetype="application/octet-stream")


@app.get("/moved")
def moved():
    return Response(status=302, headers={"Location": "/ok"})


@app.get("/fail")
def fail():
    return "failed", 500


@app.post("/items")
def make():
    request.get_data()
    return "made", 201


@app.route("/items/<int:number>", methods=["GET", "PUT", "DELETE"])
def item(number):
    request.get_data()
    return ("", 204) if request.method == "DELETE" else f"item {number}"
