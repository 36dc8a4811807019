"""Model artifacts: which files of a folder belong in one, and SageMaker's layout of them, written whole or not at all.

The layout is that of the SageMaker developer guide: the weights at the root, the handler in code/; as a model.tar.gz,
or uncompressed below an S3 prefix.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from pixelserve.errors import BadRequest

CODE = "code"
MODIFIED = 315_532_800
"""Seconds since 1970 that archives name for all files, so that the same files make the same archive: 1980-01-01."""
_COMPRESSION = 1
"""gzip's level: weights hardly get smaller."""


def list_files(folder: Path) -> dict[str, Path]:
    """The folder's files by name, sorted: a path relative to it, with slashes. Nothing hidden, no bytecode.

    Raises BadRequest for a link that leads out of the folder or around in it, and for what cannot be read.
    """
    root = folder.resolve()
    try:
        return {path.relative_to(root).as_posix(): path for path in _walk(root, (root,))}
    except OSError as error:
        raise BadRequest(f"{error.filename} cannot be read: {error.strerror}.") from None


def _walk(folder: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    """The files below `folder`; `above` are the folders on the way to it, from the root down to itself."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == "__pycache__":
            continue
        target = path.resolve()
        if not target.is_relative_to(above[0]):
            raise BadRequest(f"{path} is a link out of {above[0]}. Copy what it leads to (cp -RL), or remove it.")
        if target in above:
            raise BadRequest(f"{path} is a link to a folder that it lies in. Remove it.")
        if path.is_dir():
            yield from _walk(path, (*above, target))
        elif path.is_file():
            yield path
        else:
            raise BadRequest(f"{path} is neither a file nor a folder. Remove it.")


def lay_out(handler: Path, model_dir: Path | None) -> dict[str, Path]:
    """The files of a model artifact by name: those of `model_dir`, and in code/ those of the handler's folder.

    Where both are one folder, code/ gets its Python files and requirements.txt. Raises BadRequest where the weights
    have a code/ that is not the handler's, and what `list_files` raises.
    """
    own = list_files(handler)
    if model_dir is not None and model_dir.resolve() == handler.resolve():
        return {f"{CODE}/{name}" if _is_code(name) else name: path for name, path in own.items()}
    weights = list_files(model_dir) if model_dir is not None else {}
    code = {f"{CODE}/{name}": path for name, path in own.items()}
    others = [name for name, path in weights.items() if name.startswith(f"{CODE}/") and code.get(name) != path]
    if others:
        raise BadRequest(
            f"{model_dir} has a {CODE}/ too, with {others[0]}, where the handler belongs. Rename it, or give "
            f"{model_dir} alone if that is the handler."
        )
    return dict(sorted((weights | code).items()))


def _is_code(name: str) -> bool:
    return name.endswith(".py") or name == "requirements.txt"


def add_files(archive: tarfile.TarFile, files: Mapping[str, Path]) -> None:
    """Adds the files with nothing of this machine: no owner, no dates, readable by all."""
    for name, path in files.items():
        with path.open("rb") as content:
            member = tarfile.TarInfo(name)
            status = os.fstat(content.fileno())
            member.size, member.mtime, member.mode = status.st_size, MODIFIED, _mode(status.st_mode)
            archive.addfile(member, content)


def write_archive(files: Mapping[str, Path], target: Path) -> None:
    """Writes a .tar.gz, in the place of one that is there. Raises BadRequest when it cannot."""
    with _scratch(target) as folder:
        with (
            (folder / target.name).open("wb") as file,
            gzip.GzipFile("", "wb", _COMPRESSION, file, mtime=0) as compressed,
            tarfile.open(fileobj=compressed, mode="w") as archive,
        ):
            add_files(archive, files)
        os.replace(folder / target.name, target)


def write_folder(files: Mapping[str, Path], target: Path) -> None:
    """Writes the files below `target`, which must not exist. Raises BadRequest when it cannot."""
    if target.exists():
        raise BadRequest(f"{target} exists already. Name a folder that does not, or remove it.")
    with _scratch(target) as folder:
        for name, path in files.items():
            copy = folder / target.name / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            copy.chmod(_mode(path.stat().st_mode))
        os.replace(folder / target.name, target)


def _mode(mode: int) -> int:
    return 0o755 if mode & 0o100 else 0o644


@contextlib.contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    """A folder beside the target, for what is to become it; it goes in the end."""
    try:
        with tempfile.TemporaryDirectory(prefix=".pixelserve-", dir=target.parent) as folder:
            yield Path(folder)
    except OSError as error:
        raise BadRequest(f"{target} cannot be written: {error.strerror} ({error.filename}).") from None
