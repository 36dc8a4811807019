"""What runs a super-resolution network: torch or OpenVINO, each in a number type.

Which, is chosen by measuring here, or stands in a tuning file. All are modules that take float32 and give float32.
"""

from __future__ import annotations

import copy
import logging
import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from pixelserve.models.devices import cpu_flags
from pixelserve.models.intel import import_openvino, is_installed
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
RUNS, ENOUGH_SECONDS = 3, 1.0
"""Of several runs the fastest counts; no further one is made after so long."""


@dataclass(frozen=True)
class Choice:
    """A runtime and the name of a number type."""

    runtime: str
    dtype: str


EXACT = Choice("torch", "float32")


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
        self._compiled = openvino.Core().compile_model(
            model,
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": PRECISIONS[dtype],
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
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
    """What can run on a device without being slow, the fastest of most networks first."""
    if device.type == "cuda":
        return [Choice("torch", "float16"), EXACT]
    types = ("bfloat16", "float32") if cpu_flags() & set(KINDS[:2]) else ("float32",)
    runtimes = ("openvino", "torch") if is_installed() else ("torch",)
    return [Choice(runtime, dtype) for dtype in types for runtime in runtimes]


def choose(network: nn.Module, device: torch.device, runtime: str, dtype: str, tuned: Choice | None = None) -> Running:
    """A network in float32 on `device` by what runs it; `auto` leaves runtime or type to `tuned`, or to measuring.

    Raises SettingsError for a runtime that is not there.
    """
    _check(runtime, device)
    open_to = [
        choice
        for choice in candidates(device)
        if runtime in ("auto", choice.runtime) and dtype in ("auto", choice.dtype)
    ]
    if not open_to:
        forced = Choice("torch" if runtime == "auto" else runtime, "float32" if dtype == "auto" else dtype)
        return _run(network, forced)
    note = ""
    if tuned in open_to and len(open_to) > 1:
        try:
            running = _run(network, tuned)
            decibels = _distance(running.network, network, natural_probe().to(device))
            if decibels >= LEAST_DB:
                return running
            reason = f"{decibels:.1f} dB from float32"
        except Exception as error:  # noqa: BLE001  OpenVINO raises kinds of its own
            logger.warning("%s in %s: %s", tuned.runtime, tuned.dtype, error)
            reason = "it does not run here"
        note = f"not {tuned.runtime} in {tuned.dtype} as tuned: {reason}"
        open_to = [choice for choice in open_to if choice != tuned]
    elif tuned and runtime == "auto" and tuned.runtime == "openvino" and not is_installed():
        note = "tuned for openvino, which is not installed"
    quick = [choice for choice in open_to if choice.runtime == "torch"] or open_to  # OpenVINO may convert for a minute
    choice = quick[0] if len(quick) == 1 else next(iter(measure(network, device, quick, MOST_SECONDS)))
    return _run(network, choice, note)


def _run(network: nn.Module, choice: Choice, note: str = "") -> Running:
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
            out, seconds = timed(run_by(network, choice), probe)
            decibels = psnr(out, exact)
            logger.info("%s, %s: %.4f s, %.1f dB from float32", choice.runtime, choice.dtype, seconds, decibels)
            if decibels >= LEAST_DB:
                found[choice] = seconds
    return dict(sorted(found.items(), key=lambda entry: entry[1])) or {EXACT: math.nan}


def _distance(network: nn.Module, exact: nn.Module, probe: Tensor) -> float:
    """Between what two networks give, in dB; NaN for NaN."""
    with torch.inference_mode():
        return psnr(network(probe), exact(probe))


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


def timed(network: nn.Module, probe: Tensor) -> tuple[Tensor, float]:
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
