"""The device a network runs on, the number type that suits both, and the memory there is."""

from __future__ import annotations

import copy
import logging
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from pixelserve import machine

logger = logging.getLogger("pixelserve.models")

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
MOST_DEVIATION = 6 / 255
"""A faster number type is taken only if no sample of the probe differs more than this from float32."""


def pick_device() -> torch.device:
    """The GPU when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def pick_dtype(network: nn.Module, probe: Tensor, asked: str) -> torch.dtype:
    """The number type to run `network` in: the one asked for by name, or for `auto` the fastest that is good enough.

    `probe` is a float32 input (N, C, H, W) on the network's device. Reduced types are tried where the hardware has them
    (bfloat16 on CPUs with AMX or AVX-512 BF16, float16 on GPUs), timed, and compared with float32, NaN included.
    The network itself stays as it is.
    """
    if asked != "auto":
        return TYPES[asked]
    exact, best = _run(network, probe)
    chosen = torch.float32
    for dtype in _candidates(probe.device):
        out, seconds = _run(copy.deepcopy(network).to(dtype), probe.to(dtype))
        deviation = (out.float() - exact).abs().max().item()
        good = deviation <= MOST_DEVIATION  # False for NaN
        logger.info("%s: %.4f s against %.4f s, deviation %.4f", dtype, seconds, best, deviation)
        if good and seconds < best:
            chosen, best = dtype, seconds
    return chosen


def _candidates(device: torch.device) -> list[torch.dtype]:
    if device.type == "cuda":
        return [torch.float16]
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return [torch.bfloat16] if "amx_bf16" in flags or "avx512_bf16" in flags else []


def _run(network: nn.Module, probe: Tensor) -> tuple[Tensor, float]:
    """The output and the seconds of the second of two runs."""
    with torch.inference_mode():
        network(probe).cpu()
        started = time.perf_counter()
        out = network(probe)
        if probe.device.type == "cuda":
            torch.cuda.synchronize()
        return out, time.perf_counter() - started


def free_memory(device: torch.device) -> int:
    """Bytes that may still be taken on a device; on the CPU within the container's limit."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    return machine.free_memory()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on the GPU or on the CPU (where torch says so in a RuntimeError)."""
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "not enough memory" in str(error).lower()
