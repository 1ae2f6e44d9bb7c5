"""An OTLP receiver on the official generated stubs. Takes a port for HTTP and prints the one for gRPC.

It prints a line for each span, metric and message of profiles that it could decode:
    span PROTOCOL TRACE_ID SPAN_ID KIND PARENT_ID PATH NAME
    metric PROTOCOL NAME POINTS
    profiles PROTOCOL MESSAGE_AS_JSON
"""

import gzip
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import grpc
import otlp_profiles
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.profiles.v1development import profiles_service_pb2 as profiles
from opentelemetry.proto.collector.profiles.v1development import profiles_service_pb2_grpc as profiles_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as traces_grpc


def report(*words):
    sys.stdout.write(" ".join(str(word) for word in words) + "\n")
    sys.stdout.flush()


def took_traces(protocol, request):
    for group in request.resource_spans:
        for span in (span for scope in group.scope_spans for span in scope.spans):
            parent, path = span.parent_span_id.hex() or "-", path_of(span)
            report("span", protocol, span.trace_id.hex(), span.span_id.hex(), span.kind, parent, path, span.name)


def path_of(span):
    texts = {pair.key: pair.value.string_value for pair in span.attributes}
    return texts.get("url.path") or urlsplit(texts.get("url.full", "")).path or "-"


def took_metrics(protocol, request):
    for group in request.resource_metrics:
        for metric in (metric for scope in group.scope_metrics for metric in scope.metrics):
            data = getattr(metric, metric.WhichOneof("data"))
            report("metric", protocol, metric.name, len(data.data_points))


def took_profiles(protocol, request):
    report("profiles", protocol, otlp_profiles.to_json(request))


def took_json(path, body):
    if path == "/v1development/profiles":
        took_profiles("json", otlp_profiles.from_json(body, profiles.ExportProfilesServiceRequest))
        return
    request = json.loads(body)
    # Not through the stubs' own JSON reader: OTLP writes ids as hex, protobuf's mapping as base64.
    for group in request.get("resourceSpans", []):
        for span in (span for scope in group["scopeSpans"] for span in scope["spans"]):
            parent = span.get("parentSpanId") or "-"
            report("span", "json", span["traceId"], span["spanId"], span["kind"], parent, "-", span["name"])
    for group in request.get("resourceMetrics", []):
        for metric in (metric for scope in group["scopeMetrics"] for metric in scope["metrics"]):
            (data,) = (metric[kind] for kind in ("sum", "gauge", "histogram") if kind in metric)
            report("metric", "json", metric["name"], len(data["dataPoints"]))


class Http(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.read_body()
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        kind = self.headers["Content-Type"]
        if kind == "application/json":
            took_json(self.path, body)
            answer = b"{}"
        else:
            assert kind == "application/x-protobuf", kind
            request, took = {
                "/v1/traces": (traces.ExportTraceServiceRequest, took_traces),
                "/v1/metrics": (metrics.ExportMetricsServiceRequest, took_metrics),
                "/v1development/profiles": (profiles.ExportProfilesServiceRequest, took_profiles),
            }[self.path]
            took("http", request.FromString(body))
            answer = b""
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def read_body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers["Content-Length"]))
        body = b""
        while length := int(self.rfile.readline(), 16):
            body += self.rfile.read(length)
            self.rfile.readline()
        self.rfile.readline()
        return body


class Traces(traces_grpc.TraceServiceServicer):
    def Export(self, request, context):
        took_traces("grpc", request)
        return traces.ExportTraceServiceResponse()


class Metrics(metrics_grpc.MetricsServiceServicer):
    def Export(self, request, context):
        took_metrics("grpc", request)
        return metrics.ExportMetricsServiceResponse()


class Profiles(profiles_grpc.ProfilesServiceServicer):
    def Export(self, request, context):
        took_profiles("grpc", request)
        return profiles.ExportProfilesServiceResponse()


# A minute's profiles are larger than gRPC's 4 MiB.
server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", 64 << 20)])
traces_grpc.add_TraceServiceServicer_to_server(Traces(), server)
metrics_grpc.add_MetricsServiceServicer_to_server(Metrics(), server)
profiles_grpc.add_ProfilesServiceServicer_to_server(Profiles(), server)
report("grpc", server.add_insecure_port("127.0.0.1:0"))
server.start()
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Http).serve_forever()
