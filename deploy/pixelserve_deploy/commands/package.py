"""Write a model's files as SageMaker takes them from S3: the weights at the root, the handler in code/.

HANDLER is the folder of a handler, or one in that layout already, or a feature. What ends in .tar.gz is one archive
(ModelDataUrl); any other is a folder or prefix of files (ModelDataSource, uncompressed). It is written whole or not at
all. The same files make the same archive.

With --to the files go to S3, which checks the SHA-256 of each. Those that are there already are left, so that an upload
that was broken off goes on with the file where it ended.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from pixelserve.errors import BadRequest, NotFound
from pixelserve.local import open_source
from pixelserve.processes import Stop
from pixelserve_deploy import console
from pixelserve_deploy.artifact import lay_out, write_archive, write_folder
from pixelserve_deploy.aws import Client, Session
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.options import add_site
from pixelserve_deploy.upload import (
    Upload,
    digest_file,
    list_objects,
    list_uploads,
    select_missing,
    send_uploads,
)

EXAMPLES = """\
  pixelserve package ./my_model --model-dir ./weights
  pixelserve package ./my_model --model-dir ./weights -o model/     a folder, uncompressed
  pixelserve package ./my_model --model-dir ./weights --to s3://my-weights/upscaler/
  pixelserve package image-similarity --to s3://my-weights/archives/image-similarity.tar.gz
"""
DIGITS = 12
"""Of each file's checksum, in the table."""
ARCHIVE = ".tar.gz"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("handler", metavar="HANDLER", help="a handler's folder, one with code/inference.py, a feature")
    parser.add_argument("--model-dir", type=Path, metavar="DIR", help="folder with the weights")
    target = parser.add_mutually_exclusive_group()
    target.add_argument(
        "-o", "--output", type=Path, default=Path("model.tar.gz"), metavar="PATH", help="default: model.tar.gz"
    )
    target.add_argument("--to", metavar="S3", help="s3://BUCKET/PREFIX/ (uncompressed) or s3://BUCKET/…/NAME.tar.gz")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    add_site(parser)


def run(arguments: argparse.Namespace, stop: Stop) -> int:
    if arguments.model_dir is not None and not arguments.model_dir.is_dir():
        raise NotFound(f"There is no folder {arguments.model_dir}.")
    if arguments.to is None and (arguments.region or arguments.profile):
        raise UsageError("--region and --profile go with --to")
    with open_source(arguments.handler) as source, ExitStack() as stack:
        model_dir = arguments.model_dir or source.model_dir
        if arguments.to is None:
            target = arguments.output.resolve()
            for folder in (source.folder, model_dir):
                if folder is not None and target.is_relative_to(folder.resolve()):
                    raise BadRequest(f"{target} lies in {folder}, which is to be packed. Name an --output elsewhere.")
        files = stop.run_aside(lambda: lay_out(source.folder, model_dir))
        if arguments.to is None:
            made = stop.run_aside(lambda: _write(files, target))
        else:
            made = _send(files, arguments, stop, stack)
    if arguments.json:
        print(json.dumps(made, indent=2))
    else:
        _show(made, str(arguments.output))
    return 0


def _write(files: Mapping[str, Path], target: Path) -> dict[str, object]:
    """What was written, as --json has it."""
    listed = _list(files)
    if not target.name.endswith(ARCHIVE):
        write_folder(files, target)
        return {"path": str(target), "files": listed}
    write_archive(files, target)
    return {"path": str(target), "bytes": target.stat().st_size, "sha256": digest_file(target), "files": listed}


def _send(files: Mapping[str, Path], arguments: argparse.Namespace, stop: Stop, stack: ExitStack) -> dict[str, object]:
    """Uploads the files, or the archive of them; what was uploaded, as --json has it."""
    bucket, prefix, archive = _read_target(arguments.to)
    client = Session(arguments.region, arguments.profile).client("s3")
    made: dict[str, object] = {"path": arguments.to}
    sent = files
    if archive:
        packed = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pixelserve-"))) / archive
        stop.run_aside(lambda: write_archive(files, packed))
        sent = {archive: packed}
    uploads = stop.run_aside(lambda: list_uploads(sent, prefix))
    missing = stop.run_aside(lambda: _find_missing(client, bucket, prefix, uploads, archive))
    with console.show_bytes(arguments.to) as show:
        send_uploads(client, bucket, missing, show, stop)
    if archive:
        made |= {"bytes": uploads[0].size, "sha256": uploads[0].digest}
    return made | {"uploaded": len(missing), "there_already": len(uploads) - len(missing), "files": _list(files)}


def _find_missing(client: Client, bucket: str, prefix: str, uploads: list[Upload], archive: str) -> list[Upload]:
    """What is to be sent. Raises BadRequest where other files lie: SageMaker would load them with the model."""
    there = list_objects(client, bucket, f"{prefix}{archive}")
    others = sorted(set(there) - {upload.key for upload in uploads} - {prefix})
    if others and not archive:
        raise BadRequest(
            f"s3://{bucket}/{prefix} has other files too, such as {others[0]}, and SageMaker takes all of them for the "
            "model's. Choose another prefix, or remove them."
        )
    return select_missing(client, bucket, uploads, there)


def _read_target(text: str) -> tuple[str, str, str]:
    """Bucket, prefix and the archive's name, "" for uncompressed files. Raises UsageError saying what would do."""
    bucket, slash, key = text.removeprefix("s3://").partition("/")
    if not text.startswith("s3://") or not bucket or not slash:
        raise UsageError(f"--to {text}: write s3://BUCKET/PREFIX/ or s3://BUCKET/PREFIX/NAME{ARCHIVE}")
    folder, _, name = key.rpartition("/")
    if name and not name.endswith(ARCHIVE):
        raise UsageError(f"--to {text}: a prefix ends in /, an archive in {ARCHIVE}")
    return bucket, f"{folder}/" if folder else "", name


def _list(files: Mapping[str, Path]) -> list[dict[str, object]]:
    return [{"name": name, "bytes": path.stat().st_size, "sha256": digest_file(path)} for name, path in files.items()]


def _show(made: dict[str, object], written: str) -> None:
    """The files as a table, and what became of them."""
    rows = made["files"]
    assert isinstance(rows, list)
    table = [(row["name"], f"{row['bytes']:,}", row["sha256"][:DIGITS]) for row in rows]
    console.print_table(("NAME", "BYTES", "SHA-256"), table, right={"BYTES"})
    what = f"{len(rows)} files, {sum(row['bytes'] for row in rows):,} bytes"
    if "bytes" in made:
        what += f", {made['bytes']:,} compressed; SHA-256 {made['sha256']}"
    if "uploaded" in made:
        there = f", {made['there_already']} there already" if made["there_already"] else ""
        print(f"{made['path']}: {what}; {made['uploaded']} uploaded{there}.")
        print(f"To deploy it: pixelserve deploy NAME --weights {made['path']}")
        return
    print(f"{written}: {what}")
    archive = written.endswith(ARCHIVE)
    print(f"To upload it: the same with --to s3://BUCKET/PREFIX/{Path(written).name if archive else ''}")
