"""PIXELSERVE_DEVICE=cuda, as images for GPUs set it, where there is none: unhealthy, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from servers import Server, wait_for

from pixelserve.errors import CheckpointError
from pixelserve.machine import gpus
from pixelserve.models import portable
from pixelserve.models.devices import pick_device
from pixelserve.models.resnet import ResNet18
from pixelserve.settings import Settings

pytestmark = pytest.mark.skipif(gpus() > 0 or torch.cuda.is_available(), reason="there is a GPU here")
HANDLER = """
    def model_fn(model_dir):
        return "loaded"

    def transform_fn(model, body, content_type, accept):
        return model, "text/plain"
"""


def test_a_server_that_wants_a_gpu_is_unhealthy_without_one(serve: Callable[..., Server]) -> None:
    server = serve(HANDLER, PIXELSERVE_DEVICE="cuda")
    answer = wait_for(lambda: (said := server.ping()) is not None and "load_failed" in said.text and said, 100)
    assert answer.status_code == 503
    assert "there is no GPU" in answer.json()["error"]["message"]
    assert "PIXELSERVE_DEVICE=auto" in answer.json()["error"]["message"]


def test_it_runs_on_the_cpu_when_that_is_allowed(serve: Callable[..., Server]) -> None:
    assert serve(HANDLER, PIXELSERVE_DEVICE="auto").ready().invoke("1").text == "loaded"


def test_torch_and_onnx_runtime_without_a_gpu_are_told(assets: Path) -> None:
    path = assets / "seg" / "SINet.onnx"
    descriptor = portable.read_descriptor(path)
    with pytest.raises(CheckpointError, match=r"ONNX Runtime \S+ runs SINet\.onnx by CPUExecutionProvider"):
        portable.load(path, descriptor, Settings(device="cuda"))
    with pytest.raises(CheckpointError, match="finds no GPU that it can use"):
        pick_device("cuda")
    assert portable.load(path, descriptor, Settings(device="cpu"))[1].runtime == "ONNX Runtime, CPU"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("net.xml", r"PIXELSERVE_DEVICE is cuda, but net\.xml is run by OpenVINO, on the CPU alone"),
        ("net.tflite", "torch .* finds no GPU that it can use"),
        ("net.pth", "torch .* finds no GPU that it can use"),
    ],
)
def test_no_other_loader_falls_back_to_the_cpu(name: str, message: str, tmp_path: Path) -> None:
    path, descriptor = tmp_path / name, portable.Descriptor(width=32, height=32)
    torch.save(ResNet18().state_dict(), path)
    with pytest.raises(CheckpointError, match=message):
        portable.load(path, descriptor, Settings(device="cuda"))
    if path.suffix == ".pth":
        assert portable.load(path, descriptor, Settings())[1].runtime == "torch, CPU"
