"""How a case of the suite is declared, and what counts as an expected failure."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
import pytest
from containers import TIME_TO_BUILD, Container
from servers import Server

Target = Server | Container
TARGETS = ("native", "image", "mms")
Test = TypeVar("Test", bound=Callable[..., None])

BREAKS = (AssertionError, httpx.TransportError, json.JSONDecodeError, KeyError)
"""How a server that breaks a line fails its checks: the last two when its errors are no JSON, or lack a header."""


class LineBroken(Exception):
    """A server does not keep a line of the contract. `seen` is what it did instead."""

    def __init__(self, seen: Any) -> None:
        super().__init__(f"The line is broken: {seen}")
        self.seen = seen


@contextlib.contextmanager
def line(seen: Any) -> Iterator[None]:
    """Around the checks of `seen` that decide whether a line is kept. Raises LineBroken when one of them fails.

    Whatever fails outside of it is no broken line: a server that does not start, a fixture, a condition of the case.
    """
    try:
        yield
    except BREAKS as error:
        raise LineBroken(seen) from error


@dataclass(frozen=True)
class Deviation:
    """Why multi-model-server cannot keep a line. `shows` says whether that is what the case has seen of it."""

    reason: str
    shows: Callable[[Any], bool]


def contract(text: str, mms: Deviation | None = None, targets: tuple[str, ...] = TARGETS) -> Callable[[Test], Test]:
    """Declares a test as the case of one line of the contract, run against each target.

    A case with a deviation must break its line on multi-model-server, and in that way; see `line`.
    """
    reason = ""
    marks = {name: [] if name == "native" else [TIME_TO_BUILD] for name in targets}
    if mms is not None:
        reason, shows = mms.reason, mms.shows
        broken = pytest.RaisesExc(LineBroken, check=lambda error: shows(error.seen))
        marks["mms"].append(pytest.mark.xfail(reason=reason, strict=True, raises=broken))
    parameters = [pytest.param(name, marks=marks[name]) for name in targets]

    def declare(test: Test) -> Test:
        marked = pytest.mark.parametrize("target", parameters, indirect=True)(test)
        declared: Test = pytest.mark.contract(text, reason)(marked)
        return declared

    return declare
