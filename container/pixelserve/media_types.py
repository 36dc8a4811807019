"""Media types: what callers send and ask for, and the formats that pictures are written in."""

from __future__ import annotations

JSON, NPY, CSV, RAW = "application/json", "application/x-npy", "text/csv", "application/octet-stream"
NPZ = "application/x-npz"
JSON_LINES = ("application/jsonlines", "application/x-jsonlines", "application/jsonl", "application/x-ndjson")
"""The names in use for JSON Lines; SageMaker's own is the first."""
MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp", "npy": NPY}
"""Of the formats that a picture is written in, by their names."""
_MAGIC = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"BM": "image/bmp",
    b"II*\0": "image/tiff",
    b"MM\0*": "image/tiff",
    b"\x93NUMPY": NPY,
}
_ENDINGS = {".json": JSON, ".csv": CSV}


def essence(media_type: str) -> str:
    """The type without its parameters, in lower case (WHATWG MIME Sniffing has the name)."""
    return media_type.partition(";")[0].strip().lower()


def is_json(content_type: str) -> bool:
    return essence(content_type) == JSON


def content_type_of(data: bytes, name: str = "") -> str:
    """The media type: of text by the file name's ending, else by the first bytes; unknown is left to the endpoint."""
    by_name = next((kind for ending, kind in _ENDINGS.items() if name.lower().endswith(ending)), None)
    if by_name is not None:
        return by_name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _MAGIC.items() if data.startswith(magic)), RAW)
