"""flask and requests, for OpenTelemetry's automatic instrumentation to find. Takes a port and where to call.

With `in-code` as a third argument the program calls the instrumentation itself, and was not started under it.
"""

import sys

if sys.argv[3:] == ["in-code"]:
    from opentelemetry.instrumentation.auto_instrumentation import initialize

    initialize()

import http.client
from urllib.parse import urlsplit

import flask
import requests

port, upstream = int(sys.argv[1]), sys.argv[2]
app = flask.Flask(__name__)


@app.get("/two/<number>")
def two(number):
    """A call that the SDK sees, and one that it does not."""
    requests.get(f"{upstream}/seen/{number}", timeout=10).raise_for_status()
    address = urlsplit(upstream)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
    connection.request("GET", f"/unseen/{number}")
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return ("ok", 200) if answer.status == 200 else ("no", 502)


@app.get("/none/<number>")
def none(number):
    """No call."""
    return number


app.run("127.0.0.1", port, threaded=True)
