"""What an endpoint costs, before it is deployed: the documented tables to the cent, and estimates of your own.

`pixelserve cost ACTION --help` explains one action.
"""

from __future__ import annotations

import argparse
from decimal import InvalidOperation, Overflow

from pixelserve_deploy.commands import (
    cost_compare,
    cost_diff,
    cost_estimate,
    cost_from_benchmark,
    cost_refresh,
    cost_simulate,
    cost_table,
)
from pixelserve_deploy.cost.errors import CostError

EXAMPLES = """\
  pixelserve cost table --policy documented-corrected --explain
  pixelserve cost estimate --requests 1M --codec webp -o bill.html
  pixelserve cost compare --model human-image-segmentation --seconds 1
  pixelserve cost simulate --generate bursty --requests 1M
  pixelserve cost from-benchmark benchmarks/results/pipeline.json --instance ml.c6i.xlarge
  pixelserve cost diff before.json after.json --fail-above 10%
"""
ACTIONS = {
    "table": cost_table,
    "estimate": cost_estimate,
    "compare": cost_compare,
    "simulate": cost_simulate,
    "from-benchmark": cost_from_benchmark,
    "diff": cost_diff,
    "refresh": cost_refresh,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, module in ACTIONS.items():
        description = module.__doc__ or ""
        action = actions.add_parser(
            name,
            help=description.partition("\n")[0].replace("%", "%%"),
            description=description,
            epilog=f"examples:\n{module.EXAMPLES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(action)
        action.set_defaults(run_action=module.run)


def run(arguments: argparse.Namespace) -> int:
    try:
        return int(arguments.run_action(arguments))
    except (InvalidOperation, Overflow):
        raise CostError("An amount has more digits than can be reckoned exactly. Give smaller numbers.") from None
