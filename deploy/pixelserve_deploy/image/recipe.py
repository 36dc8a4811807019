"""What to build, and from which sources. Nothing here needs a Docker Engine."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import pixelserve
from pixelserve import handlers
from pixelserve.errors import BadRequest
from pixelserve_deploy.artifact import list_files

FILES = ("Dockerfile", "LICENSE", "README.md", "constraints.txt", "pyproject.toml", "setup.cfg")
INSTALLED = Path(__file__).with_name("source")
"""What an installed package brings of a clone beside its modules: FILES and container/image."""
HANDLER, WEIGHTS = "/opt/pixelserve/handler", "/opt/pixelserve/weights"
"""Where the Dockerfile puts a handler of the user's, and weights."""


@dataclass(frozen=True)
class Recipe:
    """What to build. `handler` is a feature's name, or the folder of a handler to put into the image.

    `program` is the handler's file in that folder, which the image serves.
    `model_dir` is a folder of weights to put in, which may be the handler's own; `weights` are published ones by name.
    """

    source: Path
    handler: str = "image_super_resolution"
    program: str = "inference.py"
    model_dir: Path | None = None
    target: Literal["server", "lambda", "gateway"] = "server"
    device: Literal["cpu", "cuda"] = "cpu"
    mms: bool = False
    weights: tuple[str, ...] = ()
    tuning: tuple[Path, ...] = ()
    """Tuning files of `weights`, to lie beside them."""
    name: str = "pixelserve"
    arguments: Mapping[str, str] = field(default_factory=dict)
    """Further build arguments of the Dockerfile: BASE, TORCH_INDEX_URL, TORCH_FIND_LINKS, PIXELSERVE_WEIGHTS_MIRROR,
    those of pip, and those of proxies that every Dockerfile has."""
    network: str | None = None
    cache: bool = True

    @property
    def folder(self) -> Path | None:
        """The handler's folder, None for a feature."""
        path = Path(self.handler).expanduser()
        return path.resolve() if (path / self.program).is_file() else None

    @property
    def weights_folder(self) -> Path | None:
        """The folder of weights, None where there is none or the handler's own folder has them."""
        path = self.model_dir and self.model_dir.expanduser().resolve()
        return path if path != self.folder else None

    @cached_property
    def tag(self) -> str:
        """name:version-commit, with what sets this image apart: handler and weights by content, its device.

        Raises BadRequest for a folder that cannot be taken.
        """
        parts = [pixelserve.__version__, _read_commit(self.source)]
        if self.folder is not None:
            parts.append(_digest_folder(self.folder, self.program))
        elif self.handler != Recipe.handler:
            parts.append(self.handler)
        if self.weights_folder is not None:
            parts.append(_digest_folder(self.weights_folder))
        parts += self.weights
        if self.tuning:
            parts.append(_digest({path.name: path for path in self.tuning}))
        parts += [self.device] * (self.device != "cpu") + ["mms"] * self.mms + [self.target] * (self.target != "server")
        return f"{self.name}:{'-'.join(filter(None, parts))}"

    def build_arguments(self) -> dict[str, str]:
        """The Dockerfile's arguments. Its index of torch is left where another place is given, and for CUDA."""
        is_elsewhere = self.device == "cuda" or "TORCH_FIND_LINKS" in self.arguments
        has_own_weights = self.folder is not None and self.model_dir is not None and self.weights_folder is None
        return {
            "DEVICE": self.device,
            "MMS": str(self.mms).lower(),
            "FEATURE": HANDLER if self.folder else self.handler.replace("-", "_"),
            "PROGRAM": self.program,
            "IMAGE_WEIGHTS": HANDLER if has_own_weights and not self.weights else WEIGHTS,
            "WEIGHTS": " ".join(self.weights),
            "VERSION": pixelserve.__version__,
            "REVISION": _read_commit(self.source) or "unknown",
            **({"TORCH_INDEX_URL": ""} if is_elsewhere else {}),
            **self.arguments,
        }

    def list_context(self) -> dict[str, Path]:
        """The files that the Dockerfile copies, by their names there. Raises BadRequest for what cannot be taken."""
        folders = _find_sources(self.source)
        if self.folder is not None:
            folders["own/handler"] = self.folder
        if self.weights_folder is not None:
            folders["own/weights"] = self.weights_folder
        files = {name: self.source / name for name in FILES}
        for place, folder in folders.items():
            files |= {f"{place}/{name}": path for name, path in list_files(folder).items()}
        return files | {f"own/weights/{path.name}": path for path in self.tuning}


def find_source(given: Path | None) -> Path:
    """The clone given, else the one this package runs from, else what the installed package brings.

    Raises BadRequest saying how to get one.
    """
    for folder in [given] if given else [Path(__file__).parents[3], INSTALLED]:
        if (folder / "Dockerfile").is_file() and (_is_clone(folder) or folder == INSTALLED):
            return folder
    raise BadRequest(
        f"There is no Dockerfile of pixelserve in {given or INSTALLED}. Clone pixelserve's repository, and give "
        "--source FOLDER."
    )


def _is_clone(source: Path) -> bool:
    return (source / "container" / "pixelserve").is_dir()


def _find_sources(source: Path) -> dict[str, Path]:
    """Folders of a clone by their names in it; those of the installed packages where there is no clone."""
    if _is_clone(source):
        return {name: source / name for name in ("code", "container", "deploy")}
    return {
        "code": handlers.find_handler(Recipe.handler).parent,
        "container/image": source / "container" / "image",
        "container/pixelserve": Path(pixelserve.__file__).parent,
        "container/pixelserve_gateway": _package_folder("pixelserve_gateway"),
        "deploy/pixelserve_deploy": Path(__file__).parents[1],
    }


def _package_folder(name: str) -> Path:
    """Where an installed package lies, which is not imported: what it needs need not be here."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _read_commit(source: Path) -> str:
    """The first digits of the clone's commit, with -dirty where files differ from it; empty without a commit."""
    if not (source / ".git").exists():  # the package may be installed inside another project's repository
        return ""
    git = ["git", "-C", str(source)]
    try:
        commit = subprocess.check_output([*git, "rev-parse", "--short=8", "HEAD"], text=True, stderr=subprocess.DEVNULL)
        differs = subprocess.check_output([*git, "status", "--porcelain"], text=True, stderr=subprocess.DEVNULL)
        return commit.strip() + ("-dirty" if differs else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _digest_folder(folder: Path, program: str = "") -> str:
    """Eight digits that tell the contents of one folder, and its program, from another's."""
    return _digest(list_files(folder), program)


def _digest(files: Mapping[str, Path], program: str = "") -> str:
    digest = hashlib.sha256(program.encode())
    for name, path in files.items():
        with path.open("rb") as file:
            digest.update(f"{name}\0".encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:8]
