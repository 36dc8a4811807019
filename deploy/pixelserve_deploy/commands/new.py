"""Write a handler to start from: inference.py with the four functions, a test, a README.

It passes `pixelserve check` and runs under `pixelserve up` as it is; its model only inverts the image.
"""

from __future__ import annotations

import argparse
from importlib import resources
from pathlib import Path

from pixelserve.errors import BadRequest
from pixelserve.local.endpoints import check_name
from pixelserve_deploy.commands import UsageError

EXAMPLES = """\
  pixelserve new my_model
  pixelserve check my_model
  pixelserve up my_model
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", type=Path, metavar="NAME", help="the folder to write; it must not exist yet")


def run(arguments: argparse.Namespace) -> int:
    folder: Path = arguments.name
    names = {"@FOLDER@": folder.name, "@ENDPOINT@": _endpoint(folder)}
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise BadRequest(f"{folder} exists already; nothing was written. Choose another name.") from None
    except OSError as error:
        raise BadRequest(f"Cannot make {folder}: {error.strerror}.") from None
    for template in resources.files("pixelserve_deploy").joinpath("templates/handler").iterdir():
        text = template.read_text(encoding="utf-8")
        for placeholder, name in names.items():
            text = text.replace(placeholder, name)
        path = folder / template.name.removesuffix(".tmpl")
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path}")
    print(f"\nNext:\n  pixelserve check {folder}\n  pixelserve up {folder}")
    return 0


def _endpoint(folder: Path) -> str:
    try:
        return check_name(folder.name.replace("_", "-"))
    except BadRequest as error:
        raise UsageError(error.message) from None
