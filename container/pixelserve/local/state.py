"""Where running `pixelserve up` processes are written down, so that `pixelserve invoke` finds them."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx


def cache_folder() -> Path:
    """pixelserve/ in the user's cache folder (XDG_CACHE_HOME, ~/.cache)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pixelserve"


def folder() -> Path:
    """PIXELSERVE_STATE_DIR, else the cache folder."""
    chosen = os.environ.get("PIXELSERVE_STATE_DIR")
    return Path(chosen) if chosen else cache_folder()


@contextlib.contextmanager
def announce(url: str) -> Iterator[None]:
    """While entered, other processes find this one at `url`."""
    note = folder() / f"up-{os.getpid()}.json"
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps({"url": url, "pid": os.getpid()}))
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def find(endpoint: str) -> str | None:
    """The address of a running `up` that has this endpoint. Notes of processes that are gone are removed."""
    for note in sorted(folder().glob("up-*.json")):
        try:
            said = json.loads(note.read_text())
            overview = httpx.get(said["url"], timeout=5.0, trust_env=False).json()
            is_ours = overview["pid"] == said["pid"]
        except (OSError, ValueError, KeyError, TypeError, httpx.HTTPError):
            is_ours = False
        if not is_ours:
            note.unlink(missing_ok=True)
        elif endpoint in overview["endpoints"]:
            return str(said["url"])
    return None
