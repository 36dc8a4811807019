"""Running a handler against the contract, in a process of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pixelserve.processes import command_of, describe_ending


@dataclass(frozen=True)
class Finding:
    """What one check found: `ok`, a `note` worth knowing, or a `problem` that fails in production."""

    kind: Literal["ok", "note", "problem"]
    check: str
    text: str


def check_handler(
    folder: Path,
    *,
    body: Path | None = None,
    content_type: str = "application/json",
    accept: str = "*/*",
    model_dir: Path | None = None,
) -> Generator[Finding]:
    """Yields what is found as it is found; the last is a problem when the handler ended its process.

    `body` is a request's body, None for JSON with a small image; `model_dir` has the weights, None for an empty one.
    """
    order = {
        "folder": str(folder.resolve()),
        "body": body and str(body),
        "content_type": content_type,
        "accept": accept,
        "model_dir": model_dir and str(model_dir.resolve()),
    }
    command = command_of("pixelserve_deploy.handlers.probe", json.dumps(order))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as probe:
        assert probe.stdout is not None
        try:
            for line in probe.stdout:
                yield Finding(**json.loads(line))
        except BaseException:
            probe.kill()
            raise
    if probe.returncode:
        how = describe_ending(probe.returncode)
        yield Finding("problem", "process", f"the handler ended its process ({how}); nothing in it may do that")
