"""How much of the machine is ours, from the files that a kernel shows of it."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from pixelserve.machine import cores, free_memory, gpus, total_memory

USABLE = len(os.sched_getaffinity(0))
GIB = 1 << 30
UNLIMITED = "9223372036854771712"
"""What cgroup v1 says where there is no limit."""


def cgroup(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"{text}\n")
    return folder


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, USABLE),
        ({"cpu.max": "max 100000"}, USABLE),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "199999 100000"}, 1),
        ({"cpu.max": "99900000 100000"}, USABLE),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, USABLE),
        ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "100000"}, USABLE),
    ],
)
def test_cores(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    assert cores(cgroup(tmp_path, files)) == expected


def test_cores_of_an_affinity(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert cores(cgroup(tmp_path, {"cpu.max": "400000 100000"})) == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({}, None),
        ({"memory.max": "max"}, None),
        ({"memory.max": str(GIB)}, GIB),
        ({"memory/memory.limit_in_bytes": UNLIMITED}, None),
        ({"memory/memory.limit_in_bytes": str(GIB)}, GIB),
    ],
)
def test_total_memory(tmp_path: Path, files: dict[str, str], limit: int | None) -> None:
    assert total_memory(cgroup(tmp_path, files)) == (limit or psutil.virtual_memory().total)


@pytest.mark.parametrize(
    ("limit", "usage", "cache"),
    [
        ("memory.max", "memory.current", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
    ],
    ids=["v2", "v1"],
)
def test_free_memory_within_a_limit(tmp_path: Path, limit: str, usage: str, cache: str) -> None:
    """The cache of files counts as free; the files of version 1 have more than one such line."""
    stat = str(Path(limit).with_name("memory.stat"))
    lines = f"anon 7\nshmem 1\n{cache} 1000\nactive_file 5"
    folder = cgroup(tmp_path, {limit: "5000", usage: "4500", stat: lines})
    assert free_memory(folder) == 1500
    cgroup(tmp_path, {usage: "7000"})
    assert free_memory(folder) == 0


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"memory.max": "max", "memory.current": "1", "memory.stat": "inactive_file 0"},
        {
            "memory/memory.limit_in_bytes": UNLIMITED,
            "memory/memory.usage_in_bytes": "1",
            "memory/memory.stat": "total_inactive_file 0",
        },
    ],
    ids=["none", "v2", "v1"],
)
def test_free_memory_without_a_limit_is_the_machines(tmp_path: Path, files: dict[str, str]) -> None:
    free = free_memory(cgroup(tmp_path, files))
    assert free > 1_000_000
    assert abs(free - psutil.virtual_memory().available) < GIB


def test_gpus_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus(tmp_path) == 0
    for name in ("nvidia0", "nvidia1", "nvidia11", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert gpus(tmp_path) == 3


@pytest.mark.parametrize(
    ("visible", "expected"),
    [("", 0), ("-1", 0), ("0", 1), ("2,3", 2), (" 0 , 1 ,", 2), ("GPU-8932f937-d72c,MIG-7f3a", 2)],
)
def test_gpus_that_are_visible(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, visible: str, expected: int) -> None:
    (tmp_path / "nvidia0").touch()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus(tmp_path) == expected
