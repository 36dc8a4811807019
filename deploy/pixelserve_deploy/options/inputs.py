"""Files that a command line names as input."""

from __future__ import annotations

from pathlib import Path

from pixelserve.errors import BadRequest, NotFound


def read_input(path: Path) -> bytes:
    """The file's bytes. Raises NotFound or BadRequest where there are none to read."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"There is no file {path}.") from None
    except OSError as error:
        raise BadRequest(f"Cannot read {path}: {error.strerror}.") from None
    if not data:
        raise BadRequest(f"{path} is empty.")
    return data
