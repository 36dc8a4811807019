"""Every kind of file is read as it was written, or refused by its name: never another picture."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from cells import any_name, cells
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelserve.errors import UnsupportedMediaType
from pixelserve.imaging import decode
from pixelserve.settings import Settings

CELLS = cells()
SETTINGS = Settings()


def check(name: str, seed: int, width: int, height: int) -> None:
    file = CELLS[name](np.random.default_rng([seed, zlib.crc32(name.encode())]), width, height)
    if file.pixels is None:
        with pytest.raises(UnsupportedMediaType) as refused:
            decode(file.data, SETTINGS)
        assert file.refused.lower() in refused.value.message.lower()
        return
    found = decode(file.data, SETTINGS).pixels
    assert (found.shape, found.dtype) == (file.pixels.shape, file.pixels.dtype)
    assert np.abs(found.astype(int) - file.pixels).max() <= file.near


@pytest.mark.parametrize("name", CELLS)
def test_each_kind_is_right_or_refused_by_name(name: str) -> None:
    check(name, 0, 37, 21)


any_file = given(any_name(CELLS), st.integers(0, 1 << 32), st.integers(1, 70), st.integers(1, 70))


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@any_file
def test_files_of_any_size(name: str, seed: int, width: int, height: int) -> None:
    check(name, seed, width, height)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@settings(max_examples=30_000, deadline=None, database=None)
@any_file
def test_many_files_of_any_size(name: str, seed: int, width: int, height: int) -> None:
    check(name, seed, width, height)
