"""Decimals: how amounts are rounded and written."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal

CENT = Decimal("0.01")
SYMBOLS = {"USD": "$", "CNY": "¥"}


def round_half_up(value: Decimal, places: int) -> Decimal:
    """Rounded as bills are: a half goes up. Half-even and floats make 0.34 of 0.5 x 0.69."""
    return value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def round_up(value: Decimal) -> Decimal:
    """The next whole number."""
    return value.to_integral_value(ROUND_CEILING)


def format_plain(value: Decimal) -> str:
    """Without exponent and trailing zeros: 360, 0.0000166667."""
    return f"{value.normalize():f}" if value else "0"


def format_grouped(value: Decimal) -> str:
    """The same with commas, and at most ten decimals."""
    return f"{round_half_up(value, 10).normalize():,f}" if value else "0"


def format_short(value: Decimal) -> str:
    """For reading: commas, and two decimals, or four below 1."""
    return format_grouped(round_half_up(value, 2 if value >= 1 else 4))


def format_measure(value: Decimal) -> str:
    """A size or time, with its first four digits: 5.333, 0.00005."""
    return format_plain(Decimal(f"{value:.4g}"))


def format_percent(part: Decimal) -> str:
    """A part as a percentage: 70 %."""
    return f"{format_grouped(100 * part)} %"


def format_money(value: Decimal, currency: str, places: int = 2) -> str:
    """With its symbol, to the cent; what is smaller than a cent with two digits of its own."""
    if 0 < abs(value) < CENT:
        places = -value.adjusted() + 1
    sign = "-" if value < 0 else ""
    return f"{sign}{SYMBOLS[currency]}{round_half_up(abs(value), places):,f}"
