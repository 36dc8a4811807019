"""The one form of all results: `benchmarks/results/NAME.json`, described in docs/benchmarks.md.

    {"schema": "pixelserve-benchmark/1", "name", "date", "machine": {...}, "versions": {...},
     "rows": [{..., "seconds": {"count", "mean", "p50", "p90", "p99", "max"}, "sizes": {...}}]}

`seconds` is the distribution of seconds per image (or request); the cost estimator reads it.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SCHEMA = "pixelserve-benchmark/1"
RESULTS = Path(__file__).parent / "results"
PACKAGES = ("pixelserve", "torch", "numpy", "opencv-python-headless", "uvicorn", "uvloop", "httptools", "starlette",
            "httpx", "granian", "litserve", "simplejpeg", "isal", "pillow")  # fmt: skip


def assets() -> Path:
    """The folder of real weights and test pictures. Ends the program when PIXELSERVE_ASSETS names none."""
    folder = os.environ.get("PIXELSERVE_ASSETS", "")
    if not Path(folder, "testsets").is_dir():
        raise SystemExit("There are no test pictures here. Set PIXELSERVE_ASSETS to the folder that holds testsets/.")
    return Path(folder)


def distribution(seconds: Sequence[float]) -> dict[str, float]:
    """Count, mean and percentiles of a sample, in seconds."""
    ordered = sorted(seconds)
    at = {f"p{percent}": ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] for percent in (50, 90, 99)}
    mean = sum(ordered) / len(ordered)
    values = {"mean": mean, **at, "max": ordered[-1]}
    return {"count": len(ordered), **{name: round(value, 6) for name, value in values.items()}}


def machine() -> dict[str, Any]:
    """What it ran on."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = next((line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")), "")
    flags = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f" {flag}" in info]
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "flags": flags,
        "system": platform.platform(terse=True),
        "gpu": gpu(),
    }


def gpu() -> str | None:
    """The name of the first NVIDIA GPU, None without one."""
    try:
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        names = subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return None
    return names[0] if names else None


def versions() -> dict[str, str]:
    """Python and the packages that matter, as installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def write(name: str, rows: list[dict[str, Any]]) -> Path:
    """Writes the results of one benchmark and says where."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    report = {
        "schema": SCHEMA,
        "name": name,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "rows": rows,
    }
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(f"wrote {path.relative_to(RESULTS.parent.parent)}")
    return path


def table(rows: list[dict[str, Any]], columns: Sequence[str]) -> None:
    """Prints the named columns of the rows."""
    cells = [list(columns)] + [[_text(row.get(column, "")) for column in columns] for row in rows]
    widths = [max(len(line[number]) for line in cells) for number in range(len(columns))]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _text(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def parser(description: str | None) -> argparse.ArgumentParser:
    """The argument parser that benchmarks begin with."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
