"""What runs a super-resolution network: torch or OpenVINO, each in a number type.

Which, is chosen by measuring here, or stands in NAME.tuning.json beside the weights for this kind of hardware. All are
modules that take float32 and give float32.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import logging
import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from pixelserve.errors import CheckpointError
from pixelserve.models.devices import cpu_flags, memory_bound, pick_device
from pixelserve.models.networks import NetworkInfo, load_network
from pixelserve.settings import SettingsError

logger = logging.getLogger("pixelserve.models")

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
"""OpenVINO's names of them."""
KINDS = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")
"""Flags that make kinds of CPUs, the fastest first; the first two have bfloat16."""
LEAST_DB = 45.0
"""A faster runtime is taken only if it is this close to torch in float32 on the probe."""
MOST_SECONDS = 5.0
"""No further runtime is tried at start-up after so long."""
PROBE_EDGE = 64
TILE = 512
"""Edge of the largest tiles that nobody has measured: of 96 to 512 the fastest on CPUs with AMX."""
TILES = (128, 192, 256, 384, 512, 768, 1024)
"""Edges that are measured."""
RUNS, ENOUGH_SECONDS = 3, 1.0
"""Of several runs the fastest counts; no further one is made after so long."""


@dataclass(frozen=True)
class Choice:
    """A runtime and the name of a number type."""

    runtime: str
    dtype: str


EXACT = Choice("torch", "float32")


@dataclass(frozen=True)
class Tuning:
    """What was measured to be the fastest; `tile` is the edge of the largest tiles in pixels."""

    choice: Choice
    tile: int = TILE


class OpenVino(nn.Module):
    """`network` run by OpenVINO on the CPU, for any height and width; on as many threads as torch has."""

    def __init__(self, network: nn.Module, dtype: str) -> None:
        super().__init__()
        import openvino

        with warnings.catch_warnings(action="ignore"):  # torch calls the tracing deprecated that OpenVINO does
            model = openvino.convert_model(network, example_input=natural_probe())
        self._compiled = openvino.Core().compile_model(
            model,
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": PRECISIONS[dtype],
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            },
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self._compiled(x.contiguous().numpy())[0])


def run_by(network: nn.Module, choice: Choice) -> nn.Module:
    """`network`, which is in float32 and stays as it is, as `choice` runs it."""
    if choice.runtime == "openvino":
        return OpenVino(network, choice.dtype)
    return network if choice == EXACT else copy.deepcopy(network).to(TYPES[choice.dtype])


def candidates(device: torch.device) -> list[Choice]:
    """What can run on a device without being slow, the fastest of most networks first."""
    if device.type == "cuda":
        return [Choice("torch", "float16"), EXACT]
    types = ("bfloat16", "float32") if cpu_flags() & set(KINDS[:2]) else ("float32",)
    runtimes = ("openvino", "torch") if importlib.util.find_spec("openvino") else ("torch",)
    return [Choice(runtime, dtype) for dtype in types for runtime in runtimes]


def pick(network: nn.Module, device: torch.device, runtime: str, dtype: str, path: Path) -> Choice:
    """The choice for a network in float32 on `device`, of the file `path`; `auto` leaves runtime or type open.

    Raises SettingsError for a runtime that is not there, CheckpointError for a tuning file that is none.
    """
    if runtime == "openvino" and not importlib.util.find_spec("openvino"):
        raise SettingsError(
            "PIXELSERVE_RUNTIME is openvino, which is not installed: pip install 'pixelserve[openvino]'."
        )
    open_to = [
        choice
        for choice in candidates(device)
        if runtime in ("auto", choice.runtime) and dtype in ("auto", choice.dtype)
    ]
    if not open_to:
        return Choice("torch" if runtime == "auto" else runtime, "float32" if dtype == "auto" else dtype)
    tuned = read_tuning(path, device)
    if tuned and tuned.choice in open_to:
        return tuned.choice
    quick = [choice for choice in open_to if choice.runtime == "torch"] or open_to  # OpenVINO may convert for a minute
    return quick[0] if len(quick) == 1 else next(iter(measure(network, device, quick, MOST_SECONDS)))


def measure(
    network: nn.Module, device: torch.device, choices: Sequence[Choice], most_seconds: float
) -> dict[Choice, float]:
    """The seconds of those of `choices` that are near enough to float32 (NaN is not), the fastest first; never empty.

    None is begun after `most_seconds`, once one is found.
    """
    probe = natural_probe().to(device)
    started = time.perf_counter()
    found: dict[Choice, float] = {}
    with torch.inference_mode():
        exact = network(probe)
        for choice in choices:
            if found and time.perf_counter() - started > most_seconds:
                break
            out, seconds = _timed(run_by(network, choice), probe)
            decibels = psnr(out, exact)
            logger.info("%s, %s: %.4f s, %.1f dB from float32", choice.runtime, choice.dtype, seconds, decibels)
            if decibels >= LEAST_DB:
                found[choice] = seconds
    return dict(sorted(found.items(), key=lambda entry: entry[1])) or {EXACT: math.nan}


