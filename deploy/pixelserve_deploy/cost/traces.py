"""Traffic by the minute: read from a CSV file, or generated."""

from __future__ import annotations

import csv
import math
import random
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from pixelserve_deploy.cost.errors import CostError

DAY = 24 * 60
PEAK_HOUR = 20
MOST_DAYS = 366
"""A year: what is longer is most likely a wrong date."""
MOST_REQUESTS = 10**9
"""Of a row: more in one minute is most likely a wrong column."""

Trace = list[int]
"""Requests of each minute."""


def read_trace(path: Path) -> Trace:
    """The trace of a CSV file with a header: `minute` (a whole number) or `timestamp` (ISO 8601), and `requests`.

    Without the column `requests` each row is one request. Minutes without rows are empty, and rows may come in any
    order. Raises CostError naming the line that is wrong.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _count_by_minute(csv.DictReader(file), path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CostError(f"Cannot read {path}: {error}.") from None


def _count_by_minute(rows: csv.DictReader[str], path: Path) -> Trace:
    columns = rows.fieldnames or []
    time = next((name for name in ("minute", "timestamp") if name in columns), None)
    if time is None:
        raise CostError(
            f"{path} has the columns {', '.join(columns) or '(none)'}. Name them minute or timestamp, and requests."
        )
    counts: dict[int, int] = {}
    for row in rows:
        try:
            if None in row.values():
                raise ValueError("it has fewer values than the header")
            minute = int(row["minute"]) if time == "minute" else _minute_of(row["timestamp"])
            requests = int(row["requests"]) if "requests" in columns else 1
            if not 0 <= requests <= MOST_REQUESTS:
                raise ValueError(f"requests below 0 or above {MOST_REQUESTS:,}")
        except (ValueError, OverflowError) as error:
            raise CostError(
                f"{path}, line {rows.line_num}: {error}. Write a time and a whole number of requests."
            ) from None
        counts[minute] = counts.get(minute, 0) + requests
    if not counts:
        raise CostError(f"{path} has no requests.")
    first, last = min(counts), max(counts)
    if last - first >= MOST_DAYS * DAY:
        raise CostError(f"{path} covers {(last - first) // DAY} days; a year is the most. Are its times right?")
    return [counts.get(minute, 0) for minute in range(first, last + 1)]


def _minute_of(text: str) -> int:
    return math.floor(datetime.fromisoformat(text).timestamp() / 60)


def make_diurnal(requests: int, days: int, peak: float = 4.0) -> Trace:
    """Day and night, the busiest minute `peak` times the quietest; the sum is exactly `requests`."""
    middle, swing = (peak + 1) / 2, (peak - 1) / 2
    weights = [middle + swing * math.cos(2 * math.pi * (minute - PEAK_HOUR * 60) / DAY) for minute in range(DAY)] * days
    return spread(requests, weights)


def make_bursty(
    requests: int, days: int, bursts_a_day: float = 4, minutes: int = 10, share: float = 0.8, seed: int = 0
) -> Trace:
    """Quiet, but for bursts at random times that have `share` of all requests; the sum is exactly `requests`."""
    chance = random.Random(seed)
    length = days * DAY
    starts = [chance.randrange(length) for _ in range(max(1, round(bursts_a_day * days)))]
    burst = share * length / (len(starts) * minutes)
    weights = [1 - share] * length
    for start in starts:
        for minute in range(start, min(start + minutes, length)):
            weights[minute] += burst
    return spread(requests, weights)


def spread(requests: int, weights: Sequence[float]) -> Trace:
    """Whole requests in proportion to the weights, none lost to rounding."""
    whole, passed, given, found = sum(weights), 0.0, 0, []
    for weight in weights:
        passed += weight
        upto = round(requests * min(passed / whole, 1.0))
        found.append(upto - given)
        given = upto
    found[-1] += requests - given
    return found
