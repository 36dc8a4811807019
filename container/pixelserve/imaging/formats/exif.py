"""The orientation in Exif data (Exif 2.3; TIFF 6.0, section 2). Whatever else is in it does not matter here."""

from __future__ import annotations

import struct

_ORIENTATION = 0x0112
_INTEGERS = {1: "B", 3: "H", 4: "I"}
"""Types BYTE, SHORT and LONG; the standard has SHORT, and writers have all three."""
_START = b"Exif\0\0"


def read_orientation(exif: bytes | None) -> int:
    """1 to 8; 1 where there is none, or where what is there is no orientation."""
    data = (exif or b"").removeprefix(_START)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        return 1
    try:
        directory = struct.unpack_from(f"{order}I", data, 4)[0]
        for number in range(struct.unpack_from(f"{order}H", data, directory)[0]):
            entry = directory + 2 + 12 * number
            tag, kind, count = struct.unpack_from(f"{order}HHI", data, entry)
            if tag == _ORIENTATION and kind in _INTEGERS and count:
                value = struct.unpack_from(f"{order}{_INTEGERS[kind]}", data, entry + 8)[0]
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1
