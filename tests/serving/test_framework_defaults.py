"""A handler without model_fn or predict_fn runs its TorchScript file as in SageMaker's PyTorch container."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from called import Called
from servers import Server

from pixelserve.errors import HandlerError, State

OUTPUT = "def output_fn(prediction, accept):\n    return [type(prediction).__name__, prediction.requires_grad]\n"
LOADS = "import torch\ndef model_fn(model_dir):\n    return torch.nn.Linear(2, 1)\n"


def save(path: Path) -> None:
    """A TorchScript model that doubles its input."""

    class Double(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = torch.nn.Parameter(torch.tensor([2.0]))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.factor

    with torch.no_grad():
        torch.jit.trace(Double(), torch.ones(1)).save(str(path))


@pytest.fixture
def model(tmp_path: Path, direct: object) -> Path:
    """The folder of the model that `direct` serves, with one TorchScript file in it."""
    save(tmp_path / "model" / "net.pth")
    return tmp_path / "model"


pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


def test_the_one_torchscript_file_is_loaded_and_called(
    direct: Callable[..., Called], model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        called = direct("def unused():\n    pass\n")
    assert "a TorchScript file is loaded, which is code" in caplog.text
    assert json.loads(called.body("[[1, 2]]")) == [[2.0, 4.0]]
    assert json.loads(called.body("1,2", "text/csv")) == [2.0, 4.0]
    buffer = io.BytesIO()
    np.save(buffer, np.float32([1.5]))
    assert json.loads(called.body(buffer.getvalue(), "application/x-npy")) == [3.0]


@pytest.mark.parametrize(
    ("dtype", "python"), [("float32", "<f8"), ("bfloat16", "<f8"), ("int32", "<i8"), ("bool", "|b1")]
)
def test_tensors_are_written_as_python_numbers(direct: Callable[..., Called], dtype: str, python: str) -> None:
    """SageMaker's PyTorch container writes the list of a tensor: NPY and CSV have Python's precision."""
    predict = f"def predict_fn(data, model):\n    return torch.tensor([0.1, 1]).to(torch.{dtype})\n"
    handler = direct(LOADS + predict)
    written = np.load(io.BytesIO(handler.body("[1]", accept="application/x-npy")))
    assert written.dtype.str == python
    assert handler.body("[1]", accept="text/csv").decode().split() == [str(value) for value in written.tolist()]


def test_the_native_server_does_the_same(serve: Callable[..., Server], tmp_path: Path, model: Path) -> None:
    server = serve("x = 1\n", SM_MODEL_DIR=str(model)).ready()
    assert server.invoke("[1, 2]").json() == [2.0, 4.0]


def test_model_pt_goes_first(direct: Callable[..., Called], model: Path) -> None:
    save(model / "model.pt")
    assert direct("x = 1\n").body("[1]") == b"[2.0]"


def test_a_missing_predict_fn_calls_the_model_without_gradients(direct: Callable[..., Called]) -> None:
    assert json.loads(direct(LOADS + OUTPUT).body("[[1, 2]]")) == ["Tensor", False]


@pytest.mark.parametrize(
    ("source", "files", "reason"),
    [
        ("x = 1\n", [], r"no model_fn\(model_dir\), and there is not one \.pt or \.pth .*none(.|\n)*def model_fn"),
        ("x = 1\n", ["a.pt", "b.pth"], r"found: a\.pt, b\.pth"),
        ("x = 1\n", ["a.pt"], r"a\.pt is not TorchScript"),
        (
            "def model_fn(d):\n    return {}\n",
            [],
            r"no predict_fn\(data, model\), and its model_fn returned dict(.|\n)*def predict_fn\(data, model\):",
        ),
    ],
)
def test_what_cannot_be_guessed_names_the_function_to_write(
    direct: Callable[..., Called], tmp_path: Path, source: str, files: list[str], reason: str
) -> None:
    for name in files:
        (tmp_path / "model" / name).write_bytes(b"weights")
    with pytest.raises(HandlerError, match=reason) as raised:
        direct(source)
    assert (raised.value.state, raised.value.retryable) == (State.LOAD_FAILED, False)


def test_an_input_that_is_no_array_is_named(direct: Callable[..., Called]) -> None:
    with pytest.raises(HandlerError, match=r"no predict_fn\(data, model\), and its input is JsonObject"):
        direct(LOADS)('{"a": 1}')


def test_torchscript_can_be_forbidden(direct: Callable[..., Called], model: Path) -> None:
    with pytest.raises(HandlerError, match=r"defines no model_fn(.|\n)*PIXELSERVE_ALLOW_TORCHSCRIPT is false"):
        direct("x = 1\n", allow_torchscript=False)
