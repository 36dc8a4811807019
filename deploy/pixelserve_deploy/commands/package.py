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
    is_archive = target.name.endswith(".tar.gz")
    with open_source(arguments.handler) as source:
        model_dir = arguments.model_dir or source.model_dir
        for folder in (source.folder, model_dir):
            if folder is not None and target.is_relative_to(folder.resolve()):
                raise BadRequest(f"{target} lies in {folder}, which is to be packed. Name an --output elsewhere.")
        files = lay_out(source.folder, model_dir)
        rows = [(name, path.stat().st_size, _digest(path)) for name, path in files.items()]
        (write_archive if is_archive else write_folder)(files, target)
    if arguments.json:
        print(json.dumps(_as_json(target, is_archive, rows), indent=2))
        return 0
    table = [(name, f"{size:,}", digest[:DIGITS]) for name, size, digest in rows]
    console.print_table(("NAME", "BYTES", "SHA-256"), table, right={"BYTES"})
    shown = arguments.output
    unpacked = f"{len(rows)} files, {sum(size for _, size, _ in rows):,} bytes"
    if is_archive:
        print(f"{shown}: {unpacked}, {target.stat().st_size:,} compressed; SHA-256 {_digest(target)}")
        print(f"To upload it: aws s3 cp {shown} s3://BUCKET/PREFIX/{target.name}")
    else:
        print(f"{shown}: {unpacked}")
        print(f"To upload it: aws s3 cp --recursive {shown} s3://BUCKET/PREFIX/")
    return 0


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _as_json(target: Path, is_archive: bool, rows: list[tuple[str, int, str]]) -> dict[str, object]:
    made: dict[str, object] = {"path": str(target)}
    if is_archive:
        made |= {"bytes": target.stat().st_size, "sha256": _digest(target)}
    return made | {"files": [{"name": name, "bytes": size, "sha256": digest} for name, size, digest in rows]}
