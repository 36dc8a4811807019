"""How much of the machine is ours."""

from __future__ import annotations

import os
from pathlib import Path


def cores(quota_file: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """CPU cores this process may use: its affinity, and a container's CPU quota (cgroup v2), at least 1."""
    usable = len(os.sched_getaffinity(0))
    try:
        quota, period = quota_file.read_text().split()
    except (OSError, ValueError):
        return usable
    return usable if quota == "max" else max(1, min(usable, int(quota) // int(period)))
