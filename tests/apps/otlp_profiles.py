"""OTLP profiles through the official generated stubs: each message as a line of OTLP/JSON, from whatever encoding.

As a program it takes a file of OTLP/JSON, a message a line, and writes what the stubs made of it.
"""

import base64
import json
import sys

from google.protobuf import json_format
from opentelemetry.proto.profiles.v1development import profiles_pb2 as profiles

# OTLP/JSON has these as hex, where protobuf's own mapping has base64.
IDS = {"traceId", "spanId", "profileId"}


def with_ids(value, change):
    if isinstance(value, dict):
        return {key: change(inner) if key in IDS else with_ids(inner, change) for key, inner in value.items()}
    if isinstance(value, list):
        return [with_ids(inner, change) for inner in value]
    return value


def from_json(text, kind=profiles.ProfilesData):
    """Fails where a field is unknown or of another type."""
    in_base64 = with_ids(json.loads(text), lambda id: base64.b64encode(bytes.fromhex(id)).decode())
    return json_format.ParseDict(in_base64, kind())


def to_json(message):
    told = json_format.MessageToDict(message, use_integers_for_enums=True)
    return json.dumps(with_ids(told, lambda id: base64.b64decode(id).hex()), separators=(",", ":"))


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        for line in file:
            print(to_json(from_json(line)))
