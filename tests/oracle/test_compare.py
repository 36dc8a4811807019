"""What counts as the same answer, and that every kind of difference is meant, used and documented."""

from __future__ import annotations

import json
import re

import pytest
from oracle.case import JSON, Answer, Failure, send
from oracle.compare import DIFFERENT, KINDS, SAME, compare
from servers import ROOT

REQUEST = send("[1]", JSON, "text/csv, application/json")
FAILED = Answer(500, "", b"", failure=Failure("ValueError", by_handler=True))


def of(body: str, status: int = 200, content_type: str = JSON, **headers: str) -> Answer:
    return Answer(status, content_type, body.encode(), {f"x-{name}": value for name, value in headers.items()})


def refused(status: int, code: str = "handler_error", message: str = "No.") -> Answer:
    return of(json.dumps({"error": {"code": code, "message": message, "retryable": False}}), status)


@pytest.mark.parametrize(
    ("stack", "ours", "verdict"),
    [
        (of('{\n "a": 1\n}'), of('{"a": 1}'), SAME),
        (of("1"), of("1.0"), DIFFERENT),
        (of("1"), of("1", 201), DIFFERENT),
        (of("1\n", content_type="text/csv"), of("1", content_type="text/csv"), DIFFERENT),
        (of("1"), of("1", content_type="text/csv"), DIFFERENT),
        (of("1", version="7"), of("1", version="8"), DIFFERENT),
        (of("1", version="7"), of("1", version="7", more="x"), SAME),
        (of("1"), refused(500), DIFFERENT),
        (FAILED, refused(500), "error"),
        (FAILED, refused(400), DIFFERENT),
        (FAILED, of("1"), DIFFERENT),
        (FAILED, of("ValueError", 500, "text/plain"), DIFFERENT),
        (of("[NaN]"), of("[null]"), "not_a_number"),
        (of("[NaN]"), of("[0]"), DIFFERENT),
        (of("1", content_type="text/csv, application/json"), of("1", content_type="text/csv"), "one_type"),
    ],
)
def test_verdicts(stack: Answer, ours: Answer, verdict: str) -> None:
    assert compare(REQUEST, stack, ours) == verdict


def test_the_page_has_a_line_for_each_kind() -> None:
    page = (ROOT / "docs" / "own-model.md").read_text()
    section = page.partition("## Beside SageMaker's own containers\n")[2].partition("\n## ")[0]
    assert len(re.findall(r"^\* \*\*", section, re.MULTILINE)) == len(KINDS) <= 6