def psnr(one: Tensor, other: Tensor) -> float:
    """In dB of the range 0 to 1."""
    return float(-10 * torch.log10(functional.mse_loss(one, other)))


def natural_probe(size: int = PROBE_EDGE) -> Tensor:
    """(1, 3, size, size) float32 in 0 to 1, about as detailed as a photograph: noise that is always the same."""
    random = torch.Generator().manual_seed(0)
    layers = [
        functional.interpolate(
            torch.randn(1, 3, edge, edge, generator=random) * 0.25 / edge**0.35,
            (size, size),
            mode="bilinear",
        )
        for edge in (4, 16, PROBE_EDGE)
    ]
    return torch.stack(layers).sum(0).add_(0.5).clamp_(0, 1).contiguous(memory_format=torch.channels_last)


def _timed(network: nn.Module, probe: Tensor) -> tuple[Tensor, float]:
    """The output, and the seconds of the fastest run after the first."""
    out: Tensor = network(probe)
    out.cpu()
    seconds: list[float] = []
    while len(seconds) < RUNS and sum(seconds) < ENOUGH_SECONDS:
        started = time.perf_counter()
        network(probe)
        if probe.device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return out, min(seconds)


def hardware_kind(device: torch.device) -> str:
    """The name of a GPU, or the best flag of the CPU that matters here."""
    if device.type == "cuda":
        return torch.cuda.get_device_name()
    return next((kind for kind in KINDS if kind in cpu_flags()), "cpu")


def tuning_file(path: Path) -> Path:
    """NAME.tuning.json beside the weights: a choice for each kind of hardware it was measured on."""
    return path.with_suffix(".tuning.json")


def read_tuning(path: Path, device: torch.device) -> Tuning | None:
    """What was measured for a file of weights on this kind of hardware. Raises CheckpointError."""
    file = tuning_file(path)
    try:
        tuned = json.loads(file.read_text()).get(hardware_kind(device)) if file.is_file() else None
        return Tuning(Choice(tuned["runtime"], tuned["dtype"]), int(tuned.get("tile", TILE))) if tuned else None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"{file.name} is no tuning file: delete it, or `pixelserve weights tune` again."
        ) from error


def write_tuning(path: Path, device: torch.device, tuning: Tuning) -> None:
    """Adds what was measured for this kind of hardware to the file; those of others stay."""
    file = tuning_file(path)
    known = json.loads(file.read_text()) if file.is_file() else {}
    tuned = {**asdict(tuning.choice), "tile": tuning.tile}
    file.write_text(json.dumps(known | {hardware_kind(device): tuned}, indent=2) + "\n")


def affordable_tile(info: NetworkInfo, device: torch.device) -> int:
    """The edge of the largest tile within the memory there is for one, its surroundings included."""
    return max(PROBE_EDGE, math.isqrt(memory_bound(device) // info.bytes_per_pixel) - 2 * info.overlap)


def measure_tiles(network: nn.Module, info: NetworkInfo, device: torch.device) -> dict[int, float]:
    """Seconds for each pixel that a tile writes, by its edge, the fastest first; never empty.

    Those that memory allows are measured, larger ones as long as they are faster than those before.
    """
    found: dict[int, float] = {}
    affordable = affordable_tile(info, device)
    for edge in [edge for edge in TILES if edge <= affordable] or [affordable]:
        whole = edge + 2 * info.overlap
        with torch.inference_mode():
            _, seconds = _timed(network, natural_probe(whole - whole % info.multiple).to(device))
        found[edge] = seconds / edge**2
        if found[edge] > 1.25 * min(found.values()):
            break
    return dict(sorted(found.items(), key=lambda entry: entry[1]))


def tune(path: Path) -> tuple[dict[Choice, float], dict[int, float]]:
    """Measures all that can run a file of weights here, and tiles, and writes the fastest to its tuning file.

    Returns what `measure` and `measure_tiles` do. Raises CheckpointError.
    """
    device = pick_device()
    network, info = load_network(path)
    network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    choices = measure(network, device, candidates(device), math.inf)
    choice = next(iter(choices))
    tiles = measure_tiles(run_by(network, choice), info, device)
    write_tuning(path, device, Tuning(choice, next(iter(tiles))))
    return choices, tiles
