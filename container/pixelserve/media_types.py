"""Media types: what callers send and ask for, and the formats that pictures are written in."""

from __future__ import annotations

from pixelserve.errors import NotAcceptable

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
    b"II+\0": "image/tiff",
    b"MM\0+": "image/tiff",
    b"GIF8": "image/gif",
    b"\xff\x0a": "image/jxl",
    b"\0\0\0\x0cJXL ": "image/jxl",
    b"\0\0\0\x0cjP  ": "image/jp2",
    b"\xff\x4f\xff\x51": "image/jp2",
    b"8BPS": "image/vnd.adobe.photoshop",
    b"v/1\x01": "image/x-exr",
    b"#?RADIANCE": "image/vnd.radiance",
    b"qoif": "image/qoi",
    b"<svg": "image/svg+xml",
    b"%PDF-": "application/pdf",
    b"\x93NUMPY": NPY,
}
_BRANDS = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "image/heic"),
}
"""Major brands of ISO base media files that are pictures (ISO/IEC 23008-12, MIAF)."""
_ALIASES = {"image/jpg": "image/jpeg"}
"""Names that are in use and not registered."""
_PROLOGUE = 1_024
"""Bytes of XML in which an SVG shows itself."""
OPEN_TYPES = ("", RAW, "application/x-image")
"""Types that do not say what a body is."""
_ENDINGS = {".json": JSON, ".csv": CSV, ".jsonl": "application/jsonlines", ".npz": "application/x-npz"}


def essence(media_type: str) -> str:
    """The type without its parameters, in lower case (WHATWG MIME Sniffing has the name); image/jpg is image/jpeg."""
    kind = media_type.partition(";")[0].strip().lower()
    return _ALIASES.get(kind, kind)


def format_of(name: str) -> str:
    """The name of a format that pictures are written in, given as that or as its media type."""
    return next((known for known, kind in MEDIA_TYPES.items() if kind == essence(name)), name)


def is_json(content_type: str) -> bool:
    return essence(content_type) == JSON


def content_type_of(data: bytes, name: str = "") -> str:
    """The media type: of text by the file name's ending, else by the first bytes; unknown is left to the endpoint.

    Text that begins as JSON does is JSON.
    """
    by_name = next((kind for ending, kind in _ENDINGS.items() if name.lower().endswith(ending)), None)
    if by_name is not None:
        return by_name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12], "video/mp4")
    if data.startswith(b"<?xml") and b"<svg" in data[:_PROLOGUE]:
        return "image/svg+xml"
    told = next((kind for magic, kind in _MAGIC.items() if data.startswith(magic)), RAW)
    return JSON if told == RAW and data[:64].lstrip()[:1] in (b"{", b"[") else told


def resolve_type(content_type: str, body: bytes) -> str:
    """The content type, or what the first bytes say where it leaves that open: "", application/octet-stream, x-image.

    JSON is what an absent header means, so that a picture under that name is a picture.
    """
    kind = essence(content_type)
    if kind not in (*OPEN_TYPES, JSON):
        return content_type
    told = content_type_of(body)
    if told.startswith("image/"):
        return told
    return JSON if kind in OPEN_TYPES and told == JSON else content_type


def answer_type(accept: str, content_type: str, image_type: str = MEDIA_TYPES["png"]) -> str:
    """The first media type of Accept that can be answered: JSON or one of MEDIA_TYPES.

    For `*/*` JSON is answered with JSON and an image with an image, which is of `image_type` where Accept leaves it
    open. Raises NotAcceptable.
    """
    for kind in map(essence, accept.split(",")):
        if kind in ("*/*", ""):
            kind = JSON if is_json(content_type) else "image/*"
        if kind == "image/*":
            kind = image_type
        if kind == JSON or kind in MEDIA_TYPES.values():
            return kind
    raise NotAcceptable(f"Accept {accept} cannot be answered. Accept {JSON}, {', '.join(MEDIA_TYPES.values())}.")
