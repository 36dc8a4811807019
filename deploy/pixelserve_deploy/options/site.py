"""Where on AWS a command works: the options for it."""

from __future__ import annotations

import argparse
import re
from datetime import timedelta

UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def add_site(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """--region and --profile; the group, for what else says where."""
    site = parser.add_argument_group("where")
    site.add_argument("--region", help="e.g. us-east-2 (default: the AWS configuration's)")
    site.add_argument("--profile", help="profile of your AWS configuration")
    return site


def parse_duration(text: str) -> timedelta:
    """90m, 24h or 7d."""
    found = re.fullmatch(r"(\d{1,6})([mhd])", text.strip().lower())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: write 90m, 24h or 7d")
    return timedelta(**{UNITS[found[2]]: int(found[1])})
