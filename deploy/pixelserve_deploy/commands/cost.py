"""What an endpoint costs, before it is deployed: the documented tables to the cent, and estimates of your own.

`pixelserve cost ACTION --help` explains one action.
"""

from __future__ import annotations

import argparse

from pixelserve_deploy.commands import cost_table

EXAMPLES = """\
  pixelserve cost table --policy documented-corrected --explain
"""
ACTIONS = {"table": cost_table}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, module in ACTIONS.items():
        description = module.__doc__ or ""
        action = actions.add_parser(
            name,
            help=description.partition("\n")[0],
            description=description,
            epilog=f"examples:\n{module.EXAMPLES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(action)
        action.set_defaults(run_action=module.run)


def run(arguments: argparse.Namespace) -> int:
    return int(arguments.run_action(arguments))
