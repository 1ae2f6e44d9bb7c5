"""flask and requests with OpenTelemetry's own instrumentation. Takes a port, where to call, and a file.

Every span that the SDK has made is a line of the file: kind, trace id, span id, parent's id, path. With
OTEL_EXPORTER_OTLP_TRACES_ENDPOINT in the environment they are exported over OTLP as well.
"""

import http.client
import os
import sys
import threading
from urllib.parse import urlsplit

import flask
import requests
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

port, upstream, file = int(sys.argv[1]), sys.argv[2], sys.argv[3]


class Lines(SpanExporter):
    """Writes each span as it ends."""

    lock = threading.Lock()

    def export(self, spans):
        with self.lock, open(file, "a", encoding="ascii") as out:
            for span in spans:
                context, parent = span.context, span.parent
                path = span.attributes.get("url.path") or span.attributes.get("http.target")
                path = path or urlsplit(span.attributes.get("url.full") or span.attributes["http.url"]).path
                above = f"{parent.span_id:016x}" if parent else "-"
                print(span.kind.name, f"{context.trace_id:032x}", f"{context.span_id:016x}", above, path, file=out)
        return SpanExportResult.SUCCESS


provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(Lines()))
if "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" in os.environ:
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
RequestsInstrumentor().instrument()
app = flask.Flask(__name__)
FlaskInstrumentor().instrument_app(app)


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
