"""Running a handler against the contract, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pixelserve.local import Source
from pixelserve.processes import Stop, command_of, describe_ending

Kind = Literal["ok", "note", "problem", "unchecked", "printed"]


@dataclass(frozen=True)
class Finding:
    """What one check found: `ok`, a `note` worth knowing, or a `problem` that fails in production.

    What could not be checked is `unchecked`. What the handler printed is `printed`, a line each, and comes last.
    """

    kind: Kind
    check: str
    text: str


END = "end"
"""The kind of the line with which the process says that it did all it could."""


def check_handler(
    source: Source,
    stop: Stop,
    *,
    bodies: Sequence[tuple[Path, str]] = (),
    accept: str = "*/*",
) -> Generator[Finding]:
    """Yields what is found as it is found; a problem comes when the handler ended its process.

    `bodies` are files of requests with their content types, by default JSON with a small image. The handler gets an
    empty folder where the source has no weights. Raises Stopped when `stop` is set.
    """
    with tempfile.TemporaryDirectory(prefix="pixelserve-check-") as empty:
        order = {
            "folder": str(source.folder),
            "program": source.program,
            "bodies": [(str(path), content_type) for path, content_type in bodies],
            "accept": accept,
            "model_dir": str(source.model_dir or empty),
        }
        yield from _run_probe(json.dumps(order), stop)


def _run_probe(order: str, stop: Stop) -> Generator[Finding]:
    command = command_of("pixelserve_deploy.handlers.probe", order)
    is_complete = False
    with (
        tempfile.TemporaryFile("w+", errors="replace") as printed,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=printed, text=True, start_new_session=True) as probe,
    ):
        assert probe.stdout is not None
        threading.Thread(target=_end_all_with, args=(probe,), daemon=True).start()
        try:
            while not is_complete and (line := stop.run_aside(probe.stdout.readline)):
                said = json.loads(line)
                is_complete = said["kind"] == END
                if not is_complete:
                    yield Finding(**said)
            code = stop.run_aside(probe.wait)
        finally:
            probe.kill()
        if not is_complete:
            how = describe_ending(code)
            yield Finding("problem", "process", f"the handler ended its process ({how}); nothing in it may do that")
        printed.seek(0)
        for line in printed:
            yield Finding("printed", "handler", line.rstrip("\n"))


def _end_all_with(probe: subprocess.Popen[str]) -> None:
    """Ends what the handler has started when its own process has ended: it would hold the pipe."""
    probe.wait()
    with suppress(ProcessLookupError):
        os.killpg(probe.pid, signal.SIGKILL)
