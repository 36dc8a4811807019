"""The framework's defaults: the model folder's one TorchScript file, called on a float tensor under no_grad.

SageMaker's PyTorch container does the same for a handler that defines no model_fn or no predict_fn. The server takes
the functions that a handler lacks from here. TorchScript is code: `torch.jit.load` runs what the file says.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from pixelserve import Context, HandlerError

NAME = "model.pt"
"""Taken before all others."""
ENDINGS = (".pt", ".pth")
TEXT_TYPES = ("application/json", "text/csv")
"""Their numbers become float32, whatever they look like; arrays of other types keep theirs."""


def model_fn(model_dir: str) -> torch.nn.Module:
    """The TorchScript model of `model_dir`, on the GPU where there is one. Raises HandlerError without exactly one."""
    files = sorted(path for path in Path(model_dir).glob("*") if path.suffix in ENDINGS)
    named = [path for path in files if path.name == NAME]
    if len(named or files) != 1:
        found = ", ".join(path.name for path in files) or "none"
        raise HandlerError(
            "The handler defines no model_fn(model_dir), and there is not one .pt or .pth file to load in its place "
            f"(found: {found}). Write one:\n{WRITE_MODEL}"
        )
    file = (named or files)[0]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        model: torch.nn.Module = torch.jit.load(str(file), map_location=device)  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise HandlerError(
            f"The handler defines no model_fn(model_dir), and {file.name} is not TorchScript. Save the model with "
            f"torch.jit.save, or write one:\n{WRITE_MODEL}"
        ) from error
    return model.eval()


def check_model(model: Any) -> None:
    """Raises HandlerError for what predict_fn could not call."""
    if not isinstance(model, torch.nn.Module):
        raise HandlerError(
            f"The handler defines no predict_fn(data, model), and its model_fn returned {type(model).__name__}, not a "
            f"torch.nn.Module. Write one, or transform_fn(model, body, content_type, accept):\n{WRITE_PREDICT}"
        )


def predict_fn(data: Any, model: torch.nn.Module, context: Context) -> torch.Tensor:
    """The model's output for an array or tensor. Raises HandlerError for anything else."""
    if not isinstance(data, torch.Tensor | np.ndarray):
        raise HandlerError(
            f"The handler defines no predict_fn(data, model), and its input is {type(data).__name__}, not an array. "
            f"Write one, or an input_fn that returns a tensor:\n{WRITE_PREDICT}"
        )
    tensor = torch.as_tensor(data)
    if context.content_type in TEXT_TYPES and not isinstance(data, torch.Tensor):
        tensor = tensor.float()
    device = next((parameter.device for parameter in model.parameters()), tensor.device)
    with torch.no_grad():
        output: torch.Tensor = model.eval()(tensor.to(device))
    return output


WRITE_MODEL = """\
    def model_fn(model_dir):
        model = Net()
        weights = os.path.join(model_dir, "NAME OF THE FILE")
        model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        return model.eval()
"""
WRITE_PREDICT = """\
    def predict_fn(data, model):
        return model.predict(data)
"""
