"""Which endpoints' folders have changed since somebody last asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pixelserve.local import Source

AskChanged = Callable[[], list[Source]]
"""The sources whose files have changed since the last call."""


@contextmanager
def watch_sources(sources: Sequence[Source]) -> Iterator[AskChanged]:
    """Watches the sources' folders, of handlers and of weights, for as long as it is entered.

    Caches, hidden folders and editors' scratch files do not count (watchfiles.DefaultFilter).
    """
    from watchfiles import watch

    folders = {source.name: _list_folders(source) for source in sources}
    changed: set[str] = set()
    lock, end = threading.Lock(), threading.Event()

    def note() -> None:
        watched = {folder for found in folders.values() for folder in found}
        for changes in watch(*watched, stop_event=end):
            paths = [Path(path) for _, path in changes]
            with lock:
                changed.update(
                    name
                    for name, found in folders.items()
                    if any(path.is_relative_to(folder) for path in paths for folder in found)
                )

    def ask() -> list[Source]:
        with lock:
            names = set(changed)
            changed.clear()
        return [source for source in sources if source.name in names]

    thread = threading.Thread(target=note, name="watch folders")
    thread.start()
    try:
        yield ask
    finally:
        end.set()
        thread.join()


def _list_folders(source: Source) -> list[Path]:
    return [folder for folder in (source.folder, source.model_dir) if folder is not None]
