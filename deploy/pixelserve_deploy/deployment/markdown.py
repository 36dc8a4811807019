"""The end of `pixelserve deploy --json` as Markdown, for comments on pull requests and summaries of CI."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from pixelserve_deploy.cost import format_money

COSTS = {
    "an hour at rest": ("hour_at_rest", 3),
    "a month at rest": ("month_at_rest", 2),
    "an hour at most": ("hour_at_most", 3),
    "a month at most": ("month_at_most", 2),
}
TEXTS = {"cause": "Cause:", "container_error": "The container said:", "next": "Next:", "smoke": "Smoke test:"}

End = dict[str, Any]


def write_markdown(end: End) -> str:
    """A section about one endpoint: what happened or would happen, and the costs before and after."""
    lines = [f"### {end['name']}: {end['status'].replace('_', ' ')}", ""]
    if end.get("without_aws"):
        lines += [f"Planned without AWS, {end['without_aws']}.", ""]
    lines += [f"**{title}** {end[key]}\n" for key, title in TEXTS.items() if end.get(key)]
    if "cost_after" in end:
        lines += [*_list_changes(end["changes"]), "", *_list_costs(end["cost_before"], end["cost_after"]), ""]
        lines += [f"* {note}" for note in end["notes"]]
        lines += [f"* Image: `{end['image']}`"]
    return "\n".join(lines)


def _list_changes(changes: Sequence[dict[str, Any]]) -> list[str]:
    if not changes:
        return ["Nothing changes."]
    rows = [
        f"| {change['action']} | {change['name']} | {change['type']} | {_cell(', '.join(change['because']))} |"
        for change in changes
    ]
    return ["| change | resource | type | because of |", "|---|---|---|---|", *rows]


def _list_costs(before: End | None, after: End) -> list[str]:
    rows = ["| cost | now | then | change |", "|---|--:|--:|--:|"]
    for label, (key, places) in COSTS.items():
        now = Decimal(0) if before is None else _amount(before[key])
        then = _amount(after[key])
        change = "unknown" if now is None or then is None else f"{_money(then - now, after, places, sign='+')}"
        rows.append(f"| {label} | {_money(now, after, places)} | {_money(then, after, places)} | {change} |")
    return rows


def _amount(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _money(amount: Decimal | None, cost: End, places: int, sign: str = "") -> str:
    if amount is None:
        return "unknown"
    text = format_money(amount, cost["currency"], places)
    return f"{sign}{text}" if amount > 0 else text


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
