"""SageMaker's own stack still answers as stored, and our back end `mms` as that, each as a container starts it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from oracle import hosts
from oracle.case import Answer
from oracle.idioms import CASES
from oracle.record import ask_stack

IN_EVERY_RUN = {
    "accept_lists",
    "csv_rows",
    "errors_with_status",
    "four_functions",
    "pickled_class",
    "plain_values",
    "predict_alone",
    "response_headers",
    "signals",
    "transform_fn_with_context",
}
ALONE_IN_EVERY_RUN = {"errors_with_status", "response_headers", "transform_fn_with_context"}
"""test_hosts.py has all handlers under one Java server."""


def chosen(in_every_run: set[str]) -> list[Any]:
    """All handlers; the others are for `make soak`."""
    return [pytest.param(name, marks=() if name in in_every_run else pytest.mark.soak) for name in CASES]


@pytest.mark.parametrize("name", chosen(IN_EVERY_RUN))
def test_stored_answers(name: str, stored: dict[str, list[Answer]]) -> None:
    assert ask_stack(CASES[name]) == stored[name]


@pytest.mark.parametrize("name", chosen(ALONE_IN_EVERY_RUN))
def test_mms_alone(name: str, tmp_path: Path, judge: Any) -> None:
    judge("mms alone", name, hosts.mms(CASES[name], tmp_path))
