"""Endpoints as tables and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from pixelserve_deploy.cost import format_money, format_plain
from pixelserve_deploy.deployment.inventory import Entry
from pixelserve_deploy.deployment.spec import Mode

NAMES = ("NAME", "MADE BY", "MODE", "STATUS")
COSTS = ("MACHINES", "AN HOUR", "A MONTH", "LAST CALL")
MONEY = frozenset({"AN HOUR", "A MONTH"})
BY_USE = frozenset({Mode.SERVERLESS, Mode.LAMBDA})


def list_columns(
    entries: Sequence[Entry], now: datetime, *, cost: bool
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headers, and a row for each endpoint."""
    rows = []
    for entry in entries:
        row = (entry.name, "pixelserve" if entry.is_ours else "others", entry.mode, entry.status)
        rows.append((*row, *_describe_cost(entry, now)) if cost else row)
    return (*NAMES, *COSTS) if cost else NAMES, rows


def _describe_cost(entry: Entry, now: datetime) -> tuple[str, ...]:
    machines = ", ".join(f"{count} x {kind}" for kind, count in entry.machines) or "-"
    if entry.mode in BY_USE:
        amounts = ("by use", "by use")
    elif entry.hourly is None or entry.monthly is None:
        amounts = ("unknown", "unknown")
    else:
        amounts = (format_money(entry.hourly, entry.currency, 3), format_money(entry.monthly, entry.currency))
    return (machines, *amounts, _describe_call(entry, now))


def _describe_call(entry: Entry, now: datetime) -> str:
    if entry.last_call is None:
        return f"none in {entry.window.days} days" if now - entry.created > entry.window else "none yet"
    return f"{describe_span(now - entry.last_call)} ago"


def describe_span(span: timedelta) -> str:
    """3 min, 5 h or 2 days."""
    seconds = max(0, int(span.total_seconds()))
    if seconds < 2 * 3600:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h" if seconds < 2 * 86400 else f"{seconds // 86400} days"


def sum_up(entries: Sequence[Entry]) -> str:
    """What all of them cost, in a sentence."""
    known = [entry for entry in entries if entry.hourly is not None]
    if not known:
        return "No price is known of any of them."
    currency = known[0].currency
    total = sum((entry.hourly for entry in known if entry.hourly is not None), Decimal(0))
    monthly = sum((entry.monthly for entry in known if entry.monthly is not None), Decimal(0))
    unknown = len(entries) - len(known)
    left = f" Without {unknown} of unknown price." if unknown else ""
    return f"In all {format_money(total, currency, 3)} an hour, {format_money(monthly, currency)} a month.{left}"


def entry_to_json(entry: Entry, now: datetime) -> dict[str, Any]:
    """One endpoint as an object; amounts are texts."""
    return {
        "name": entry.name,
        "ours": entry.is_ours,
        "mode": entry.mode,
        "status": entry.status,
        "created": entry.created.isoformat(),
        "machines": [{"type": kind, "count": count} for kind, count in entry.machines],
        "hourly": None if entry.hourly is None else format_plain(entry.hourly),
        "monthly": None if entry.monthly is None else format_plain(entry.monthly),
        "currency": entry.currency,
        "last_call": None if entry.last_call is None else entry.last_call.isoformat(),
        "idle_hours": int(entry.measure_idle(now).total_seconds() // 3600),
    }
