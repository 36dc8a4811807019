"""The five documented cost tables, reckoned again from quantities and prices."""

from __future__ import annotations

import argparse

from pixelserve_deploy.cost import AS_DOCUMENTED, POLICIES, bills, choose_cases, find_policy
from pixelserve_deploy.options import add_report, write_report

EXAMPLES = """\
  pixelserve cost table
  pixelserve cost table image_super_resolution --lang zh
  pixelserve cost table --policy exact --explain --format markdown
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tables", nargs="*", metavar="TABLE", help="the beginning of an id (default: all five)")
    parser.add_argument(
        "--policy", default=AS_DOCUMENTED.name, help=f"{', '.join(POLICIES)} (default {AS_DOCUMENTED.name})"
    )
    parser.add_argument("--lang", choices=("en", "zh"), default="en", help="zh: the documents' own words (default en)")
    parser.add_argument("--explain", action="store_true", help="formula, rounding and source of each line")
    add_report(parser)


def run(arguments: argparse.Namespace) -> int:
    cases = choose_cases(arguments.tables)
    policy = find_policy(arguments.policy)
    estimates = [case.estimate(policy) for case in cases]
    write_report(bills.build_tables_report(cases, estimates, arguments.lang, arguments.explain), arguments)
    return 0
