"""Unsupported, damaged and mislabelled are three messages; what would cost too much is refused before it does."""

from __future__ import annotations

import base64
import gzip
import io
import json
import struct
import zlib
from typing import Any

import jpeg_files as jpeg
import numpy as np
import png_files as png
import pytest
import tiff_files as tiff
from jpeg_files import Jpeg
from PIL import Image as Pillow

from pixelserve.errors import BadRequest, ImageTooLarge, InvalidImage, OutputTooLarge, UnsupportedMediaType
from pixelserve.imaging import check_format, decode, read_header, read_request
from pixelserve.imaging.sizes import MOST_SCANNED_PIXELS
from pixelserve.media_types import content_type_of
from pixelserve.schema import ImageRequest
from pixelserve.settings import Settings

SETTINGS = Settings()
BOX = b"\0\0\0\x18ftyp%s\0\0\0\0mif1"
OTHERS = {
    "GIF": b"GIF89a" + bytes(20),
    "HEIC": BOX % b"heic",
    "AVIF": BOX % b"avif",
    "AVIF, by what it is compatible with": b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf",
    "a camera's raw file": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom",
    "a video": b"\0\0\0\x18ftypisom\0\0\0\1isommp41",
    "a video, WebM": b"\x1a\x45\xdf\xa3" + bytes(20),
    "JPEG XL": b"\xff\x0a" + bytes(20),
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n",
    "SVG": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "SVG, behind a comment": b'\xef\xbb\xbf\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "XML": b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
    "ICO": b"\0\0\1\0\1\0\x10\x10",
    "JPEG XR": b"II\xbc\1" + bytes(20),
    "PNM": b"P6\n4 4\n255\n" + bytes(48),
    "PNM, in one line": b"P6 4 4 255\n" + bytes(48),
    "a camera's raw file, Fujifilm's": b"FUJIFILMCCD-RAW 0201",
    "a camera's raw file, Olympus's": b"IIRO\x08\0\0\0",
    "a camera's raw file, Panasonic's": b"IIU\0\x18\0\0\0",
    "a Windows metafile": b"\xd7\xcd\xc6\x9a" + bytes(20),
    "PCX": b"\x0a\5\1\x08" + bytes(20),
    "PostScript, with a preview": b"\xc5\xd0\xd3\xc6\x1e\0\0\0",
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0",
    "a ZIP archive": b"PK\3\4" + bytes(20),
    "gzip": b"\x1f\x8b\x08" + bytes(20),
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4fa0d3\nsize 67040989\n",
    "an image in Base64": base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(20)),
    "an image in Base64, a data: URL": b"data:image/png;base64,iVBORw0KGgo",
    "PSD": b"8BPS\0\1" + bytes(20),
    "DICOM": bytes(128) + b"DICM" + bytes(20),
    "PDF": b"%PDF-1.7",
    "a web page": b"\n<!-- page -->\n<!DOCTYPE HTML><html></html>",
    "a web page, XHTML": b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "x">',
    "JSON": b'{"url": "x"}',
    "no image that is known": b"hello",
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_are_called_what_they_are(name: str) -> None:
    data, name = OTHERS[name], name.partition(",")[0]
    with pytest.raises(UnsupportedMediaType, match=f"This is {name}.* Send JPEG, PNG, BMP, WebP or TIFF"):
        decode(data, SETTINGS)
    for content_type in ("image/jpeg", "image/png; q=1", "Image/TIFF"):
        called = content_type.partition(";")[0].lower()
        with pytest.raises(UnsupportedMediaType, match=f"The body is called {called}, but it is {name}"):
            read_request(ImageRequest, data, content_type)
    if name != "JSON":
        told = content_type_of(data)  # what `invoke` and a transform send
        for content_type in ("", "application/octet-stream", "image/*", told):
            with pytest.raises(UnsupportedMediaType, match=f"This is {name}"):
                read_request(ImageRequest, data, content_type)
        body = json.dumps({"img": base64.b64encode(data).decode()}).encode()
        with pytest.raises(UnsupportedMediaType, match=f"This is {name}"):
            read_request(ImageRequest, body, "application/json")


def test_a_picture_is_read_whatever_it_is_called() -> None:
    data = png.write_png(np.full((2, 3, 1), 7), 8, png.GREY)
    text = base64.urlsafe_b64encode(data).decode().replace("=", "%3D")
    for body, content_type in (
        (data, "image/jpeg"),
        (data, "application/json"),
        (data, "application/octet-stream"),
        (json.dumps({"url": f" DATA:image/jpeg;Base64,{text}"}).encode(), "application/json"),
    ):
        assert read_request(ImageRequest, body, content_type)[1].width == 3


