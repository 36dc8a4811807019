"""What to build, and from which sources. Nothing here needs a Docker Engine."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pixelserve
from pixelserve.errors import BadRequest


@dataclass(frozen=True)
class Recipe:
    """What to build. `handler` is a feature's name, or the folder of a handler to put into the image."""

    source: Path
    handler: str = "image_super_resolution"
    target: Literal["server", "lambda"] = "server"
    device: Literal["cpu", "cuda"] = "cpu"
    mms: bool = False
    weights: tuple[str, ...] = ()
    name: str = "pixelserve"
    arguments: Mapping[str, str] = field(default_factory=dict)
    """Further build arguments of the Dockerfile: BASE, TORCH_INDEX_URL, TORCH_FIND_LINKS, PIXELSERVE_WEIGHTS_MIRROR."""
    network: str | None = None
    cache: bool = True

    @property
    def folder(self) -> Path | None:
        """The handler's folder, None for a feature."""
        path = Path(self.handler).expanduser()
        return path.resolve() if (path / "inference.py").is_file() else None

    @property
    def tag(self) -> str:
        """name:version-commit, with what sets this image apart: its handler by content, its weights, its device."""
        parts = [pixelserve.__version__, _read_commit(self.source)]
        if self.folder is not None:
            parts.append(_digest_folder(self.folder))
        elif self.handler != Recipe.handler:
            parts.append(self.handler)
        parts += self.weights
        parts += [self.device] * (self.device != "cpu") + ["mms"] * self.mms + ["lambda"] * (self.target == "lambda")
        return f"{self.name}:{'-'.join(filter(None, parts))}"

    def build_arguments(self) -> dict[str, str]:
        """The Dockerfile's arguments."""
        return {
            "DEVICE": self.device,
            "MMS": str(self.mms).lower(),
            "FEATURE": "/opt/pixelserve/handler" if self.folder else self.handler.replace("-", "_"),
            "WEIGHTS": " ".join(self.weights),
            "VERSION": pixelserve.__version__,
            "REVISION": _read_commit(self.source) or "unknown",
            **self.arguments,
        }


def find_source(given: Path | None) -> Path:
    """The folder given, else the clone this package runs from, else the current one. Raises BadRequest."""
    for folder in [given] if given else [Path(__file__).parents[3], Path.cwd()]:
        if (folder / "Dockerfile").is_file() and (folder / "container" / "pixelserve").is_dir():
            return folder
    raise BadRequest(
        f"There is no Dockerfile of pixelserve in {given or 'this folder'}. Run this in a clone of pixelserve, or give "
        "--source FOLDER."
    )


def _read_commit(source: Path) -> str:
    """The first digits of the commit, with -dirty where files differ from it; empty outside a git repository."""
    git = ["git", "-C", str(source)]
    try:
        commit = subprocess.check_output([*git, "rev-parse", "--short=8", "HEAD"], text=True, stderr=subprocess.DEVNULL)
        differs = subprocess.check_output([*git, "status", "--porcelain"], text=True, stderr=subprocess.DEVNULL)
        return commit.strip() + ("-dirty" if differs else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _digest_folder(folder: Path) -> str:
    """Eight digits that tell the contents of one handler's folder from another's."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        digest.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:8]
