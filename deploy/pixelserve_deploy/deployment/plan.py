"""What a deployment would change, and what the endpoint costs before and after: one object for people and scripts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pixelserve_deploy.deployment.resolver import Change
from pixelserve_deploy.deployment.spec import EndpointSpec
from pixelserve_deploy.deployment.templates import Template

ACTIONS = {"Add": "add", "Modify": "modify", "Remove": "remove", "Dynamic": "modify", "Import": "add"}
MARKS = {"add": "+", "modify": "~", "replace": "+/-", "remove": "-"}


@dataclass(frozen=True)
class Plan:
    """The changes of one deployment; costs are texts, empty where nothing runs or no price is known."""

    changes: tuple[Change, ...]
    cost_before: str = ""
    cost_after: str = ""
    notes: tuple[str, ...] = ()

    def list_lines(self) -> list[str]:
        """What people read."""
        if not self.changes:
            return [*self.notes, "Nothing changes."]
        width = max(len(change.name) for change in self.changes)
        lines = [
            f"  {MARKS[change.action]:3} {change.name:{width}}  {change.kind.removeprefix('AWS::')}"
            + (f": {change.why}" if change.why else "")
            for change in self.changes
        ]
        counts = {action: sum(change.action == action for change in self.changes) for action in MARKS}
        told = ", ".join(f"{count} to {action}" for action, count in counts.items() if count)
        return [*lines, f"{told}.", *self.notes]

    def to_json(self) -> dict[str, Any]:
        return {
            "changes": [
                {"name": change.name, "type": change.kind, "action": change.action, "why": change.why}
                for change in self.changes
            ],
            "cost_before": self.cost_before or None,
            "cost_after": self.cost_after or None,
        }


def read_changes(changes: Iterable[Mapping[str, Any]]) -> tuple[Change, ...]:
    """The changes of a change set (DescribeChangeSet's ResourceChange)."""
    return tuple(_read_change(change) for change in changes)


def _read_change(change: Mapping[str, Any]) -> Change:
    replaces = change.get("Replacement", "False")
    action = "replace" if replaces == "True" else ACTIONS[change["Action"]]
    reasons = [
        detail["Target"].get("Name") or detail["Target"]["Attribute"]
        for detail in change.get("Details", [])
        if "Target" in detail
    ]
    why = ", ".join(dict.fromkeys(reasons))
    if replaces == "Conditional":
        why = f"{why} (may be replaced)".strip()
    return Change(change["LogicalResourceId"], change["ResourceType"], action, why)
