"""Numbers as people write them on a command line."""

from __future__ import annotations

import argparse
import re
from decimal import Decimal, InvalidOperation

LARGEST = Decimal(10**12)
MOST_PORT = 65_535
STEPS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}


class TooLargeError(argparse.ArgumentTypeError):
    """A number above LARGEST."""


def parse_number(text: str) -> Decimal:
    """1000000, 1,000,000, 1e6, 1M or 250k."""
    found = re.fullmatch(
        r"((?:\d*(?=\.\d)|\d+|\d{1,3}(?:,\d{3})+)(?:\.\d+)?(?:e[+-]?\d{1,3})?) ?([kmg]?)", text.strip().lower()
    )
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no number: write 1000000, 1e6, 1M or 250k")
    value = Decimal(found[1].replace(",", "")) * STEPS[found[2]]
    if value > LARGEST:
        raise TooLargeError(f"{text!r} is too large: {LARGEST:,f} is the most")
    return value


def parse_count(text: str) -> int:
    """A whole number from 1 on."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError("write a number of 1 or more")
    return number


def parse_port(text: str) -> int:
    """A TCP port; 0 is a free one."""
    number = int(text) if text.isdecimal() else MOST_PORT + 1
    if number > MOST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: write 0 to {MOST_PORT}; 0 is a free one")
    return number


def parse_size(text: str) -> Decimal:
    """Bytes: 1MB, 100KB or 123456; units are decimal."""
    try:
        return parse_number(re.sub(r"b$", "", text.strip().lower()))
    except argparse.ArgumentTypeError as error:
        if isinstance(error, TooLargeError):
            raise
        raise argparse.ArgumentTypeError(f"{text!r} is no size: write 1MB, 100KB or a number of bytes") from None


def parse_part(text: str) -> Decimal:
    """10% or 0.1."""
    percent = text.strip().endswith("%")
    try:
        value = Decimal(text.strip().rstrip("%"))
        if not value.is_finite() or abs(value) > LARGEST:
            raise InvalidOperation
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text!r} is no part: write 10% or 0.1") from None
    return value / 100 if percent else value
