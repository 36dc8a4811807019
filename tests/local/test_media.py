"""What callers send, by its first bytes or its name."""

import pytest

from pixelserve.media_types import content_type_of


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\0\0\0\0WAVE", "application/octet-stream"),
        (b"BM\0\0", "image/bmp"),
        (b"II*\0", "image/tiff"),
        (b"\x93NUMPY\x01", "application/x-npy"),
        (b"?", "application/octet-stream"),
    ],
)
def test_the_content_type_is_that_of_the_bytes(data, expected):
    assert content_type_of(data) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.json", "application/json"), ("a.CSV", "text/csv"), ("a.jpg", "image/bmp"), ("json", "image/bmp")],
)
def test_the_content_type_of_text_is_that_of_the_name(name, expected):
    assert content_type_of(b"BMW,1\n", name) == expected
