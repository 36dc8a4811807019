"""input_fn and output_fn for handlers that bring none: JSON, NPY (never with pickle), CSV, raw bytes.

The media types are those of the SageMaker inference toolkits.
"""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelserve.errors import BadRequest, HandlerError, NotAcceptable, UnsupportedMediaType
from pixelserve.media_types import CSV, JSON, NPY, RAW, essence
from pixelserve.serving.context import Context


def input_fn(body: bytes, content_type: str, context: Context) -> Any:
    """JSON -> its value; NPY -> ndarray; CSV -> float ndarray (rows, columns); raw and image/* -> bytes.

    Raises BadRequest for a body that is not what its content type says, UnsupportedMediaType for other types.
    """
    kind = essence(content_type)
    if kind in (JSON, ""):
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"The body is not valid JSON: {error}.") from error
    if kind == NPY:
        try:
            return _read_npy(body)
        except Exception as error:  # the header is parsed as Python, which fails in a dozen ways
            raise BadRequest("The body is not a plain NPY array. Write it with numpy.save.") from error
    if kind == CSV:
        try:
            return np.loadtxt(io.StringIO(body.decode()), delimiter=",", ndmin=2)
        except ValueError as error:
            raise BadRequest(f"The body is not CSV of numbers: {error}") from error
    if kind == RAW or kind.startswith("image/"):
        return body
    raise UnsupportedMediaType(f"Content type {kind} is not read here. Send {JSON}, {NPY}, {CSV} or {RAW}.")


def _read_npy(body: bytes) -> NDArray[Any]:
    """The array of an NPY file without pickled objects. Raises ValueError for one that announces more than it has."""
    file = io.BytesIO(body)
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(file)
    if math.prod(shape) * dtype.itemsize > len(body):
        raise ValueError("longer than the body")
    file.seek(0)
    array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array


def output_fn(prediction: Any, accept: str, context: Context) -> tuple[bytes, str]:
    """The first type of `accept` that fits: JSON (also for */*), NPY, CSV, raw bytes (bytes only).

    Raises NotAcceptable when none fits, HandlerError when the prediction cannot be written that way.
    """
    for part in (accept or JSON).split(","):
        kind = essence(part)
        if kind in ("*/*", "application/*") and isinstance(prediction, bytes | bytearray):
            kind = RAW
        try:
            if kind in (JSON, "*/*", "application/*"):
                return json.dumps(prediction, default=_plain).encode(), JSON
            if kind == NPY:
                buffer = io.BytesIO()
                np.save(buffer, np.asarray(prediction), allow_pickle=False)
                return buffer.getvalue(), NPY
            if kind in (CSV, "text/*"):
                return _csv(prediction), CSV
            if kind == RAW and isinstance(prediction, bytes | bytearray):
                return bytes(prediction), RAW
        except (TypeError, ValueError) as error:
            raise HandlerError(f"predict_fn returned {type(prediction).__name__}, not writable as {kind}.") from error
    raise NotAcceptable(f"Accept {accept} cannot be answered. Accept {JSON}, {NPY} or {CSV}.")


def _plain(value: Any) -> Any:
    """Arrays and NumPy scalars (anything with `tolist`) as JSON values."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not a JSON value")


def _csv(prediction: Any) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(np.atleast_2d(np.asarray(prediction)).tolist())
    return text.getvalue().encode()
