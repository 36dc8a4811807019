"""A server says which networks serve, says why none does, and is quiet at its first requests."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from drawing import picture
from PIL import Image as Pillow
from servers import Server, wait_for

from pixelserve.models.runtimes import candidates
from pixelserve.models.srvgg import SRVGGNetCompact
from pixelserve.observe import EMBEDDED, ServedNetwork, read_networks

SUPER_RESOLUTION, SEGMENTATION, SIMILARITY = (
    "image_super_resolution", "human_image_segmentation", "image_similarity",
)  # fmt: skip

BY = next(choice.runtime for choice in candidates(torch.device("cpu")) if choice.dtype == "float32")
"""What runs super-resolution in float32 by default here."""


def encoded(channels: int, kind: str) -> bytes:
    pixels, file = picture(40, 50, channels), io.BytesIO()
    Pillow.fromarray(pixels[..., 0] if channels == 1 else pixels).save(file, kind)
    return file.getvalue()


def lines(server: Server) -> list[dict[str, Any]]:
    """What it has logged."""
    return [json.loads(line) for line in server.log_text().splitlines()]


@pytest.mark.parametrize(
    ("feature", "networks"),
    [
        (
            SUPER_RESOLUTION,
            [ServedNetwork(EMBEDDED, "SRVGGNetCompact", scale, f"{BY}, CPU", "float32") for scale in ("2", "4")],
        ),
        (SEGMENTATION, [ServedNetwork(EMBEDDED, "cascades, gradients and GrabCut", "", "OpenCV, CPU", "uint8")]),
        (SIMILARITY, [ServedNetwork(EMBEDDED, "VLAD of SIFT", "", "OpenCV, CPU", "float32")]),
    ],
)
def test_the_default_is_named_and_quiet(
    serve: Callable[..., Server], feature: str, networks: list[ServedNetwork]
) -> None:
    server = serve(PIXELSERVE_FEATURE=feature, PIXELSERVE_DTYPE="float32").ready()
    for body, media_type in (
        (encoded(3, "JPEG"), "image/jpeg"),
        (encoded(4, "PNG"), "image/png"),
        (encoded(1, "PNG"), "image/png"),
    ):
        assert server.invoke(body, media_type, accept="application/json").status_code == 200
    assert read_networks(server.client.get("/metrics").text) == networks
    logged = lines(server)
    assert [line["message"] for line in logged if "architecture" in line] == [f"serving {one}" for one in networks]
    assert {line["level"] for line in logged} == {"info"}


def test_a_file_is_named_and_what_it_cannot_do_is_resampled(serve: Callable[..., Server], tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    torch.save(SRVGGNetCompact(num_feat=8, num_conv=1, upscale=3).state_dict(), folder / "own x3.pth")
    forced = {"PIXELSERVE_RUNTIME": "torch", "PIXELSERVE_DTYPE": "bfloat16"}
    server = serve(PIXELSERVE_FEATURE=SUPER_RESOLUTION, SM_MODEL_DIR=str(folder), **forced).ready()
    answer = server.invoke(encoded(3, "PNG"), "image/png")
    said = answer.headers["x-amzn-sagemaker-custom-attributes"]
    assert (
        said == "width=100;height=80;network=x3;resampled=x2;weights=own%20x3.pth;runtime=torch%2C%20CPU;type=bfloat16"
    )
    network = ServedNetwork("own x3.pth", "SRVGGNetCompact", "3", "torch, CPU", "bfloat16")
    assert read_networks(server.client.get("/metrics").text) == [network]
    assert "serving own x3.pth: SRVGGNetCompact x3, torch, CPU, bfloat16" in server.log_text()


@pytest.mark.parametrize(
    ("feature", "name", "content", "message"),
    [
        (SUPER_RESOLUTION, "net.onnx", b"1", "holds no network that can be used here: net.onnx."),
        (SUPER_RESOLUTION, "net.pth", b"version https://git-lfs.github.com/spec/v1", "net.pth is a Git LFS pointer"),
        (SUPER_RESOLUTION, "nan.pth", None, "nan.pth gives NaN or infinity"),
        (SEGMENTATION, "net.pth", b"1", "holds no network that can be used here: net.pth."),
        (SIMILARITY, "u2netp.onnx", b"junk", "u2netp.onnx does not run as its descriptor says"),
    ],
)
def test_weights_that_are_refused_keep_the_server_unhealthy_without_a_traceback(
    serve: Callable[..., Server], tmp_path: Path, feature: str, name: str, content: bytes | None, message: str
) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    if content is None:
        state = SRVGGNetCompact(num_feat=8, num_conv=1, upscale=2).state_dict()
        torch.save({key: tensor * torch.nan for key, tensor in state.items()}, folder / name)
    else:
        (folder / name).write_bytes(content)
    server = serve(PIXELSERVE_FEATURE=feature, SM_MODEL_DIR=str(folder))
    wait_for(lambda: "the model did not load" in server.log_text(), 90, "refusal")
    wait_for(lambda: message in getattr(server.ping(), "text", ""), 90, "reason")
    assert message in server.log_text()
    assert "raceback" not in server.log_text()
