"""The record of a run over many images, beside their answers: a line for each that failed, and a summary."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from typing import Any

from pixelserve.local import JobReport
from pixelserve.media_types import JSON
from pixelserve.storage import Place

RECORD = "_pixelserve/"
"""Below the place of the answers."""
FAILURES, SUMMARY = f"{RECORD}failures.jsonl", f"{RECORD}summary.json"


def writer_of(target: Place) -> Callable[[str, bytes, str], None]:
    """How a record is written to a place."""
    return lambda name, content, content_type: target.write(name, io.BytesIO(content), content_type)


def write_record(
    write: Callable[[str, bytes, str], None], report: JobReport, details: Mapping[str, Any]
) -> dict[str, Any]:
    """Writes both in the place of an earlier run's; the summary, which has `details` too.

    `write` takes name, content and media type of an object beside the answers.
    """
    lines = (json.dumps({"name": name, "error": error}) for name, error in report.failures.items())
    text = "".join(f"{line}\n" for line in lines)
    summary = {
        "done": report.done,
        "skipped": report.skipped,
        "failed": len(report.failures),
        **details,
    }
    write(FAILURES, text.encode(), "application/jsonlines")
    write(SUMMARY, json.dumps(summary, indent=2).encode(), JSON)
    return summary
