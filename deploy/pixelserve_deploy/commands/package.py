"""Write a model's files as SageMaker takes them from S3: the weights at the root, the handler in code/.

HANDLER is the folder of a handler, or one in that layout already. An output that ends in .tar.gz is one archive
(ModelDataUrl); any other is a folder to copy below an S3 prefix (ModelDataSource, uncompressed). It is written whole or
not at all. The same files make the same archive.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

from pixelserve.errors import BadRequest, NotFound
from pixelserve.local import open_source
from pixelserve_deploy import console
from pixelserve_deploy.artifact import lay_out, write_archive, write_folder

EXAMPLES = """\
  pixelserve package ./my_model --model-dir ./weights
  pixelserve package ./my_model --model-dir ./weights -o model/     a folder, uncompressed
"""
DIGITS = 12
"""Of each file's checksum, in the table."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("handler", metavar="HANDLER", help="a handler's folder, or one with code/inference.py")
    parser.add_argument("--model-dir", type=Path, metavar="DIR", help="folder with the weights")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("model.tar.gz"), metavar="PATH", help="default: model.tar.gz"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(arguments: argparse.Namespace) -> int:
    if arguments.model_dir is not None and not arguments.model_dir.is_dir():
        raise NotFound(f"There is no folder {arguments.model_dir}.")
    target = arguments.output.resolve()
    with open_source(arguments.handler) as source:
        handler, model_dir = source.folder, arguments.model_dir or source.model_dir
        if model_dir == handler:  # weights beside inference.py: its folder is not in SageMaker's layout
            model_dir = None
        for folder in (handler, model_dir):
            if folder is not None and target.is_relative_to(folder.resolve()):
                raise BadRequest(f"{target} lies in {folder}, which is to be packed. Name an --output elsewhere.")
        files = lay_out(handler, model_dir)
        is_archive = target.name.endswith(".tar.gz")
        (write_archive if is_archive else write_folder)(files, target)
    _report(target, files if is_archive else {name: target / name for name in files}, arguments)
    return 0
