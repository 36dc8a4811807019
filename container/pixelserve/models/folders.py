"""The network files of a model folder. Each file is used or refused by name: no weights are left out in silence."""

from __future__ import annotations

import json
import os
import tarfile
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path

from pixelserve.errors import CheckpointError

CODE_FOLDERS = ("code", "lib", "__pycache__")
NO_WEIGHTS = ("readme", "license", "licence", "notice", "requirements")
"""Beginnings of names of files that lie in a model folder beside weights, or without any."""
NOTES = (".cfg", ".ini", ".log", ".md", ".rst", ".toml", ".txt", ".yaml", ".yml")
"""Suffixes of such files, unless a network's stands before: `net.pth.txt`."""
ARCHIVE = "model.tar.gz"
"""SageMaker's, which its SDK's local mode leaves beside what it held."""
WEIGHTS = (
    ".bin", ".ckpt", ".engine", ".h5", ".keras", ".msgpack", ".npz", ".onnx", ".param", ".part", ".pb", ".pickle",
    ".pkl", ".pt", ".pth", ".safetensors", ".tflite", ".xml",
)  # fmt: skip
"""Suffixes of networks, half downloads among them."""
WITH_BIN = (".xml", ".param")
"""Files of OpenVINO and ncnn, whose weights lie beside them in a .bin of the same name."""
MOST_NAMED = 5


def find_networks(model_dir: str, suffixes: Collection[str], others: Collection[Path] = ()) -> list[Path]:
    """The files with one of `suffixes`, in any case, at the top of a folder; none of an empty one, and where none is.

    `others` are files that something else uses.

    Raises CheckpointError when there are files but no such one, or other weights beside.
    """
    folder, files = Path(model_dir), sorted(path for path in _files(model_dir) if path not in others)
    found = [path for path in files if path.parent == folder and path.suffix.lower() in suffixes]
    companions = {path.with_suffix(".bin") for path in found if path.suffix.lower() in WITH_BIN}
    left = [path for path in files if path not in found and path not in companions]
    if found:
        left = [path for path in left if path.suffix.lower() in WEIGHTS]
    else:
        left = [path for path in left if path.name != ARCHIVE or not _is_unpacked(path)]
        left += [path for path in sorted(folder.glob("code/*")) if path.suffix.lower() in suffixes]
    if left:
        names = ", ".join(str(path.relative_to(folder)) for path in left[:MOST_NAMED])
        more = f" and {len(left) - MOST_NAMED} more" if len(left) > MOST_NAMED else ""
        wrong = "holds weights that would not be used" if found else "holds no network that can be used here"
        raise CheckpointError(
            f"{folder} {wrong}: {names}{more}. What is used are files at its top that end in "
            f"{', '.join(suffixes)}. Leave only those in it."
        )
    return found


def _files(folder: str) -> Iterator[Path]:
    """Every file of a folder and those below that may hold weights: no code, nothing hidden, no notes.

    Links to folders are among them, which nothing looks into.
    """
    for parent, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if name not in CODE_FOLDERS and not name.startswith(".")]
        links = [name for name in folders if Path(parent, name).is_symlink()]
        for name in names + links:
            path = Path(parent, name)
            if not _is_beside_weights(path):
                yield path


def _refuse(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise CheckpointError(f"{error.filename} cannot be read: {error.strerror}.") from error


def _is_beside_weights(path: Path) -> bool:
    """Whether a file is a note, code or hidden, by its name."""
    name = path.name.lower()
    *others, last = ["", *(suffix.lower() for suffix in path.suffixes)]
    if last in NOTES and not any(suffix in WEIGHTS for suffix in others):
        return True
    return name.startswith(".") or last in (".py", ".pyc") or (name.startswith(NO_WEIGHTS) and last not in WEIGHTS)


def _is_unpacked(archive: Path) -> bool:
    """Whether all that an archive holds lies beside it."""
    try:
        with tarfile.open(archive) as members:
            return all((archive.parent / name).exists() for name in members.getnames())
    except (tarfile.TarError, OSError, EOFError):
        return False


def check_download(path: Path) -> None:
    """Raises CheckpointError for what is often found in the place of weights, saying what it is."""
    try:
        with path.open("rb") as file:
            start = file.read(1024)
    except OSError as error:
        raise CheckpointError(f"{path.name} cannot be read: {error.strerror}.") from error
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not start:
        wrong = "is empty. Fetch it again."
    elif start.startswith(b"version https://git-lfs"):
        wrong = "is a Git LFS pointer, not the weights themselves. Run `git lfs pull` where it was cloned."
    elif text.startswith((b"<!doctype html", b"<html", b"<?xml")) and path.suffix.lower() != ".xml":
        wrong = "is a web page, not weights. Fetch the file that the page leads to."
    elif _ends_early(path, start):
        wrong = f"ends early, after {path.stat().st_size:,} bytes: a download that broke off. Fetch it again."
    else:
        return
    raise CheckpointError(f"{path.name} {wrong}")


def _ends_early(path: Path, start: bytes) -> bool:
    """Whether a zip file (what torch writes) lacks its end, or a safetensors file some of its tensors."""
    if start.startswith(b"PK\x03\x04"):
        return not zipfile.is_zipfile(path)
    if path.suffix.lower() != ".safetensors":
        return False
    header, size = int.from_bytes(start[:8], "little"), path.stat().st_size
    if size < 8 or start[8:9] != b"{":
        return size < 8
    if size < 8 + header:
        return True
    with path.open("rb") as file:
        file.seek(8)
        try:
            entries = json.loads(file.read(header))
            end = max(entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__")
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            return False
    return bool(size < 8 + header + end)
