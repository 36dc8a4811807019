"""Running a handler against the contract, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import tempfile
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
    order = {
        "folder": str(source.folder),
        "program": source.program,
        "bodies": [(str(path), content_type) for path, content_type in bodies],
        "accept": accept,
        "model_dir": source.model_dir and str(source.model_dir),
    }
    command = command_of("pixelserve_deploy.handlers.probe", json.dumps(order))
    has_ended = False
    with (
        tempfile.TemporaryFile("w+", errors="replace") as printed,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=printed, text=True, start_new_session=True) as probe,
    ):
        assert probe.stdout is not None
        try:
            while line := stop.run_aside(probe.stdout.readline):
                said = json.loads(line)
                has_ended = has_ended or said["kind"] == END
                if not has_ended:
                    yield Finding(**said)
        except BaseException:
            with suppress(ProcessLookupError):
                probe.kill()
            raise
        code = probe.wait()
        if code or not has_ended:
            how = describe_ending(code)
            yield Finding("problem", "process", f"the handler ended its process ({how}); nothing in it may do that")
        printed.seek(0)
        for line in printed:
            yield Finding("printed", "handler", line.rstrip("\n"))
