"""input_fn and output_fn for handlers that bring none: JSON, JSON Lines, NPY, NPZ, CSV, raw bytes; nothing is pickled.

The media types are those of the SageMaker inference toolkits, and JSON Lines.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np

from pixelserve.errors import BadRequest, HandlerError, NotAcceptable, UnsupportedMediaType
from pixelserve.media_types import CSV, JSON, JSON_LINES, NPY, NPZ, RAW, essence
from pixelserve.serving import arrays
from pixelserve.serving.context import Context

_WRITERS: dict[str, tuple[str, Callable[[Any], bytes]]] = {
    **dict.fromkeys((JSON, "*/*", "application/*"), (JSON, arrays.write_json)),
    **dict.fromkeys((CSV, "text/*"), (CSV, arrays.write_csv)),
    **{kind: (kind, arrays.write_json_lines) for kind in JSON_LINES},
    NPY: (NPY, arrays.write_npy),
    NPZ: (NPZ, arrays.write_npz),
}
"""By what is accepted: the media type that answers it, and what writes it."""
_WRITABLE = {
    NPY: f"Return an array or a list of numbers, accept {JSON}",
    NPZ: f"Return a dict of arrays, accept {JSON}",
    CSV: f"Return rows of numbers or strings, accept {JSON}",
}
"""What a handler is told to do by the type that its prediction does not fit."""


def input_fn(body: bytes, content_type: str, context: Context) -> Any:
    """For pipelined handlers: JSON -> its value; CSV -> float ndarray (rows, columns); the rest as `array_input_fn`."""
    return _read(body, content_type, lambda value, _source: value, _read_rows)


def array_input_fn(body: str | bytes, content_type: str, context: Context) -> Any:
    """As sagemaker-inference: JSON -> ndarray (an object: JsonObject); CSV -> ndarray, as numpy.genfromtxt guesses.

    JSON Lines -> as a JSON list; NPY -> ndarray; NPZ -> sparse matrix or dict of arrays; raw and image/* -> bytes.
    Raises BadRequest for a body that is not what its content type says, UnsupportedMediaType for other types.
    """
    return _read(body, content_type, arrays.as_array, arrays.read_csv)


def _read(
    body: str | bytes, content_type: str, shape_json: Callable[[Any, bytes], Any], read_csv: Callable[[str], Any]
) -> Any:
    kind = essence(content_type)
    data = body.encode() if isinstance(body, str) else body
    if kind in (JSON, "", *JSON_LINES):
        try:
            value = arrays.read_json_lines(data.decode()) if kind in JSON_LINES else arrays.read_json(data)
        except (ValueError, RecursionError) as error:
            raise BadRequest(
                f"The body is not {'JSON Lines' if kind in JSON_LINES else 'valid JSON'}: {error}."
            ) from error
        try:
            return shape_json(value, data)
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"The JSON is no array: {error}. Send rows of one length.") from error
    if kind in (NPY, NPZ):
        try:
            return arrays.read_npy(data) if kind == NPY else arrays.read_npz(data)
        except Exception as error:  # the header is parsed as Python, which fails in a dozen ways
            writer = "numpy.save" if kind == NPY else "numpy.savez or scipy.sparse.save_npz"
            name = kind.rpartition("-")[2].upper()
            raise BadRequest(f"The body is not a plain {name} file of arrays. Write it with {writer}.") from error
    if kind == CSV:
        try:
            return read_csv(data.decode())
        except ValueError as error:
            raise BadRequest(f"The body is not CSV of numbers: {error}") from error
    if kind == RAW or kind.startswith("image/"):
        return data
    raise UnsupportedMediaType(f"Content type {kind} is not read here. Send {JSON}, {NPY}, {CSV} or {RAW}.")


def _read_rows(text: str) -> Any:
    return np.loadtxt(io.StringIO(text), delimiter=",", ndmin=2)


def output_fn(prediction: Any, accept: str, context: Context) -> tuple[bytes, str]:
    """The first type of `accept` that fits: JSON (also for */*), JSON Lines, NPY, NPZ, CSV; for bytes raw or image/*.

    Raises NotAcceptable when none fits, HandlerError when the prediction cannot be written that way.
    """
    for part in (accept or JSON).split(","):
        kind = essence(part)
        if isinstance(prediction, bytes | bytearray | memoryview):
            if kind in (RAW, "*/*", "application/*"):
                return bytes(prediction), RAW
            if kind.startswith("image/") and not kind.endswith("*"):
                return bytes(prediction), kind
        if kind in _WRITERS:
            media_type, write = _WRITERS[kind]
            try:
                return write(prediction), media_type
            except (TypeError, ValueError, RecursionError, ImportError) as error:
                raise HandlerError(
                    f"predict_fn returned {type(prediction).__name__}, not to be written as {media_type}: {error}. "
                    f"{_WRITABLE.get(media_type, 'Return numbers, strings, lists, dicts or arrays')}, "
                    "or write an output_fn(prediction, accept)."
                ) from error
    raise NotAcceptable(f"Accept {accept} cannot be answered. Accept {JSON}, {NPY} or {CSV}.")
