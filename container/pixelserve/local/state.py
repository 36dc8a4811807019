"""Where running `pixelserve up` processes are written down, so that `pixelserve invoke` finds them."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx

from pixelserve.errors import Unavailable


def cache_folder() -> Path:
    """pixelserve/ in the user's cache folder (XDG_CACHE_HOME, ~/.cache)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pixelserve"


def folder() -> Path:
    """PIXELSERVE_STATE_DIR, else the cache folder."""
    chosen = os.environ.get("PIXELSERVE_STATE_DIR")
    return Path(chosen) if chosen else cache_folder()


def check_folder() -> None:
    """Makes the folder. Raises Unavailable where that cannot be done or it is not to be written."""
    path = folder()
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise Unavailable(
            f"Cannot write to {path}: {error.strerror}. Set PIXELSERVE_STATE_DIR to a folder of your own."
        ) from None


@contextlib.contextmanager
def announce(url: str) -> Iterator[None]:
    """While entered, other processes find this one at `url`."""
    note = folder() / f"up-{os.getpid()}.json"
    note.write_text(json.dumps({"url": url, "pid": os.getpid()}))
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def find(endpoint: str) -> str | None:
    """The address of a running `up` that has this endpoint."""
    return list_served().get(endpoint)


def list_served() -> dict[str, str]:
    """The addresses of running `up`s by endpoint, the oldest first. Notes of processes that are gone are removed."""
    found: dict[str, str] = {}
    for note in sorted(folder().glob("up-*.json")):
        try:
            said = json.loads(note.read_text())
            overview = httpx.get(said["url"], timeout=5.0, trust_env=False).json()
            is_ours = overview["pid"] == said["pid"]
        except (OSError, ValueError, KeyError, TypeError, httpx.HTTPError):
            is_ours = False
        if not is_ours:
            note.unlink(missing_ok=True)
        else:
            found = {name: str(said["url"]) for name in overview["endpoints"]} | found
    return found
