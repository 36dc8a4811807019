"""The REST API of AI Solution Kit as a CloudFormation stack: the gateway, and each feature as function or endpoint.

`pixelserve stack ACTION --help` explains one action.
"""

from __future__ import annotations

import argparse

from pixelserve.processes import Stop
from pixelserve_deploy.commands.stack import delete, deploy, render

__all__ = ["ACTIONS", "EXAMPLES", "add_arguments", "run"]

EXAMPLES = """\
  pixelserve stack render --gateway-image URI --lambda-image URI > api.json
  pixelserve stack deploy ImageSimilarity=yes-lambda APIExplorer=yes --gateway-image URI --lambda-image URI
  pixelserve stack deploy ImageSimilarity=no
  pixelserve stack delete
"""
ACTIONS = {"render": render, "deploy": deploy, "delete": delete}


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


def run(arguments: argparse.Namespace, stop: Stop) -> int:
    return int(arguments.run_action(arguments, stop))
