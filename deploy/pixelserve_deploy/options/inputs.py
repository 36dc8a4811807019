"""Files that a command line names as input, and their types."""

from __future__ import annotations

from pathlib import Path

from pixelserve.errors import BadRequest, NotFound
from pixelserve_deploy.errors import UsageError


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


def check_media_type(text: str) -> None:
    """Raises UsageError for what cannot stand in a header."""
    if not (text.isascii() and text.isprintable()):
        raise UsageError(f"{text!r} is no content type: write one such as image/png")
