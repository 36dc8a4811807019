"""Holds answers of our hosts to the stored ones of SageMaker's stack, and sums up at the end."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from oracle.case import Answer
from oracle.compare import DIFFERENT, SAME, compare
from oracle.idioms import CASES
from oracle.record import read_stored

PROPERTY = "oracle"


@pytest.fixture(scope="session")
def stored() -> dict[str, list[Answer]]:
    return read_stored()


@pytest.fixture
def judge(
    stored: dict[str, list[Answer]], record_property: Callable[[str, Any], None]
) -> Callable[[str, str, list[Answer]], None]:
    """`judge(host, handler, answers)` fails for each answer that is neither the stack's nor listed."""

    def judge(host: str, name: str, answers: list[Answer]) -> None:
        requests = CASES[name].requests
        found = [compare(*of_one) for of_one in zip(requests, stored[name], answers, strict=True)]
        record_property(PROPERTY, [host, found])
        wrong = [index for index, verdict in enumerate(found) if verdict == DIFFERENT]
        assert not wrong, "\n".join(
            f"{requests[index]}\n  stack {stored[name][index]}\n  ours  {answers[index]}" for index in wrong
        )

    return judge


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The oracle's table: a line for each host."""
    verdicts: dict[str, list[list[str]]] = defaultdict(list)
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        for name, value in getattr(report, "user_properties", ()):
            if name == PROPERTY and report.when == "call":
                verdicts[value[0]].append(value[1])
    if not verdicts:
        return
    terminalreporter.section("beside SageMaker's own stack")
    terminalreporter.write_line(
        f"{'host':<12}{'handlers':>10}{'requests':>10}{'same':>8}{'listed':>8}{'different':>11}"
    )
    for host, of_host in sorted(verdicts.items()):
        count = Counter(verdict for found in of_host for verdict in found)
        listed = count.total() - count[SAME] - count[DIFFERENT]
        terminalreporter.write_line(
            f"{host:<12}{len(of_host):>10}{count.total():>10}{count[SAME]:>8}{listed:>8}{count[DIFFERENT]:>11}"
        )
