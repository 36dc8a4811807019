"""What runs a super-resolution network: torch or OpenVINO, each in a number type.

Which, stands in a tuning file, by measuring, or in a table by flags of the CPU. All are modules that take float32 and
give float32.
"""

from __future__ import annotations

import copy
import logging
import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pixelserve.models.devices import cpu_flags
from pixelserve.models.intel import get_core, import_openvino, is_installed
from pixelserve.settings import SettingsError

logger = logging.getLogger("pixelserve.models")

Key = TypeVar("Key")
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
"""OpenVINO's names of them."""
KINDS = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")
"""Flags that make kinds of CPUs, the fastest first; the first two have bfloat16."""
LEAST_DB = 45.0
"""A faster runtime is taken only if it is this close to torch in float32 on the probe."""
WIDTH_MULTIPLE = 16
"""Of what networks are given. With others OpenVINO takes up to twice as long on a CPU with AMX, torch 1.2 times."""
PREPARED = 200
"""Layers that OpenVINO keeps prepared for sizes seen before. By default these are 5,000: a worker that saw 1,600 sizes
had grown by 0.9 GB, now by 0.2 GB, and a new size takes 4 ms more than the one before either way (embedded)."""
PROBE_EDGE = 64
SMALLEST_DISC, LARGEST_DISC = 12.0, 2.0 * PROBE_EDGE
"""Radii in quarters of the probe's pixels."""
TIMED_EDGE = 256
MOST_TURNS, ENOUGH_SECONDS = 9, 20.0
"""Of what is timed; no further turns are taken after so long."""


@dataclass(frozen=True)
class Choice:
    """A runtime and the name of a number type."""

    runtime: str
    dtype: str


EXACT = Choice("torch", "float32")
BROKEN = "it does not run here"


@dataclass(frozen=True)
class Running:
    """A network as it runs; `note` says why that is not what was tuned."""

    network: nn.Module
    choice: Choice
    """With the type that it really runs in."""
    note: str = ""


