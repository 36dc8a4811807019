"""How much of the machine is ours: cores, memory, GPUs."""

from __future__ import annotations

import contextlib
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


def name_cpu() -> str:
    """The processor's model as the kernel calls it, "" where it does not say."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def free_memory(folder: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that may still be taken: what the machine has and, in a container, what its limit leaves."""
    readings = [_meminfo("MemAvailable"), _cgroup_rest(folder)]
    return min(reading for reading in readings if reading is not None)


def total_memory(folder: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes this process may ever take: the machine's, or a container's limit (cgroup v2 or v1)."""
    limits = [_meminfo("MemTotal")]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # no such version, or "max"
            limits.append(int((folder / name).read_text()))
    return min(limits)


def raise_file_limit() -> int:
    """Raises the soft limit of open files to the hard one; returns it."""
    import resource  # not on Windows

    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _meminfo(name: str) -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 1 << 30


def _cgroup_rest(folder: Path) -> int | None:
    """What the container's limit leaves (cgroup v2 or v1), file cache counted as free; None without a limit."""
    for limit_file, usage_file, cache in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            limit, used = ((folder / name).read_text().strip() for name in (limit_file, usage_file))
            stat = (folder / limit_file).with_name("memory.stat").read_text().split()
        except OSError:
            continue
        if limit == "max":
            return None
        return max(0, int(limit) - int(used) + int(stat[stat.index(cache) + 1]))
    return None


def memory_folder() -> str | None:
    """A folder for small files that lies in memory, writable also where the root is not; None where there is none."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
