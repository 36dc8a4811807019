"""The device a network runs on, what it can do, and the memory there is."""

from __future__ import annotations

from pathlib import Path

import torch

from pixelserve import machine
from pixelserve.errors import CheckpointError

MOST_BYTES = 1_150_000_000
"""Of a tile, however much memory there is, as reckoned: processes were seen to take up to 1.3 times as much."""
NO_MEMORY = ("not enough memory", "bad_alloc", "bad allocation")
"""In the messages of torch's and OpenVINO's errors when memory runs out on the CPU."""


def pick_device(wanted: str = "auto") -> torch.device:
    """The GPU when there is one, unless it is the CPU that is wanted. Raises CheckpointError without a wanted GPU."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise CheckpointError(
            f"PIXELSERVE_DEVICE is cuda, but torch {torch.__version__} finds no GPU that it can use: its driver may be "
            "too old, or torch built for the CPU. PIXELSERVE_DEVICE=auto runs on the CPU."
        )
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def name_device(device: torch.device) -> str:
    """As reports have it: CPU or CUDA."""
    return device.type.upper()


def cpu_flags() -> set[str]:
    """What the CPU can do, as Linux names it; empty where it does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return set(next((line.split() for line in lines if line.startswith("flags")), []))


def memory_bound(device: torch.device, workers: int = 1) -> int:
    """Bytes that a tile of each of `workers` may take: together a quarter of all, and half of what is free now.

    Both are within a container's limit.
    """
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info()
    else:
        free, total = machine.free_memory(), machine.total_memory()
    return min(MOST_BYTES, min(total // 4, free // 2) // workers)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on the GPU or on the CPU (where torch and OpenVINO say so in a RuntimeError)."""
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error).lower() for said in NO_MEMORY)
