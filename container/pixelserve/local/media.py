"""Media types of what callers send."""

from __future__ import annotations

JSON = "application/json"
_MAGIC = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"BM": "image/bmp",
    b"II*\0": "image/tiff",
    b"MM\0*": "image/tiff",
    b"\x93NUMPY": "application/x-npy",
}
_ENDINGS = {".json": JSON, ".csv": "text/csv"}


def content_type_of(data: bytes, name: str = "") -> str:
    """The media type: of text by the file name's ending, else by the first bytes; unknown is left to the endpoint."""
    by_name = next((kind for ending, kind in _ENDINGS.items() if name.lower().endswith(ending)), None)
    if by_name is not None:
        return by_name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _MAGIC.items() if data.startswith(magic)), "application/octet-stream")
