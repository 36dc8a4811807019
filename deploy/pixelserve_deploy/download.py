"""Fetching weights of the manifest: resumed where it broke off, checked, and put in place in one step."""

from __future__ import annotations

import os
import time
from pathlib import Path

import httpx
from filelock import FileLock

from pixelserve.errors import BadRequest, Unavailable
from pixelserve.local import state
from pixelserve.models import Weights, WeightsError, verify
from pixelserve_deploy.console import ShowBytes

ATTEMPTS = 4
_BLOCK = 1 << 18


def find_weights_folder() -> Path:
    """PIXELSERVE_WEIGHTS_DIR, else weights/ in the cache folder."""
    own = os.environ.get("PIXELSERVE_WEIGHTS_DIR")
    return Path(own).expanduser() if own else state.cache_folder() / "weights"


def locate_weights(entry: Weights, folder: Path) -> Path:
    """Where an entry's file belongs: a folder for each, so that it can serve as a model folder."""
    return folder / entry.name / entry.file


def fetch_weights(
    entry: Weights,
    folder: Path,
    *,
    mirror: str | None = None,
    offline: bool = False,
    progress: ShowBytes = lambda done, total: None,
    pause: float = 1.0,
) -> Path:
    """The entry's verified file in `folder`, downloaded unless it is there already.

    `mirror` is the URL of a folder with the same file names. A broken-off download stays beside the file as `.part` and
    is resumed by the next call; several calls at once take turns. `progress` gets bytes done and their total. Raises
    Unavailable when the file cannot be had (naming where to put it by hand), WeightsError when what came is not the
    entry's.
    """
    path = locate_weights(entry, folder)
    if path.exists():
        verify(path, entry)
        return path
    url = f"{mirror.rstrip('/')}/{entry.file}" if mirror else entry.url
    if offline:
        raise Unavailable(f"{entry.name} is not in {folder}, and nothing is fetched offline. Put {url} at {path}.")
    if not url.startswith(("http://", "https://")):
        raise BadRequest(f"The mirror {mirror} is no http or https URL.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadRequest(f"Cannot write to {folder}: {error.strerror}. Choose another folder with --to.") from None
    with FileLock(folder / f".{entry.name}.lock"):  # of several who fetch it at once the others find it there
        if not path.exists():
            _fetch(url, path, entry, progress, pause)
    return path


def _fetch(url: str, path: Path, entry: Weights, progress: ShowBytes, pause: float) -> None:
    part = path.with_name(path.name + ".part")
    try:
        _download(url, part, entry, progress, pause)
        verify(part, entry)
    except WeightsError:
        part.unlink(missing_ok=True)
        raise WeightsError(
            f"What {url} gave is not {entry.name}: its size or SHA-256 is another. Nothing was kept. Try again, or "
            "another mirror."
        ) from None
    os.replace(part, path)


def _download(url: str, part: Path, entry: Weights, progress: ShowBytes, pause: float) -> None:
    """Fills `part` up to the entry's size. Raises Unavailable after some attempts without any progress."""
    failures = 0
    while True:
        before = _size(part)
        try:
            _append(url, part, entry, progress)
            return
        except (httpx.TransportError, _CutOffError) as error:
            failures = 0 if _size(part) > before else failures + 1
            if failures >= ATTEMPTS:
                raise Unavailable(
                    f"{url} cannot be fetched: {str(error) or type(error).__name__}. What came is kept; the same "
                    "command goes on from there."
                ) from error
            time.sleep(pause * failures)
        except httpx.RequestError as error:
            raise Unavailable(f"{url} cannot be fetched: {error}. Try a mirror with --mirror.") from error


class _CutOffError(Exception):
    pass


def _append(url: str, part: Path, entry: Weights, progress: ShowBytes) -> None:
    start = _size(part)
    if start >= entry.size:
        return
    headers = {"range": f"bytes={start}-", "accept-encoding": "identity"} if start else {"accept-encoding": "identity"}
    with httpx.stream("GET", url, headers=headers, follow_redirects=True, timeout=30.0) as response:
        if response.status_code == 429 or response.status_code >= 500:
            raise _CutOffError(f"it answered {response.status_code}")
        if response.status_code not in (200, 206):
            raise Unavailable(f"{url} answered {response.status_code}. Try a mirror with --mirror.")
        resumed = response.status_code == 206
        with part.open("ab" if resumed else "wb") as file:
            done = start if resumed else 0
            for block in response.iter_bytes(_BLOCK):
                done += len(block)
                if done > entry.size:
                    raise WeightsError(f"{url} is larger than the {entry.size:,} bytes of {entry.name}.")
                file.write(block)
                progress(done, entry.size)
    if done < entry.size:
        raise _CutOffError(f"the connection ended after {done:,} of {entry.size:,} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
