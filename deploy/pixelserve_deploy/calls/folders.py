"""Many files through one way, a few at a time: answers beside one another, in the order of the files.

No more files are held than are in work, however many there are.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pixelserve.errors import BadRequest, NotFound
from pixelserve.local import JobReport, Outcome
from pixelserve.processes import Stop
from pixelserve.storage import Place
from pixelserve_deploy.artifact import list_files
from pixelserve_deploy.calls.senders import InvocationFailed, ModelAnswer

AT_ONCE = 4
"""Requests, where nobody says."""
AHEAD = 4
"""Answers that may wait for an earlier one, for each request in work."""


@dataclass(frozen=True)
class Item:
    """A file by the name of its answer, without an ending."""

    name: str
    path: Path
    size: int


def list_items(paths: Sequence[Path]) -> list[Item]:
    """The files, those of folders by their paths below them; nothing hidden. Raises NotFound, and BadRequest."""
    found: dict[str, Item] = {}
    for path in paths:
        if not path.exists():
            raise NotFound(f"There is no file {path}.")
        for name, file in (list_files(path) if path.is_dir() else {path.name: path}).items():
            if name in found:
                raise BadRequest(f"{found[name].path} and {file} would have one answer. Send one of them by itself.")
            found[name] = Item(name, file, file.stat().st_size)
    if not found:
        raise NotFound(f"There is no file in {', '.join(map(str, paths))}.")
    return list(found.values())


def select_undone(items: Sequence[Item], target: Place, ending: str, *, overwrite: bool) -> list[Item]:
    """Those without an answer; all of them when answers are overwritten."""
    there: Collection[str] = () if overwrite else set(target.names())
    return [item for item in items if f"{item.name}{ending}" not in there]


def send_items(
    items: Sequence[Item],
    target: Place,
    ending: str,
    ask: Callable[[bytes, str], ModelAnswer],
    concurrency: int,
    progress: Callable[[Outcome], None],
    stop: Stop,
) -> JobReport:
    """Stores the answer to each file that does not fail, as its name and `ending`.

    `ask` takes a file's bytes and name. Raises Stopped, and what ends all requests (`senders.Send`); what is in work
    then is still stored.
    """
    report = JobReport(told=True)

    def work(item: Item) -> int:
        stop.check()
        data = item.path.read_bytes()
        if not data:
            raise BadRequest(f"{item.path} is empty.")
        answer, content_type = ask(data, item.name)
        target.write(f"{item.name}{ending}", io.BytesIO(answer), content_type)
        return len(answer)

    def settle(number: int, item: Item, future: Future[int]) -> None:
        size, error = 0, ""
        try:
            size = stop.result_of(future)
            report.done += 1
        except (InvocationFailed, BadRequest) as failure:
            error = report.failures[item.name] = failure.message
        except OSError as failure:
            error = report.failures[item.name] = f"Cannot read {item.path}: {failure.strerror}."
        progress(Outcome(item.name, number, len(items), size, error))

    pending: deque[tuple[int, Item, Future[int]]] = deque()
    pool = ThreadPoolExecutor(concurrency, thread_name_prefix="send")
    try:
        for number, item in enumerate(items, start=1):
            pending.append((number, item, pool.submit(work, item)))
            if len(pending) > AHEAD * concurrency:
                settle(*pending.popleft())
        while pending:
            settle(*pending.popleft())
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return report
