"""How much of the device the server keeps busy: 512x512 JPEG to JPEG at 8 connections, sustained.

Compared, in the same run, with 1 / (t_forward + t_codecs / cores): the network's bare forward on the same tensor, with
the same threads, layout and memory settings, and the codecs on one thread spread over the cores. Networks: the embedded
ones, and Real-ESRGAN's SRVGG with 16 convolutions (realesr-animevideov3.pth) where the assets are.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import report
import torch
from load import Request, measure
from serving import running

from pixelserve.imaging import Image, decode, encode
from pixelserve.models.super_resolution import Upscaler
from pixelserve.processes import MEMORY
from pixelserve.settings import Settings

EDGE = 512
CONNECTIONS = 8


def photograph(width: int = EDGE, height: int = EDGE) -> bytes:
    """A JPEG with about the detail of a photograph: noise of several sizes."""
    rng = np.random.default_rng(0)
    layers = [cv2.resize(rng.normal(0, 80 / size**0.35, (size, size, 3)), (width, height)) for size in (4, 16, 64, 256)]
    pixels = np.clip(128 + sum(layers), 0, 255).astype(np.uint8)
    return b"".join(encode(Image(pixels), "jpeg"))


def seconds_of(work: Callable[[], object], seconds: float) -> float:
    """The mean of runs that take `seconds` together: sustained, as the server's rate is."""
    work()
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        work()
        count += 1
    return (time.perf_counter() - started) / count


def row_for(label: str, model_dir: str, scale: int, seconds: float) -> dict[str, Any]:
    """Measures one network in the server, and its parts alone before and after."""
    jpeg = photograph()
    settings = Settings()
    upscaler = Upscaler.load(model_dir, settings)
    image = decode(jpeg, settings)
    answer = upscaler.upscale(image, scale)
    network, choice = upscaler.network(scale), upscaler.choice(scale)
    tensor = torch.rand(1, 3, EDGE, EDGE).contiguous(memory_format=torch.channels_last)

    def forward() -> None:
        with torch.inference_mode():
            network(tensor)

    def parts() -> tuple[float, float]:
        codecs = seconds_of(lambda: decode(jpeg, settings), 1) + seconds_of(lambda: encode(answer, "jpeg"), 1)
        return seconds_of(forward, seconds / 3), codecs

    before = parts()
    same = {"PIXELSERVE_RUNTIME": choice.runtime, "PIXELSERVE_DTYPE": choice.dtype}
    with running("pixelserve", SAGEMAKER_SUBMIT_DIRECTORY="", SM_MODEL_DIR=model_dir, **same) as port:
        load = measure(
            Request(port, "/invocations", jpeg, "image/jpeg", "image/jpeg", {ATTRIBUTES: f"scale={scale}"}),
            CONNECTIONS,
            seconds,
            warm_up=seconds / 4,
        )
    after = parts()
    t_forward, t_codecs = (statistics.fmean(pair) for pair in zip(before, after, strict=True))
    bound = 1 / (t_forward + t_codecs / len(os.sched_getaffinity(0)))
    return {
        "network": label,
        "scale": scale,
        "runtime": choice.runtime,
        "dtype": choice.dtype,
        "connections": CONNECTIONS,
        "images_per_second": round(load.per_second, 4),
        "t_forward": round(t_forward, 5),
        "t_codecs": round(t_codecs, 5),
        "bound": round(bound, 4),
        "of_bound": round(load.per_second / bound, 3),
        "failures": sum(load.failures.values()),
        "seconds": report.distribution(load.seconds),
        "sizes": {"request": len(jpeg), "answer": load.answer_bytes, "width": EDGE, "height": EDGE},
    }


ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of one measurement")
    arguments = parser.parse_args()
    if not MEMORY.items() <= os.environ.items():  # glibc reads them at the start of a process only
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | MEMORY)
    rows = [row_for("embedded", "", scale, arguments.seconds) for scale in (2, 4)]
    weights = Path(os.environ.get("PIXELSERVE_ASSETS", ""), "sr", "realesr-animevideov3.pth")
    if weights.is_file():
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / weights.name).symlink_to(weights)
            rows.append(row_for("SRVGG-16", folder, 4, 2 * arguments.seconds))
    report.table(
        rows,
        (
            "network",
            "scale",
            "runtime",
            "dtype",
            "images_per_second",
            "t_forward",
            "t_codecs",
            "bound",
            "of_bound",
            "failures",
        ),
    )
    report.write("pipeline", rows)


if __name__ == "__main__":
    main()
