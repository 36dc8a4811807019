"""Media types: what callers send and ask for, and the formats that pictures are written in."""

from __future__ import annotations

import re

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
    b"\0\0\1\0": "image/vnd.microsoft.icon",
    b"II\xbc\1": "image/jxr",
    **{b"P%d%c" % (kind, blank): "image/x-portable-anymap" for kind in range(1, 8) for blank in b" \t\r\n"},
    b"%!PS": "application/postscript",
    b"\xc5\xd0\xd3\xc6": "application/postscript",
    **dict.fromkeys((b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0"), "image/x-raw"),
    b"\xd7\xcd\xc6\x9a": "image/wmf",
    b"\x0a\5\1": "image/vnd.zbrush.pcx",
    b"%PDF-": "application/pdf",
    b"\x1a\x45\xdf\xa3": "video/webm",
    b"PK\3\4": "application/zip",
    b"\x1f\x8b": "application/gzip",
    b"\x93NUMPY": NPY,
}
_BRANDS = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"crx ": "image/x-canon-cr3",
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "image/heic"),
}
"""Brands of ISO base media files that are pictures (ISO/IEC 23008-12, MIAF), the one that tells more first."""
_ALIASES = {"image/jpg": "image/jpeg"}
"""Names that are in use and not registered."""
_PROLOGUE = 1_024
"""Bytes of XML in which an SVG shows itself, and of a box that has the brands."""
_XML = re.compile(rb"(\xef\xbb\xbf)?\s*(<\?xml|<svg|<!--|<!DOCTYPE svg)")
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
    if data[128:132] == b"DICM":
        return "application/dicom"
    if data[4:8] == b"ftyp":
        return _of_brands(data)
    if _XML.match(data):
        return "image/svg+xml" if b"<svg" in data[:_PROLOGUE] else "application/xml"
    told = next((kind for magic, kind in _MAGIC.items() if data.startswith(magic)), RAW)
    return JSON if told == RAW and data[:64].lstrip()[:1] in (b"{", b"[") else told


def _of_brands(data: bytes) -> str:
    """Of an ISO base media file, by the brand of its box ftyp and those it is compatible with."""
    size = min(int.from_bytes(data[:4], "big"), _PROLOGUE)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, size, 4))}
    return next((kind for brand, kind in _BRANDS.items() if brand in brands), "video/mp4")


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
