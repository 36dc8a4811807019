"""The five documented cost tables, reckoned again from quantities and prices."""

from __future__ import annotations

import argparse

from pixelserve_deploy.commands import cost_output
from pixelserve_deploy.cost.bills import tables_report
from pixelserve_deploy.cost.documented import chosen
from pixelserve_deploy.cost.policy import AS_DOCUMENTED, POLICIES, policy_of

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
    cost_output.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    cases = chosen(arguments.tables)
    policy = policy_of(arguments.policy)
    bills = [case.estimate(policy) for case in cases]
    cost_output.write(tables_report(cases, bills, arguments.lang, arguments.explain), arguments)
    return 0