@pytest.mark.parametrize("content_type", ["image/png", "", "application/octet-stream"])
def test_an_empty_body(content_type: str) -> None:
    with pytest.raises(InvalidImage, match="The image is empty"):
        read_request(ImageRequest, b"", content_type)
    with pytest.raises(BadRequest, match="The body is empty"):
        read_request(ImageRequest, b"", "application/json")


def test_a_png_that_was_sent_as_text() -> None:
    data = png.write_png(np.full((2, 3, 1), 7), 8, png.GREY)
    with pytest.raises(InvalidImage, match="changed on its way"):
        decode(data.replace(b"\r\n", b"\n"), SETTINGS)


def test_blank_pages_are_no_bombs() -> None:
    """A4 at 600 dots an inch, in colour and in black and white: 104 and 4 MB, decoded from next to nothing."""
    webp = io.BytesIO()
    Pillow.new("RGB", (4960, 7016), "white").save(webp, "WEBP", lossless=True)
    rows = b"1" * 7016 + b"000000000001" * 2  # fax: each row is as the one above
    fax = int(rows + b"0" * (-len(rows) % 8), 2).to_bytes(-(-len(rows) // 8), "big")
    page = np.broadcast_to(np.int64(0), (7016, 4960, 1))
    g4 = tiff.write_tiff(page, 1, tiff.WHITE_IS_ZERO, compression=tiff.FAX_4, encode=lambda _: fax)
    for data in (webp.getvalue(), g4):
        assert len(data) < 5_000
        assert decode(data, SETTINGS).pixels.min() == 255


def test_what_decodes_to_hundreds_of_megabytes_from_nothing() -> None:
    deflated = zlib.compress(bytes(7000 * 7000 * 3 + 7000), 9)
    data = png.write_png(np.zeros((1, 1, 3), int), 8, png.RGB)
    head = png.chunk(b"IHDR", struct.pack("!IIBBBBB", 7000, 7000, 8, 2, 0, 0, 0))
    bomb = data[:8] + head + png.chunk(b"IDAT", deflated) + png.chunk(b"IEND")
    with pytest.raises(ImageTooLarge, match="PIXELSERVE_MAX_DECODE_RATIO"):
        decode(bomb, Settings(max_decode_ratio=900))


def test_scans_of_a_large_jpeg_have_a_budget() -> None:
    """The header alone is large; a decoder would go over all its pixels in each scan."""
    data = bytearray(Jpeg(8, 8, [np.zeros((1, 1), np.uint8)], process=jpeg.PROGRESSIVE).write())
    at = data.index(b"\xff\xc2") + 5
    data[at : at + 4] = struct.pack("!HH", 7000, 7000)
    last = bytes(data[data.rindex(b"\xff\xda") : -2])
    scans = MOST_SCANNED_PIXELS // 7000**2
    bomb = bytes(data[:-2]) + last * scans + b"\xff\xd9"
    with pytest.raises(ImageTooLarge, match=f"in {scans + 2} scans"):
        decode(bomb, SETTINGS)
    assert read_header(bytes(data)).scans == 2


def test_a_check_comes_before_the_pixels() -> None:
    """Those of this file are damaged, which nobody has seen yet when its size is refused."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
    data = Jpeg(32, 16, [np.zeros((2, 4), np.uint8)], segments=[(0xE1, exif)]).write()
    damaged = data[:-8] + b"\xff\xd9"
    seen: list[tuple[Any, ...]] = []

    def check(*size: Any) -> None:
        seen.append(size)
        raise OutputTooLarge("no")

    with pytest.raises(OutputTooLarge):
        decode(damaged, SETTINGS, check)
    with pytest.raises(OutputTooLarge):
        read_request(ImageRequest, damaged, "image/jpeg", check=check)
    assert seen == [(16, 32), (ImageRequest(url=None, img=None), 16, 32)]


@pytest.mark.parametrize(("format", "most"), [("jpeg", 65_500), ("webp", 16_383), ("image/webp", 16_383)])
def test_what_a_format_holds(format: str, most: int) -> None:
    check_format(most, 1, format)
    check_format(10**6, 1, "png")
    with pytest.raises(OutputTooLarge, match="Ask for PNG") as refused:
        check_format(1, most + 1, format)
    assert refused.value.param == "format"


def test_a_compressed_file_is_no_picture() -> None:
    with pytest.raises(UnsupportedMediaType):
        decode(gzip.compress(png.write_png(np.full((2, 3, 1), 7), 8, png.GREY)), SETTINGS)
