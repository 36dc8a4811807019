"""What a command on a stack prints: its steps as they come, and its end. With --json each is one object a line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pixelserve.errors import PixelserveError
from pixelserve.processes import Stopped
from pixelserve_deploy import console
from pixelserve_deploy.deployment.following import Progress
from pixelserve_deploy.deployment.outcome import Outcome, Status
from pixelserve_deploy.deployment.preflight import Check, Verdict

HEADLINES = {
    Status.UNDONE: "failed; what was there before is there again.",
    Status.REFUSED: "refused; nothing was changed.",
    Status.NEEDS_PERSON: "failed, and somebody has to look.",
    Status.RUNNING: "goes on without this command.",
}
STYLES = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.FAILED: "red"}
WIDTH = len("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS") // 2 + 2


class Teller:
    """Prints steps to standard error and the end to standard output, or all of it to standard output as JSON."""

    def __init__(self, command: str, name: str, as_json: bool) -> None:
        self._command = command
        self.name = name
        self._as_json = as_json

    def show(self, step: Progress) -> None:
        if self._as_json:
            print(json.dumps({key: value for key, value in asdict(step).items() if value}), flush=True)
        elif step.source == "container":
            console.print_labelled("container |", step.text, "dim", sys.stderr)
        elif step.source == "waiting":
            console.print_labelled("...", step.text, "dim", sys.stderr)
        else:
            text = f"{step.name} ({step.kind.removeprefix('AWS::')})" + (f": {step.text}" if step.text else "")
            console.print_labelled(f"{step.status:{WIDTH}}", text, _style(step.status), sys.stderr)

    def note(self, text: str) -> None:
        """A line for people only."""
        if not self._as_json:
            print(text, flush=True)

    def show_checks(self, checks: Sequence[Check]) -> None:
        """The checks of a preflight, for people only."""
        if not self._as_json:
            print_checks(checks)

    def end(self, outcome: Outcome, details: Mapping[str, Any]) -> int:
        """The last words and the exit code; `details` is what --json has besides."""
        if self._as_json:
            fields = {
                "name": self.name,
                "status": outcome.status.name.lower(),
                **details,
                "cause": outcome.cause or None,
                "container_error": outcome.container_error or None,
                "next": outcome.next or None,
            }
            print(json.dumps(fields))
        elif outcome.status in HEADLINES:
            console.print_error(f"{self._command} {self.name}".rstrip(), HEADLINES[outcome.status])
            for label, text in (
                ("cause", outcome.cause),
                ("container", outcome.container_error),
                ("next", outcome.next),
            ):
                if text:
                    console.print_labelled(f"  {label + ':':10}", text, "bold", sys.stderr)
        return int(outcome.status)


def print_checks(checks: Sequence[Check]) -> None:
    """A line for each: the verdict, what was looked at, what was found, how to mend it."""
    width = max(len(check.what) for check in checks)
    for check in checks:
        fix = f" {check.fix}" if check.fix else ""
        console.print_labelled(
            f"{check.verdict:7}", f"{check.what:{width}}  {check.found}.{fix}", STYLES[check.verdict], sys.stdout
        )


def attempt(work: Callable[[], Outcome]) -> Outcome:
    """The outcome of `work`; whatever it raises was raised before anything was changed."""
    try:
        return work()
    except Stopped:
        raise
    except PixelserveError as error:
        return Outcome(Status.REFUSED, error.message, next=getattr(error, "fix", ""))


def _style(status: str) -> str:
    if "FAILED" in status or "ROLLBACK" in status:
        return "red"
    return "green" if status.endswith("_COMPLETE") else "dim"