class OpenVino(nn.Module):
    """`network` run by OpenVINO on the CPU, for any height and width; on as many threads as torch has."""

    def __init__(self, network: nn.Module, dtype: str) -> None:
        super().__init__()
        openvino = import_openvino()
        with warnings.catch_warnings(action="ignore"):  # torch calls the tracing deprecated that OpenVINO does
            model = openvino.convert_model(network, example_input=natural_probe())
        self._compiled = get_core().compile_model(
            model,
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": PRECISIONS[dtype],
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                "ENABLE_CPU_PINNING": False,  # workers would all take the first cores
                "CPU_RUNTIME_CACHE_CAPACITY": PREPARED,
            },
        )
        precision = self._compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self.dtype = next((name for name, theirs in PRECISIONS.items() if theirs == precision), precision)
        """What it runs in: float32 where the CPU has no such type."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self._compiled(x.contiguous().numpy())[0])


def run_by(network: nn.Module, choice: Choice) -> nn.Module:
    """`network`, which is in float32 and stays as it is, as `choice` runs it."""
    if choice.runtime == "openvino":
        return OpenVino(network, choice.dtype)
    return network if choice == EXACT else copy.deepcopy(network).to(TYPES[choice.dtype])


def candidates(device: torch.device) -> list[Choice]:
    """What can run on a device without being slow: the table that decides without a tuning file, the fastest first.

    In bfloat16 OpenVINO is faster than torch (docs/models/realesrgan.md), in float32 within a sixth of it on two
    networks and faster on RRDBNet. That is of x86; on others nobody measured.
    """
    if device.type == "cuda":
        return [Choice("torch", "float16"), EXACT]
    flags = cpu_flags()
    types = ("bfloat16", "float32") if flags & set(KINDS[:2]) else ("float32",)
    runtimes = ("openvino", "torch") if flags and is_installed() else ("torch",)
    return [Choice(runtime, dtype) for dtype in types for runtime in runtimes]


def choose(network: nn.Module, device: torch.device, runtime: str, dtype: str, tuned: Choice | None = None) -> Running:
    """A network in float32 on `device` by what runs it: `tuned` where both settings allow it, else by the table.

    Of these the first that runs and, unless its type is forced, is near enough to float32. Nothing is timed, so that
    all workers and instances of a kind give the same bytes. Raises SettingsError for a runtime that is not there.
    """
    _check(runtime, device)
    open_to = [
        choice
        for choice in candidates(device)
        if runtime in ("auto", choice.runtime) and dtype in ("auto", choice.dtype)
    ]
    if not open_to:
        return run(network, Choice("torch" if runtime == "auto" else runtime, "float32" if dtype == "auto" else dtype))
    note = ""
    if tuned and runtime == "auto" and tuned.runtime == "openvino" and not is_installed():
        note = "tuned for openvino, which is not installed"
    in_turn = sorted(open_to, key=lambda choice: choice != tuned)
    if in_turn[0] == EXACT or len(in_turn) == 1:
        return run(network, in_turn[0], note)
    probe = natural_probe().to(device)
    with torch.inference_mode():
        exact = network(probe)
    for choice in in_turn[:-1]:
        running, reason = _try(network, choice, probe, exact, LEAST_DB if dtype == "auto" else -math.inf)
        if running:
            return replace(running, note=note)
        if choice == tuned:
            note = f"not {choice.runtime} in {choice.dtype} as tuned: {reason}"
        elif reason == BROKEN:
            note = note or f"not {choice.runtime} in {choice.dtype}: {reason}"
    return run(network, in_turn[-1], note)


def _try(
    network: nn.Module, choice: Choice, probe: Tensor, exact: Tensor, least: float = LEAST_DB
) -> tuple[Running | None, str]:
    """The network by a choice that runs here and is `least` dB from what is `exact` for the probe (NaN is not), or why
    not.
    """
    try:
        running = run(network, choice)
        with torch.inference_mode():
            decibels = psnr(running.network(probe), exact)
    except Exception as error:  # noqa: BLE001  OpenVINO raises kinds of its own
        logger.warning("%s in %s: %s", choice.runtime, choice.dtype, error)
        return None, BROKEN
    logger.info("%s in %s: %.1f dB from float32", choice.runtime, choice.dtype, decibels)
    return (running, "") if decibels >= least else (None, f"{decibels:.1f} dB from float32")


def run(network: nn.Module, choice: Choice, note: str = "") -> Running:
    """A network in float32 by a choice, near to float32 or not."""
    module = run_by(network, choice)
    return Running(module, Choice("openvino", module.dtype) if isinstance(module, OpenVino) else choice, note)


def _check(runtime: str, device: torch.device) -> None:
    if runtime != "openvino":
        return
    if device.type != "cpu":
        raise SettingsError("PIXELSERVE_RUNTIME is openvino, which runs on the CPU here: PIXELSERVE_DEVICE=cpu.")
    if not is_installed():
        raise SettingsError(
            "PIXELSERVE_RUNTIME is openvino, which is not installed: pip install 'pixelserve[openvino]'."
        )


def measure(network: nn.Module) -> dict[Choice, float]:
    """The seconds of a tile of TIMED_EDGE on this CPU by all that run near enough to float32, the fastest first.

    `network` is in float32, which always is among them.
    """
    probe, tile = natural_probe(), noise(TIMED_EDGE, TIMED_EDGE)
    with torch.inference_mode():
        exact = network(probe)
    all_that_run = [
        run(network, choice) if choice == EXACT else _try(network, choice, probe, exact)[0]
        for choice in candidates(torch.device("cpu"))
    ]
    return timed({one.choice: partial(one.network, tile) for one in all_that_run if one})


def psnr(one: Tensor, other: Tensor) -> float:
    """In dB of the range 0 to 1."""
    return float(-10 * torch.log10(functional.mse_loss(one, other)))


@cache
def natural_probe() -> Tensor:
    """(1, 3, PROBE_EDGE, PROBE_EDGE) float32 in 0 to 1, always the same: as photographs are to networks.

    Discs in plain colours, of sizes by a power law, hide one another (Lee, Mumford and Huang, Occlusion models for
    natural images, 2001), seen through a lens and a sensor with noise. Against the median of 15 photographs bfloat16 by
    torch is nearer to float32 there by 6 dB (embedded) or 1 to 3 dB (SRVGG-16, SRVGG-32, RRDB-6B).
    """
    random, fine = np.random.default_rng(0), 4 * PROBE_EDGE
    discs = np.full((fine, fine, 3), 0.5, np.float32)
    for _ in range(1500):
        radius = (SMALLEST_DISC**-2 - random.random() * (SMALLEST_DISC**-2 - LARGEST_DISC**-2)) ** -0.5
        color = np.clip(random.uniform(0.1, 0.9) + random.normal(0, 0.1, 3), 0, 1)
        cv2.circle(discs, random.integers(0, fine, 2).tolist(), int(radius), color.tolist(), cv2.FILLED)
    seen = cv2.GaussianBlur(cv2.resize(discs, (PROBE_EDGE, PROBE_EDGE), interpolation=cv2.INTER_AREA), (0, 0), 0.5)
    pixels = np.clip(seen + random.normal(0, 0.01, seen.shape), 0, 1).astype(np.float32)
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous(memory_format=torch.channels_last)


def noise(height: int, width: int) -> Tensor:
    """(1, 3, height, width) float32 to time networks on."""
    return torch.rand(1, 3, height, width).contiguous(memory_format=torch.channels_last)


def timed(runs: Mapping[Key, Callable[[], object]]) -> dict[Key, float]:
    """The seconds of each run's fastest turn after the first, the fastest run first.

    All take turns, so that what slows the machine for a while slows all.
    """
    seconds: dict[Key, list[float]] = {key: [] for key in runs}
    with torch.inference_mode():
        for run_once in runs.values():
            run_once()
        started = time.perf_counter()
        for _ in range(MOST_TURNS):
            for key, run_once in runs.items():
                before = time.perf_counter()
                run_once()
                seconds[key].append(time.perf_counter() - before)
            if time.perf_counter() - started > ENOUGH_SECONDS:
                break
    return dict(sorted(((key, min(turns)) for key, turns in seconds.items()), key=lambda entry: entry[1]))
