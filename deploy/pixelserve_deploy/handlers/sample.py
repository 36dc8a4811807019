"""The request that a handler is tried with when its author gives none."""

from __future__ import annotations

import base64
import json
import struct
import zlib


def make_sample() -> bytes:
    """JSON with a grey PNG of 16 x 16 pixels in Base64, the request that the toolkit's own features take."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(range(0, 256, 16)) for _ in range(16))
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack("!IIBBBBB", 16, 16, 8, 0, 0, 0, 0))
    png += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return json.dumps({"img": base64.b64encode(png).decode()}).encode()
