"""Values and arrays on the wire: JSON, JSON Lines, CSV, NPY and NPZ, none of it with pickled objects.

What each type reads and writes is what sagemaker-inference 1.10's decoder and encoder do, JSON Lines excepted, which it
lacks.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelserve.wire import parse_json

Array = NDArray[Any]

LARGEST_UNPACKED = 32
"""A body may become arrays of so many times its own size."""
LEAST_UNPACKED = 64 * 1024 * 1024
"""Bytes that the arrays of any body may have."""
TEXT_BYTES = 4
"""Of a character in an array of strings, where all elements are as long as the longest."""


class JsonObject(dict[str, Any]):
    """A JSON object as a dict that may be read like the array that sagemaker-inference makes of it.

    There it is an array of no dimensions that holds the dict; so this has `item()`, `tolist()`, `[()]` and `shape`.
    """

    shape: tuple[int, ...] = ()
    ndim = 0
    size = 1
    dtype = np.dtype(object)

    def item(self) -> dict[str, Any]:
        return self

    def tolist(self) -> dict[str, Any]:
        return self

    def __getitem__(self, key: Any) -> Any:
        return self if isinstance(key, tuple) and not key else super().__getitem__(key)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        array = np.empty((), dtype=object)
        array[()] = dict(self)
        return array


def as_array(value: Any, source: bytes) -> Any:
    """A JSON value as sagemaker-inference gives it: an ndarray; an object as JsonObject. It was read from `source`.

    Raises ValueError for lists that differ in length, and for strings that would take too much memory side by side.
    """
    if isinstance(value, dict):
        return JsonObject(value)
    if b'"' in source:
        lengths = [*_text_lengths(value)]
        _check_unpacked(TEXT_BYTES * len(lengths) * max(lengths, default=0), len(source))
    return np.array(value)


def _text_lengths(value: Any) -> Iterator[int]:
    """Characters of each string in nested lists, 0 for other elements."""
    if isinstance(value, list):
        for element in value:
            yield from _text_lengths(element)
    else:
        yield len(value) if isinstance(value, str) else 0


def _check_unpacked(size: int, source: int) -> None:
    """Raises ValueError when `source` bytes would become arrays of too many bytes."""
    most = max(LEAST_UNPACKED, LARGEST_UNPACKED * source)
    if size > most:
        raise ValueError(f"it would take more than {most:,} bytes of memory")


def read_json(data: bytes) -> Any:
    """Raises ValueError for what is no JSON. NaN and infinities are taken, as Python writes them."""
    return parse_json(data)


def read_json_lines(text: str) -> list[Any]:
    """The value of each line that is not blank. Raises ValueError naming the line that is no JSON."""
    values = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            values += [parse_json(line)] if line.strip() else []
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
    return values


def read_csv(text: str) -> Array:
    """As numpy.genfromtxt guesses it: one row or column is 1-D, columns of several types are a structured array.

    Raises ValueError for nothing, and for rows of several lengths.
    """
    if not text.strip():
        raise ValueError("there are no rows")
    lines = text.splitlines()
    _check_unpacked(TEXT_BYTES * len(lines) * max(map(len, lines)), len(text))
    array: Array = np.genfromtxt(io.StringIO(text), dtype=None, delimiter=",")
    return array


def read_npy(data: bytes) -> Array:
    """The array of an NPY file. Raises ValueError for pickled objects, and for one that announces more than it has.

    Parsing the header may raise others: NumPy evaluates it as Python's literals.
    """
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(file)
    if math.prod(shape) * dtype.itemsize > len(data):
        raise ValueError("longer than the body")
    file.seek(0)
    array: Array = np.lib.format.read_array(file, allow_pickle=False)
    return array


def read_npz(data: bytes) -> Any:
    """A sparse matrix where the file is one of scipy's and scipy is installed, else a dict of arrays by name.

    Raises ValueError or zipfile.BadZipFile for what is no NPZ or unpacks to too much; as `read_npy` for its arrays.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        _check_unpacked(sum(member.file_size for member in file.infolist()), len(data))
        arrays = {name.removesuffix(".npy"): read_npy(file.read(name)) for name in file.namelist()}
    if not {"format", "shape", "data"} <= arrays.keys():
        return arrays
    try:
        from scipy import sparse
    except ImportError:
        return arrays
    matrix = sparse.load_npz(io.BytesIO(data))
    if hasattr(matrix, "check_format"):
        matrix.check_format(full_check=True)  # an index outside the matrix would be read outside its memory
    return matrix


def write_json(value: Any, indent: int | None = None) -> bytes:
    """JSON, with null for NaN and infinities. Raises TypeError or ValueError for what JSON cannot hold."""
    try:
        return json.dumps(value, default=_plain, allow_nan=False, indent=indent).encode()
    except ValueError:  # not finite, or circular: that raises again
        return json.dumps(_finite(json.loads(json.dumps(value, default=_plain))), indent=indent).encode()


def write_json_lines(value: Any) -> bytes:
    """A line for each element. Raises as `write_json` does."""
    elements = value if isinstance(value, list | tuple) else plain_array(value)
    return b"".join(write_json(element) + b"\n" for element in elements)


def write_csv(value: Any) -> bytes:
    """A row for each element of a 1-D value, for each row of a 2-D one; others raise ValueError."""
    text = io.StringIO()
    np.savetxt(text, plain_array(value), delimiter=",", fmt="%s")
    return text.getvalue().encode()


def write_npy(value: Any) -> bytes:
    """Raises ValueError for objects, which only pickle could write."""
    buffer = io.BytesIO()
    np.save(buffer, plain_array(value), allow_pickle=False)
    return buffer.getvalue()


def write_npz(value: Any) -> bytes:
    """scipy's file of a sparse matrix; the arrays of a dict by their names; any other array as `arr_0`."""
    buffer = io.BytesIO()
    if hasattr(value, "tocsr"):
        from scipy import sparse

        sparse.save_npz(buffer, value)
        return buffer.getvalue()
    arrays = value if isinstance(value, Mapping) else {"arr_0": value}
    plain = {str(name): plain_array(array) for name, array in arrays.items()}
    if any(array.dtype.hasobject for array in plain.values()):
        raise ValueError("an array of objects would need pickle")
    np.savez(buffer, **plain)  # type: ignore[arg-type]
    return buffer.getvalue()


def plain_array(value: Any) -> Array:
    """An ndarray; tensors come off their device and their gradient."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if "bfloat16" in str(value.dtype) else value  # NumPy has no such type
    return np.asarray(value)


def as_python_numbers(tensor: Any) -> Array:
    """A tensor's values in Python's own types: float64 of any float, int64 of any integer.

    SageMaker's PyTorch container writes a list of them.
    """
    array = plain_array(tensor)
    return array.astype(type(array.dtype.type().item()))


def _plain(value: Any) -> Any:
    """Arrays, tensors and NumPy scalars (anything with `tolist`) as JSON values."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"JSON has no {type(value).__name__}")


def _finite(value: Any) -> Any:
    """The JSON value with None in the place of floats that are not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [_finite(element) for element in value]
    if isinstance(value, dict):
        return {key: _finite(element) for key, element in value.items()}
    return value
