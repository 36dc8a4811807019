"""What an endpoint costs, before it is deployed: the documented tables to the cent, and estimates of your own.

`pixelserve cost ACTION --help` explains one action.
"""

from __future__ import annotations

import argparse
from decimal import InvalidOperation, Overflow

from pixelserve_deploy.commands.cost import compare, diff, estimate, from_benchmark, refresh, simulate, table
from pixelserve_deploy.cost import CostError, PriceMissing
from pixelserve_deploy.options import check_report, tell_prices

__all__ = ["ACTIONS", "EXAMPLES", "add_arguments", "run"]

EXAMPLES = """\
  pixelserve cost table --policy documented-corrected --explain
  pixelserve cost estimate --requests 1M --codec webp -o bill.html
  pixelserve cost compare --model human-image-segmentation --seconds 1
  pixelserve cost simulate --generate bursty --requests 1M
  pixelserve cost from-benchmark benchmarks/results/pipeline.json --instance ml.c6i.xlarge
  pixelserve cost diff before.json after.json --fail-above 10%
"""
ACTIONS = {
    "table": table,
    "estimate": estimate,
    "compare": compare,
    "simulate": simulate,
    "from-benchmark": from_benchmark,
    "diff": diff,
    "refresh": refresh,
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
    if arguments.run_action is not refresh.run:
        check_report(arguments)
    try:
        return int(arguments.run_action(arguments))
    except PriceMissing as error:
        if not hasattr(arguments, "prices") or not error.names:
            raise
        raise CostError(f"{error.message} {tell_prices(error.names)}") from None
    except (InvalidOperation, Overflow):
        raise CostError("An amount has more digits than can be reckoned exactly. Give smaller numbers.") from None
