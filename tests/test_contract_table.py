"""The table of docs/contract.md is that of the outcomes that were noted, and those are of the cases there are."""

from __future__ import annotations

import json

import test_lifecycle
import test_requests
from documents import load_tool
from servers import ROOT


def test_the_page_shows_the_outcomes() -> None:
    written = load_tool("contract-table")
    shown = written.PAGE.read_text().partition(written.BEGIN)[2].partition(written.END)[0]
    assert shown.strip() == written.table()


def test_the_outcomes_are_of_every_case_and_none_failed() -> None:
    declared = [
        mark.args
        for module in (test_lifecycle, test_requests)
        for function in vars(module).values()
        for mark in getattr(function, "pytestmark", ())
        if mark.name == "contract"
    ]
    rows = json.loads((ROOT / "docs" / "contract.json").read_text())
    assert {(row["line"], row["reason"]) for row in rows} == set(declared)
    outcomes = {row[target] for row in rows for target in ("native", "image", "mms") if target in row}
    assert outcomes == {"passed", "xfailed"}
