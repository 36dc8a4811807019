"""Forms, read without the gateway around them."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

import httpx
import pytest
from starlette.datastructures import Headers

from pixelserve_gateway.forms import read_form


def test_a_large_file_needs_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    photo = os.urandom(3_000_000)
    request = httpx.Request("POST", "http://gateway/", files={"image": ("photo.png", photo)}, data={"scale": "4"})
    files, fields = asyncio.run(read_form(Headers(dict(request.headers)), request.read()))
    assert (files, fields) == ({"image": photo}, {"scale": 4})
