"""The framing of application/vnd.amazon.eventstream, as far as a response stream of the SageMaker Runtime needs it.

A message is its length, the length of its headers and the CRC-32 of these two (4 bytes each, big-endian), the headers,
the payload, and the CRC-32 of all that. A header is its name behind a length of 1 byte, a type of 1 byte (7: a string)
and its value behind a length of 2 bytes. Source: "Event stream encoding" of the Amazon Transcribe developer guide.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping

from pixelserve.media_types import JSON, RAW

MEDIA_TYPE = "application/vnd.amazon.eventstream"
_STRING = 7


def encode_part(data: bytes) -> bytes:
    """A PayloadPart of the answer."""
    return _encode({":message-type": "event", ":event-type": "PayloadPart", ":content-type": RAW}, data)


def encode_exception(kind: str, members: Mapping[str, str]) -> bytes:
    """An exception of the stream: the name of its shape in botocore's model, and its members."""
    headers = {":message-type": "exception", ":exception-type": kind, ":content-type": JSON}
    return _encode(headers, json.dumps(members).encode())


def _encode(headers: Mapping[str, str], payload: bytes) -> bytes:
    written = b"".join(_encode_header(name.encode(), value.encode()) for name, value in headers.items())
    lengths = struct.pack("!II", 16 + len(written) + len(payload), len(written))
    message = b"".join((lengths, struct.pack("!I", zlib.crc32(lengths)), written, payload))
    return message + struct.pack("!I", zlib.crc32(message))


def _encode_header(name: bytes, value: bytes) -> bytes:
    return struct.pack("!B", len(name)) + name + struct.pack("!BH", _STRING, len(value)) + value
