"""Send every file of a folder or S3 prefix to an endpoint and keep the answers, as a batch transform job does.

The endpoint is started for the job, with the environment that batch transform gives it. An answer is written as
OUTPUT/<name>.out, or with its real ending; those that are there already are kept, so that a job that was broken off
goes on where it ended. What fails is listed, and the exit code is 1 then.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pixelserve import features
from pixelserve.local import Job
from pixelserve.media_types import essence
from pixelserve.processes import Stop
from pixelserve.storage import place
from pixelserve_deploy.batch import show_end, transform_here
from pixelserve_deploy.calls import ENDINGS
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.options import add_weights, check_media_type, choose_weights, parse_count
from pixelserve_deploy.outputs import check_folder

EXAMPLES = """\
  pixelserve transform image-super-resolution photos large --accept image/webp --endings
  pixelserve transform human-image-segmentation s3://my-bucket/photos s3://my-bucket/masks
  pixelserve transform ./my_model requests answers --split-type Line --assemble-with Line
"""
STRATEGIES = {"SingleRecord": "SINGLE_RECORD", "MultiRecord": "MULTI_RECORD"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("endpoint", help="a feature, a handler's folder, a model.tar.gz")
    parser.add_argument("input", metavar="INPUT", help="a folder or s3://BUCKET/PREFIX")
    parser.add_argument("output", metavar="OUTPUT", help="a folder or s3://BUCKET/PREFIX")
    parser.add_argument("--content-type", default="", help="of the inputs (default: by each one's content and name)")
    parser.add_argument("--accept", help="content type to ask for (default: what the feature gives)")
    parser.add_argument(
        "--split-type", choices=("None", "Line"), default="None", help="what a record is (default: None, a file)"
    )
    parser.add_argument(
        "--assemble-with", choices=("None", "Line"), default="None", help="Line: a newline after each answer"
    )
    parser.add_argument("--strategy", choices=STRATEGIES, help="lines in a request (default: what the server asks for)")
    parser.add_argument(
        "--max-concurrent", type=parse_count, metavar="N", help="requests at once (default: what the server asks for)"
    )
    parser.add_argument(
        "--max-payload", type=parse_count, metavar="MB", help="largest request (default: what the server takes)"
    )
    parser.add_argument(
        "--endings",
        action="store_true",
        help="name answers by what --accept asks for, as photo.jpg.webp, in place of photo.jpg.out",
    )
    parser.add_argument("--json", action="store_true", help="print what came of it as JSON (docs/scripts.md)")
    add_weights(parser)
    parser.add_argument("--overwrite", action="store_true", help="transform again what is there already")


def run(arguments: argparse.Namespace, stop: Stop) -> int:
    report = transform_here(
        arguments.endpoint,
        lambda source: choose_weights(source, arguments.weights),
        job := _read_job(arguments),
        stop,
        strategy=STRATEGIES.get(arguments.strategy),
        concurrency=arguments.max_concurrent,
        megabytes=arguments.max_payload,
    )
    if arguments.json:
        told = {"done": report.done, "skipped": report.skipped, "failed": len(report.failures)}
        print(json.dumps({**told, "output": str(job.target), "failures": report.failures}))
        return 1 if report.failures else 0
    return show_end(report, "transformed")


def _read_job(arguments: argparse.Namespace) -> Job:
    """What the command line asks for. Raises UsageError when it contradicts itself."""
    if arguments.strategy == "MultiRecord" and arguments.split_type != "Line":
        raise UsageError("--strategy MultiRecord goes with --split-type Line")
    known = features.find(arguments.endpoint.rpartition("=")[2])
    accept = arguments.accept or (known.answer if known else "*/*")
    for header in (arguments.content_type, accept):
        check_media_type(header)
    ending = ENDINGS.get(essence(accept)) if arguments.endings else Job.ending
    if ending is None:
        raise UsageError(f"--endings: {accept} has none; give --accept, one of {', '.join(ENDINGS)}")
    job = Job(
        source=place(arguments.input),
        target=place(arguments.output),
        content_type=arguments.content_type,
        accept=accept,
        split_lines=arguments.split_type == "Line",
        assemble_lines=arguments.assemble_with == "Line",
        overwrite=arguments.overwrite,
        ending=ending,
        strategy=STRATEGIES.get(arguments.strategy, Job.strategy),
        concurrency=arguments.max_concurrent or Job.concurrency,
        payload_megabytes=arguments.max_payload or Job.payload_megabytes,
    )
    if "://" not in arguments.output:
        check_folder(Path(arguments.output))
    if job.source.contains(job.target):
        raise UsageError(f"{job.target} lies in the input: its files would be inputs of the next job. Choose another")
    return job
