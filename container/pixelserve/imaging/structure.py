"""The structure of PNG and JPEG files, walked before a decoder sees them.

Some small files cost a decoder minutes: a JPEG of endless scans, a PNG of a million chunks or of text that inflates to
gigabytes. Their structure tells (W3C PNG, third edition, section 5; ITU-T T.81, annex B).
"""

from __future__ import annotations

import re
import struct
import zlib

from pixelserve.errors import InvalidImage

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8\xff"
MOST_CHUNKS = 50_000
MOST_SEGMENTS = 5_000
MOST_SCANS = 100
"""Of one JPEG; encoders write about ten."""

_PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"iCCP", b"eXIf")
_JPEG_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
_EOI, _SOS = 0xD9, 0xDA


def check_structure(data: bytes) -> bytes:
    """The file as it may be decoded: a PNG without what does not matter for its pixels, any other as it is.

    Raises InvalidImage for a PNG that is cut off or damaged, and for a PNG or JPEG of more parts than a picture has.
    """
    if data.startswith(PNG_SIGNATURE):
        return _essential_chunks(data)
    if data.startswith(JPEG_START):
        _check_segments(data)
    return data


def _essential_chunks(data: bytes) -> bytes:
    view = memoryview(data)
    kept: list[bytes | memoryview] = [PNG_SIGNATURE]
    start = len(PNG_SIGNATURE)
    for _ in range(MOST_CHUNKS):
        if start + 12 > len(data):
            raise InvalidImage("The PNG file is cut off. Send the whole file.")
        length, kind = struct.unpack_from("!I4s", data, start)
        end = start + 12 + length
        if end > len(data):
            raise InvalidImage("The PNG file is cut off. Send the whole file.")
        if kind in _PNG_KEPT:
            if zlib.crc32(view[start + 4 : end - 4]) != struct.unpack_from("!I", data, end - 4)[0]:
                raise InvalidImage(f"The PNG file is damaged: its {kind.decode()} chunk has a wrong checksum.")
            kept.append(view[start:end])
        if kind == b"IEND":
            return b"".join(kept)
        start = end
    raise InvalidImage(f"The PNG file has more than {MOST_CHUNKS:,} chunks. Save it again.")


def _check_segments(data: bytes) -> None:
    position, scans = 2, 0
    for _ in range(MOST_SEGMENTS):
        found = _JPEG_MARKER.search(data, position)
        if found is None or found[1][0] == _EOI:
            return  # whether a cut-off file can be read is for the decoder to say
        if found[1][0] == _SOS:
            scans += 1
            if scans > MOST_SCANS:
                raise InvalidImage(f"The JPEG file has more than {MOST_SCANS} scans. Save it again.")
        length = data[found.end() : found.end() + 2]
        position = found.end() + int.from_bytes(length, "big")
    raise InvalidImage(f"The JPEG file has more than {MOST_SEGMENTS:,} segments. Save it again.")
