"""What a deployment would change, and what the endpoint costs before and after: one object for people and scripts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from pixelserve_deploy.cost import format_money, format_plain
from pixelserve_deploy.deployment.facts import Facts
from pixelserve_deploy.deployment.notes import list_notes
from pixelserve_deploy.deployment.pricing import Cost, price_endpoint
from pixelserve_deploy.deployment.resolver import Action, Change, resolve
from pixelserve_deploy.deployment.spec import EndpointSpec, Mode
from pixelserve_deploy.deployment.steps import split_update
from pixelserve_deploy.deployment.templates import CONFIG, TARGET, Template, find_instances

ACTIONS = {"Add": Action.ADD, "Import": Action.ADD, "Modify": Action.MODIFY, "Remove": Action.REMOVE}
MARKS = {Action.ADD: "+", Action.MODIFY: "~", Action.REPLACE: "+/-", Action.REMOVE: "-"}
TWO_STEPS = (
    "In two change sets: SageMaker does not change the instance type of an endpoint that scales, so the scaling goes "
    "first and comes back with the second."
)


@dataclass(frozen=True)
class Plan:
    """The changes of one deployment, and the costs; `before` is None where nothing runs."""

    changes: tuple[Change, ...]
    before: Cost | None
    after: Cost
    notes: tuple[str, ...] = ()

    def list_lines(self) -> list[str]:
        """What people read."""
        return [*self._list_changes(), *self._list_costs(), *self.notes]

    def _list_changes(self) -> list[str]:
        if not self.changes:
            return ["Nothing changes."]
        width = max(len(change.resource) for change in self.changes)
        lines = []
        for change in self.changes:
            because = f": {', '.join(change.because)}" if change.because else ""
            kind = change.kind.removeprefix("AWS::")
            lines.append(f"  {MARKS[change.action]:3} {change.resource:{width}}  {kind}{because}")
        counts = [(sum(change.action == action for change in self.changes), action) for action in MARKS]
        return [*lines, ", ".join(f"{count} to {action}" for count, action in counts if count) + "."]

    def _list_costs(self) -> list[str]:
        if not self.changes:
            known = self.after.hour_at_rest is not None
            return [f"Cost: {describe_cost(self.after)}", *([] if known else self.after.notes)]
        lines = [] if self.before is None else [f"Cost now:  {describe_cost(self.before)}"]
        lines.append(f"Cost then: {describe_cost(self.after)}")
        return [*lines, *(f"  {note}" for note in self.after.notes)]

    def to_json(self) -> dict[str, Any]:
        return {
            "changes": [
                {"name": change.resource, "type": change.kind, "action": change.action, "because": change.because}
                for change in self.changes
            ],
            "cost_before": None if self.before is None else _cost_to_json(self.before),
            "cost_after": _cost_to_json(self.after),
            "notes": [*self.after.notes, *self.notes],
        }


def make_plan(
    spec: EndpointSpec,
    facts: Facts,
    old: Template | None,
    changes: Iterable[Change],
    *,
    steps: int = 1,
    end: datetime | None = None,
) -> Plan:
    """The plan of a spec; `old` is the template that stands, `end` when the hours to live are over."""
    before = price_endpoint(read_back(old, spec.name), facts.region) if old else None
    notes = [*([TWO_STEPS] if steps > 1 else []), *list_notes(spec, facts)]
    notes += [] if end is None else [f"AWS deletes the endpoint at {end:%H:%M} UTC on {end:%Y-%m-%d}."]
    return Plan(tuple(changes), before, price_endpoint(spec, facts.region), tuple(notes))


def make_offline_plan(spec: EndpointSpec, facts: Facts, old: Template | None, new: Template) -> Plan:
    """The same without AWS: changes by our own resolver."""
    steps = len(split_update(old, new)) if old else 1
    return make_plan(spec, facts, old, resolve(old or {}, new), steps=steps)


def read_changes(changes: Iterable[Mapping[str, Any]]) -> tuple[Change, ...]:
    """The changes of a change set (DescribeChangeSet's ResourceChange)."""
    return tuple(_read_change(change) for change in changes)


def _read_change(change: Mapping[str, Any]) -> Change:
    replaces = change.get("Replacement", "False")
    action = Action.REPLACE if replaces == "True" else ACTIONS.get(change["Action"], Action.MODIFY)
    targets = [detail["Target"] for detail in change.get("Details", []) if "Target" in detail]
    because = [str(target.get("Name") or target["Attribute"]) for target in targets]
    if replaces == "Conditional":
        because.append("may be replaced")
    return Change(change["LogicalResourceId"], change["ResourceType"], action, tuple(dict.fromkeys(because)))


def read_back(template: Template, name: str) -> EndpointSpec:
    """What the costs of an endpoint depend on, read back from its template."""
    resources = template["Resources"]
    mode = Mode(template.get("Metadata", {}).get("pixelserve", {}).get("mode", Mode.REALTIME))
    fields: dict[str, Any] = {"name": name, "image": "deployed", "mode": mode}
    if mode is Mode.LAMBDA:
        function = next(one for one in resources.values() if one["Type"] == "AWS::Lambda::Function")["Properties"]
        fields |= {"memory_mb": function["MemorySize"], "concurrency": function.get("ReservedConcurrentExecutions")}
        return EndpointSpec(**fields)
    variant = resources[CONFIG]["Properties"]["ProductionVariants"][0]
    if mode is Mode.SERVERLESS:
        sizes = variant["ServerlessConfig"]
        return EndpointSpec(**fields, memory_mb=sizes["MemorySizeInMB"], concurrency=sizes["MaxConcurrency"])
    count = variant["InitialInstanceCount"]
    target = resources.get(TARGET, {}).get("Properties", {"MinCapacity": count, "MaxCapacity": count})
    fields |= {"instances": find_instances(template), "count": target["MinCapacity"], "most": target["MaxCapacity"]}
    return EndpointSpec(**fields)


def describe_cost(cost: Cost) -> str:
    """$0.736 an hour, $537.28 a month; up to so much."""
    if cost.hour_at_rest is None or cost.month_at_rest is None:
        return "unknown"
    rest = _describe_amounts(cost.hour_at_rest, cost.month_at_rest, cost.currency)
    if cost.hour_at_most == cost.hour_at_rest:
        return rest
    if cost.hour_at_most is None or cost.month_at_most is None:
        return f"{rest} at rest"
    return f"{rest} at rest; at most {_describe_amounts(cost.hour_at_most, cost.month_at_most, cost.currency)}"


def _describe_amounts(hour: Decimal, month: Decimal, currency: str) -> str:
    if not hour:
        return "nothing"
    return f"{format_money(hour, currency, 3)} an hour, {format_money(month, currency)} a month"


def _cost_to_json(cost: Cost) -> dict[str, Any]:
    amounts = {
        "hour_at_rest": cost.hour_at_rest,
        "month_at_rest": cost.month_at_rest,
        "hour_at_most": cost.hour_at_most,
        "month_at_most": cost.month_at_most,
    }
    texts = {name: None if amount is None else format_plain(amount) for name, amount in amounts.items()}
    return {"currency": cost.currency, **texts, "book": cost.book}
