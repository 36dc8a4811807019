"""Fetching weights of the manifest: resumed where it broke off, checked, and put in place in one step."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

import httpx
from filelock import FileLock

from pixelserve.errors import BadRequest, Unavailable
from pixelserve.local import state
from pixelserve.models import PublishedFile, Weights, WeightsError, verify
from pixelserve_deploy.console import ShowBytes
from pixelserve_deploy.wheels import PURL, extract_member

ATTEMPTS = 4
_BLOCK = 1 << 18


def find_weights_folder() -> Path:
    """PIXELSERVE_WEIGHTS_DIR, else weights/ in the cache folder."""
    own = os.environ.get("PIXELSERVE_WEIGHTS_DIR")
    return Path(own).expanduser() if own else state.cache_folder() / "weights"


def locate_weights(entry: Weights, folder: Path) -> Path:
    """Where an entry's files belong: a folder for each entry, so that it can serve as a model folder."""
    return folder / entry.name


def is_fetched(entry: Weights, folder: Path) -> bool:
    """Whether all of the entry's files are there; they may be damaged."""
    return all((locate_weights(entry, folder) / file.name).exists() for file in entry.files)


def verify_weights(entry: Weights, folder: Path) -> None:
    """Raises WeightsError unless all of the entry's files are there, byte for byte."""
    for file in entry.files:
        path = locate_weights(entry, folder) / file.name
        if not path.exists():
            raise WeightsError(f"{path} is not there: pixelserve weights fetch {entry.name}")
        verify(path, file)


def fetch_weights(
    entry: Weights,
    folder: Path,
    *,
    mirror: str | None = None,
    offline: bool = False,
    progress: ShowBytes = lambda done, total: None,
    pause: float = 1.0,
) -> Path:
    """The folder of the entry's verified files in `folder`, downloaded unless they are there already.

    `mirror` is the URL of a folder with the same file names. A broken-off download stays beside the file as `.part` and
    is resumed by the next call; several calls at once take turns. `progress` gets bytes done and their total, for each
    file. Raises Unavailable when a file cannot be had (naming where to put it by hand), WeightsError when what came is
    not the entry's.
    """
    place = locate_weights(entry, folder)
    for file in entry.files:
        path = place / file.name
        if path.exists():
            verify(path, file)
            continue
        url = f"{mirror.rstrip('/')}/{file.name}" if mirror else file.url
        if offline:
            raise Unavailable(f"{entry.name} is not in {folder}, and nothing is fetched offline. Put {url} at {path}.")
        _fetch(dataclasses.replace(file, url=url), path, progress, pause)
    return place


def _fetch(file: PublishedFile, path: Path, progress: ShowBytes, pause: float) -> None:
    """Puts the verified file at `path`."""
    if not file.url.startswith(("http://", "https://", PURL)):
        raise BadRequest(f"The mirror's {file.url} is no http or https URL.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadRequest(f"Cannot write to {path.parent}: {error.strerror}. Choose another folder with --to.") from None
    lock = path.parent.with_name(f".{path.parent.name}.lock")
    with FileLock(lock):  # of several who fetch it at once the others find it there
        if not path.exists():
            _fill(file, path, progress, pause)


def _fill(file: PublishedFile, path: Path, progress: ShowBytes, pause: float) -> None:
    part = path.with_name(path.name + ".part")
    try:
        if file.url.startswith(PURL):
            extract_member(file.url, file.size, part)
            progress(file.size, file.size)
        else:
            _download(file, part, progress, pause)
        verify(part, file)
    except WeightsError:
        part.unlink(missing_ok=True)
        raise WeightsError(
            f"What {file.url} gave is not {file.name}: its size or SHA-256 is another. Nothing was kept. Try again, or "
            "another mirror."
        ) from None
    os.replace(part, path)


def _download(file: PublishedFile, part: Path, progress: ShowBytes, pause: float) -> None:
    """Fills `part` up to the file's size. Raises Unavailable after some attempts without any progress."""
    failures = 0
    while True:
        before = _size(part)
        try:
            _append(file, part, progress)
            return
        except (httpx.TransportError, _CutOffError) as error:
            failures = 0 if _size(part) > before else failures + 1
            if failures >= ATTEMPTS:
                raise Unavailable(
                    f"{file.url} cannot be fetched: {str(error) or type(error).__name__}. What came is kept; the same "
                    "command goes on from there."
                ) from error
            time.sleep(pause * failures)
        except httpx.RequestError as error:
            raise Unavailable(f"{file.url} cannot be fetched: {error}. Try a mirror with --mirror.") from error


class _CutOffError(Exception):
    pass


def _append(file: PublishedFile, part: Path, progress: ShowBytes) -> None:
    start = _size(part)
    if start >= file.size:
        return
    headers = {"range": f"bytes={start}-", "accept-encoding": "identity"} if start else {"accept-encoding": "identity"}
    with httpx.stream("GET", file.url, headers=headers, follow_redirects=True, timeout=30.0) as response:
        if response.status_code == 429 or response.status_code >= 500:
            raise _CutOffError(f"it answered {response.status_code}")
        if response.status_code not in (200, 206):
            raise Unavailable(f"{file.url} answered {response.status_code}. Try a mirror with --mirror.")
        resumed = response.status_code == 206
        with part.open("ab" if resumed else "wb") as out:
            done = start if resumed else 0
            for block in response.iter_bytes(_BLOCK):
                done += len(block)
                if done > file.size:
                    raise WeightsError(f"{file.url} is larger than the {file.size:,} bytes of {file.name}.")
                out.write(block)
                progress(done, file.size)
    if done < file.size:
        raise _CutOffError(f"the connection ended after {done:,} of {file.size:,} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
