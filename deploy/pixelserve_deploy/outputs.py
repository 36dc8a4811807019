"""Files that a command writes: looked at before the work, and written whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path

from pixelserve.errors import BadRequest

LEAST_FREE = 1_000_000
"""Bytes: less room than that on the disk is refused before the work."""


def check_output(path: Path, needed: int = LEAST_FREE) -> None:
    """Raises BadRequest where no file can be written at `path`: its folder, permission, or fewer bytes free."""
    folder = path.parent
    if path.is_dir():
        raise BadRequest(f"{path} is a folder. Name a file in it, such as {path / 'answer.png'}.")
    if not folder.is_dir():
        raise BadRequest(f"Cannot write {path}: there is no folder {folder}. Make it, or choose another.")
    written = path if path.exists() and not path.is_file() else folder  # a device or pipe is written itself
    _check_place(written, f"Cannot write {path}", needed if written is folder else 0)


def check_folder(path: Path, needed: int = LEAST_FREE) -> None:
    """Raises BadRequest where files cannot be written below `path`, which need not be there yet."""
    standing = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
    if not standing.is_dir():
        raise BadRequest(f"Cannot write to {path}: {standing} is a file. Choose another folder.")
    _check_place(standing, f"Cannot write to {path}", needed)


def _check_place(place: Path, wrong: str, needed: int) -> None:
    """Permission and room; `wrong` begins what is said."""
    if not os.access(place, os.W_OK):
        raise BadRequest(f"{wrong}: {place} is not yours to write. Choose another folder.")
    free = shutil.disk_usage(place).free
    if free < needed:
        raise BadRequest(f"{wrong}: its disk has {free:,} bytes free, of {needed:,} needed. Make room.")


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file, which has either its old content or all of the new. Raises BadRequest where that fails."""
    part = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex}.part")
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        part.write_bytes(data)
        part.replace(path.resolve())
    except OSError as error:
        raise BadRequest(f"Cannot write {path}: {error.strerror}. Choose another place with -o.") from None
    finally:
        part.unlink(missing_ok=True)
