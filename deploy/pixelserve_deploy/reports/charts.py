"""Charts as inline SVG. Colours are the page's classes s0 … s5, so that they follow light, dark and print."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 880
SERIES = 6
"""How many colours the page has."""


@dataclass(frozen=True)
class Bar:
    """A labelled value; `text` is what stands behind the bar."""

    label: str
    value: float
    text: str


@dataclass(frozen=True)
class Swing:
    """What a total becomes when one thing is lower or higher."""

    label: str
    low: float
    high: float
    low_text: str
    high_text: str


@dataclass(frozen=True)
class Curve:
    """A curve."""

    label: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


@dataclass(frozen=True)
class Panel:
    """One strip of a timeline: values at even times."""

    label: str
    values: Sequence[float]
    series: int


def draw_bars(items: Sequence[Bar]) -> str:
    """Horizontal bars from a common zero, in the order given."""
    left, right, step = 165, 150, 30
    scale = (WIDTH - left - right) / (max((item.value for item in items), default=0) or 1)
    parts = []
    for number, item in enumerate(items):
        y, length = number * step, max(item.value * scale, 1)
        parts += [
            draw_text(left - 10, y + 20, item.label, anchor="end"),
            f'<rect class="s0" x="{left}" y="{y + 6}" width="{length:.1f}" height="{step - 12}" rx="2"/>',
            draw_text(left + length + 8, y + 20, item.text),
        ]
    return wrap_svg(len(items) * step + 6, parts)


def draw_tornado(items: Sequence[Swing], base: float, base_text: str) -> str:
    """Bars to both sides of the total as it is; the widest first."""
    left, step, top = 210, 34, 26
    ends = [end for item in items for end in (item.low, item.high)] + [base]
    low, high = min(ends), max(ends)
    span = (high - low) or 1
    pad = 105

    def x(value: float) -> float:
        return left + pad + (value - low) / span * (WIDTH - left - 2 * pad)

    parts = [draw_text(x(base), 16, base_text, anchor="middle")]
    for number, item in enumerate(sorted(items, key=lambda swing: -abs(swing.high - swing.low))):
        y = top + number * step
        parts.append(draw_text(left - 10, y + 20, item.label, anchor="end"))
        for name, end, label in (("s2", item.low, item.low_text), ("s1", item.high, item.high_text)):
            start, width = min(x(base), x(end)), abs(x(end) - x(base))
            parts.append(f'<rect class="{name}" x="{start:.1f}" y="{y + 5}" width="{width:.1f}" height="{step - 12}"/>')
            outside, anchor = (x(end) - 6, "end") if end < base else (x(end) + 6, "start")
            if width > 1:
                parts.append(draw_text(outside, y + 20, label, anchor=anchor))
    bottom = top + len(items) * step
    parts.append(f'<line class="axis" x1="{x(base):.1f}" y1="22" x2="{x(base):.1f}" y2="{bottom}"/>')
    return wrap_svg(bottom + 6, parts)


def draw_curves(items: Sequence[Curve], x_title: str, y_title: str, show: Callable[[float], str],
           marks: Sequence[tuple[float, float, str]] = ()) -> str:  # fmt: skip
    """Lines over one pair of axes from zero; `show` writes a tick, `marks` are points with a word."""
    left, right, top, bottom = 90, 215, 34, 330
    largest_x = max((point[0] for item in items for point in item.points), default=1) or 1
    largest_y = max((point[1] for item in items for point in item.points), default=1) or 1
    x_ticks, y_ticks = choose_ticks(largest_x), choose_ticks(largest_y)
    height = y_ticks[-1]

    def place(point: tuple[float, float]) -> tuple[float, float]:
        return (left + point[0] / largest_x * (WIDTH - left - right), bottom - point[1] / height * (bottom - top))

    parts = [draw_text(left, 18, y_title), draw_text((left + WIDTH - right) / 2, bottom + 46, x_title, anchor="middle")]
    for value in y_ticks:
        y = place((0, value))[1]
        parts.append(f'<line class="grid" x1="{left}" y1="{y:.1f}" x2="{WIDTH - right}" y2="{y:.1f}"/>')
        parts.append(draw_text(left - 8, y + 4, show(value), anchor="end"))
    for value in x_ticks:
        if value <= largest_x:
            parts.append(draw_text(place((value, 0))[0], bottom + 20, format_count(value), anchor="middle"))
    labels = _spread_labels([(place(item.points[-1])[1], number) for number, item in enumerate(items)], 17)
    for number, item in enumerate(items):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(place, item.points))
        dashes = ' stroke-dasharray="6 5"' if item.dashed else ""
        parts.append(f'<polyline class="line t{number % SERIES}" points="{path}"{dashes}/>')
        x, y = place(item.points[-1])[0] + 8, labels[number] + 4
        parts.append(f'<text class="u{number % SERIES}" x="{x:.1f}" y="{y:.1f}">{escape(item.label)}</text>')
    for x_value, y_value, word in marks:
        x, y = place((x_value, y_value))
        parts.append(f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="5"/>')
        parts.append(f'<text class="mark-text" x="{x + 4:.1f}" y="{y + 20:.1f}">{escape(word)}</text>')
    return wrap_svg(bottom + 58, parts)


def draw_timeline(panels: Sequence[Panel], x_title: str, end: float) -> str:
    """Strips above each other over one time axis from 0 to `end`; long series are thinned to their maxima."""
    left, right, each = 90, 20, 110
    parts = []
    for number, panel in enumerate(panels):
        top, bottom = number * each + 26, (number + 1) * each - 6
        values = thin(panel.values, WIDTH - left - right)
        largest = max(values, default=0)
        step = (WIDTH - left - right) / max(len(values), 1)
        points = [f"{left},{bottom}"]
        for place, value in enumerate(values):
            y = bottom - value / (largest or 1) * (bottom - top)
            points += [f"{left + place * step:.1f},{y:.1f}", f"{left + (place + 1) * step:.1f},{y:.1f}"]
        points.append(f"{WIDTH - right},{bottom}")
        parts += [
            draw_text(left, top - 8, panel.label),
            draw_text(left - 8, top + 6, format_count(largest) if largest else "", anchor="end"),
            draw_text(left + 8, bottom - 8, "" if largest else "none at any time"),
            draw_text(left - 8, bottom, "0", anchor="end"),
            f'<polygon class="s{panel.series}" points="{" ".join(points)}"/>',
            f'<line class="grid" x1="{left}" y1="{bottom}" x2="{WIDTH - right}" y2="{bottom}"/>',
        ]
    bottom = len(panels) * each
    for value in choose_ticks(end):
        if value <= end:
            parts.append(
                draw_text(
                    left + value / end * (WIDTH - left - right), bottom + 14, format_count(value), anchor="middle"
                )
            )
    parts.append(draw_text((left + WIDTH - right) / 2, bottom + 34, x_title, anchor="middle"))
    return wrap_svg(bottom + 44, parts)


def thin(values: Sequence[float], most: int) -> list[float]:
    """At most this many values: the largest of each stretch."""
    stretch = math.ceil(len(values) / most) if values else 1
    return [max(values[start : start + stretch]) for start in range(0, len(values), stretch)]


def choose_ticks(largest: float) -> list[float]:
    """Four to eight round numbers from 0 to at least `largest`."""
    if largest <= 0:
        return [0.0, 1.0]
    power: float = 10 ** math.floor(math.log10(largest / 4))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if largest / (factor * power) <= 7)
    return [step * number for number in range(math.ceil(largest / step - 1e-9) + 1)]


def format_count(value: float) -> str:
    """A number with k or M: 1.5 M."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def draw_text(x: float, y: float, words: str, anchor: str = "start") -> str:
    """Words at a place; `anchor` as in SVG."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def wrap_svg(height: float, parts: Sequence[str]) -> str:
    """The picture around its parts, as wide as the page."""
    head = f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" xmlns="http://www.w3.org/2000/svg">'
    return head + "".join(parts) + "</svg>"


def _spread_labels(places: Sequence[tuple[float, int]], gap: float) -> dict[int, float]:
    """Heights of labels so that none covers another, from the lowest upwards."""
    found: dict[int, float] = {}
    limit = math.inf
    for y, number in sorted(places, reverse=True):
        limit = min(y, limit - gap)
        found[number] = limit
    return found
