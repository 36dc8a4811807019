"""How much of the machine is ours."""

from __future__ import annotations

import os
from pathlib import Path


def cores(folder: Path = Path("/sys/fs/cgroup")) -> int:
    """CPU cores this process may use: its affinity, and a container's CPU quota (cgroup v2 or v1), at least 1."""
    usable = len(os.sched_getaffinity(0))
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            quota, period = " ".join((folder / name).read_text() for name in files).split()
        except OSError:
            continue
        return usable if quota in ("max", "-1") else max(1, min(usable, int(quota) // int(period)))
    return usable


def gpus(devices: Path = Path("/dev")) -> int:
    """NVIDIA GPUs this process may use: those of CUDA_VISIBLE_DEVICES where that is set, else all of the machine."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip() and name.strip() != "-1"])
    return len(list(devices.glob("nvidia[0-9]*")))
