"""Write a handler to start from: inference.py with the four functions, a test, a README.

It passes `pixelserve check` and runs under `pixelserve up` as it is; its model only inverts the image.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pixelserve.errors import BadRequest
from pixelserve.local import check_name
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.handlers import write_handler

EXAMPLES = """\
  pixelserve new my_model
  pixelserve check my_model
  pixelserve up my_model
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", type=Path, metavar="NAME", help="the folder to write; it must not exist yet")


def run(arguments: argparse.Namespace) -> int:
    folder: Path = arguments.name
    try:
        endpoint = check_name(folder.name.replace("_", "-"))
    except BadRequest as error:
        raise UsageError(error.message) from None
    for path in write_handler(folder, endpoint):
        print(f"wrote {path}")
    print(f"\nNext:\n  pixelserve check {folder}\n  pixelserve up {folder}")
    return 0
