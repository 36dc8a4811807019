"""What the cases of the suite share: how one is declared, and the handlers they serve."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeVar

import httpx
import pytest
from containers import Container
from servers import Server

Target = Server | Container
TARGETS = ("native", "image", "mms")
Test = TypeVar("Test", bound=Callable[..., None])

SEEN_FAILING = (AssertionError, httpx.TransportError, json.JSONDecodeError, KeyError)
"""How a server that cannot keep a line fails its case: the last two when its errors are no JSON, or lack a header."""


def contract(line: str, mms: str = "", targets: tuple[str, ...] = TARGETS) -> Callable[[Test], Test]:
    """Declares a test as the case of one line of the contract, run against each target.

    `mms` is the reason why multi-model-server cannot keep the line: its case must then fail.
    """
    fails = pytest.mark.xfail(reason=mms, strict=True, raises=SEEN_FAILING)
    parameters = [pytest.param(name, marks=[fails] if mms and name == "mms" else []) for name in targets]

    def declare(test: Test) -> Test:
        marked = pytest.mark.parametrize("target", parameters, indirect=True)(test)
        declared: Test = pytest.mark.contract(line, mms)(marked)
        return declared

    return declare


ECHO = """
    def model_fn(model_dir):
        return "model"

    def predict_fn(data, model):
        return data
"""
"""The toolkit's defaults around a function that returns what it gets."""

BUSY = """
    import os, time

    def model_fn(model_dir):
        return None

    def predict_fn(data, model, context):
        context.answer_attributes = context.custom_attributes
        time.sleep(data.get("seconds", 0))
        if "raise" in data:
            raise {"ValueError": ValueError, "MemoryError": MemoryError}[data["raise"]](data.get("text"))
        if "bytes" in data:
            return b"x" * data["bytes"]
        if "environ" in data:
            return os.environ.get(data["environ"], "")
        return {"pid": os.getpid()}

    def output_fn(prediction, accept):
        import json
        if isinstance(prediction, bytes):
            return prediction, "application/octet-stream"
        return json.dumps(prediction), "application/json"
"""
"""Does what its JSON says: sleeps, raises, answers many bytes."""
