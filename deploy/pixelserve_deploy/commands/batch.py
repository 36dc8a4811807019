"""Send a folder or prefix of up to a million images through SageMaker Batch Transform, or with --local through a server
started here.

Each answer is OUTPUT/<name>.out. Those that are there already are kept, so that the same command goes on where it was
broken off; a job that AWS still runs is followed, not started again. What fails is listed in
OUTPUT/_pixelserve/failures.jsonl, the figures are in summary.json beside it, and the exit code is 1 then.

NAME is a table of pixelserve.toml, or described by the options: a model is made for the job and removed after it. Where
there is neither, it is an endpoint on AWS, whose model is taken. With --local it is a feature, a handler's folder, or a
model.tar.gz.

Exit codes: 0 done or nothing to do, 1 some images failed, 2 command line, 5 AWS goes on (Ctrl-C), 10 --plan has images.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from pixelserve import features
from pixelserve.errors import NotFound
from pixelserve.local import Job, JobReport
from pixelserve.processes import Stop
from pixelserve.storage import place
from pixelserve_deploy import console
from pixelserve_deploy.aws import Session
from pixelserve_deploy.batch import (
    IMAGES,
    INPUTS,
    POLL_SECONDS,
    Forecast,
    JobGoesOn,
    JobModel,
    Jobs,
    find_job_model,
    find_missing,
    forecast_jobs,
    make_order,
    open_prefix,
    show_end,
    transform_here,
)
from pixelserve_deploy.calls import RECORD, list_items, write_record, writer_of
from pixelserve_deploy.deployment import Status
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.options import (
    add_fields,
    add_site,
    check_media_type,
    choose_weights,
    parse_count,
    parse_number,
    read_fields,
)

EXAMPLES = """\
  pixelserve batch image-super-resolution photos large --local
  pixelserve batch upscaler s3://my-photos/2026/ s3://my-photos/large/ --plan
  pixelserve batch upscaler s3://my-photos/2026/ s3://my-photos/large/ --role arn:aws:iam::123456789012:role/batch
  pixelserve batch upscaler ./photos s3://my-photos/large/ --count 4 --yes
  pixelserve batch upscaler s3://my-photos/2026/ s3://my-photos/large/ --overwrite
"""
FIELDS = {
    "the model": ("image", "features", "weights", "environment", "role", "network_isolation", "subnets",
                  "security_groups", "kms_key", "tags"),
    "the machines": ("instances", "count"),
}  # fmt: skip
TEXTS = {
    "features": "the feature to serve (default: the handler in the image)",
    "weights": "s3://…/model.tar.gz (default: what is in the image)",
    "role": "ARN of the role that SageMaker takes on; it pulls the image, reads INPUT and the weights, writes OUTPUT",
    "network_isolation": "whether the containers can call nobody",
    "kms_key": "ARN of a key for the volumes and the answers",
    "tags": "of the model and the jobs",
    "instances": "instance type; of several the first (default ml.g4dn.xlarge)",
    "count": "instances of a job (default 1)",
}
MB = 1_000_000
LARGEST_MB = 100
"""MaxPayloadInMB at most (CreateTransformJob)."""
DEFAULT_MB = 25
"""What our server takes unless PIXELSERVE_MAX_BODY_BYTES is set."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the endpoint; with --local what `transform` takes")
    parser.add_argument("source", metavar="INPUT", help="a folder or s3://BUCKET/PREFIX/")
    parser.add_argument("target", metavar="OUTPUT", help="s3://BUCKET/PREFIX/; with --local a folder too")
    parser.add_argument("--local", action="store_true", help="on this machine, without AWS")
    parser.add_argument("--plan", action="store_true", help="say what it would take and cost, and do nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="print the summary, or the plan, as JSON")
    parser.add_argument("--accept", help="content type to ask for (default: what the feature gives)")
    parser.add_argument(
        "--overwrite", action="store_true", help="do again what is there already, whose answers are removed first"
    )
    parser.add_argument("--model-dir", metavar="NAME|DIR", help="with --local: weights, as `transform` takes them")
    parser.add_argument("--max-concurrent", type=parse_count, metavar="N",
                        help="requests at once to an instance (default: what the server asks for)")  # fmt: skip
    parser.add_argument("--max-payload", type=parse_count, metavar="MB",
                        help="largest image (default: what the server takes)")  # fmt: skip
    parser.add_argument("--images", type=parse_count, default=IMAGES, metavar="N",
                        help=f"of a job, at most (default {IMAGES:,})")  # fmt: skip
    prediction = parser.add_argument_group("the prediction")
    prediction.add_argument("--seconds", type=parse_number, metavar="S", help="of one image on the instance")
    prediction.add_argument("--measured", type=Path, metavar="RESULT", help="the same, from a benchmark's JSON")
    parser.add_argument("--poll", type=float, default=POLL_SECONDS, metavar="SECONDS", help=argparse.SUPPRESS)
    add_fields(parser, FIELDS, TEXTS)
    add_site(parser)


def run(arguments: argparse.Namespace, stop: Stop) -> int:
    if arguments.accept:
        check_media_type(arguments.accept)
    if arguments.local:
        return _run_here(arguments, stop)
    if not arguments.target.startswith("s3://"):
        raise UsageError(f"{arguments.target}: AWS writes to s3://BUCKET/PREFIX/; --local works on this machine")
    if arguments.model_dir:
        raise UsageError("--model-dir goes with --local")
    if (arguments.max_payload or 0) * (arguments.max_concurrent or 1) > LARGEST_MB:
        raise UsageError(f"--max-payload times --max-concurrent is {LARGEST_MB} MB at most")
    try:
        return _run_on_aws(arguments, stop)
    except JobGoesOn as error:
        without = " Leave out --overwrite then: it would do all of them once more." if arguments.overwrite else ""
        console.print_error("pixelserve batch", f"{error.message}.{without}")
        return int(Status.RUNNING)


def _run_here(arguments: argparse.Namespace, stop: Stop) -> int:
    known = features.find(arguments.name.rpartition("=")[2])
    job = Job(
        source=place(arguments.source),
        target=place(arguments.target),
        accept=arguments.accept or (known.answer if known else "*/*"),
        overwrite=arguments.overwrite,
        concurrency=arguments.max_concurrent or Job.concurrency,
        payload_megabytes=arguments.max_payload or Job.payload_megabytes,
    )
    if job.source.contains(job.target):
        raise UsageError(f"{job.target} lies in the input. Choose another OUTPUT")
    if arguments.plan:
        missing = find_missing(job.source.names(), () if job.overwrite else job.target.names())
        print(
            json.dumps({"images": len(missing)}) if arguments.json else f"{len(missing):,} images are to be done here."
        )
        return int(Status.CHANGES if missing else Status.DONE)
    limits = {"concurrency": arguments.max_concurrent, "megabytes": arguments.max_payload}
    report = transform_here(
        arguments.name, lambda source: choose_weights(source, arguments.model_dir), job, stop, **limits
    )
    return _end(report, write_record(writer_of(job.target), report, _tell(arguments)), arguments)


def _run_on_aws(arguments: argparse.Namespace, stop: Stop) -> int:
    session = Session(arguments.region, arguments.profile)
    target = open_prefix(session.client("s3"), arguments.target)
    folder = None if arguments.source.startswith("s3://") else Path(arguments.source)
    source = target.below(RECORD + INPUTS) if folder else open_prefix(target.client, arguments.source)
    if not folder and source.contains(target):
        raise UsageError(f"{target} lies in the input. Choose another OUTPUT")
    model = find_job_model(session, read_fields(arguments))
    machines = model.choose_machines(_choose_accept(arguments, model), arguments.max_payload, arguments.max_concurrent)
    jobs = Jobs(session, source, target, console.say, stop, arguments.poll)
    if not arguments.plan:
        jobs.settle()
    items = stop.run_aside(lambda: {item.name: item for item in list_items([folder])}) if folder else {}
    sizes = {name: item.size for name, item in items.items()} if folder else stop.run_aside(source.list)
    if not sizes:
        raise NotFound(f"There is nothing in {arguments.source}.")
    limit = MB * (arguments.max_payload or DEFAULT_MB)
    order = make_order(sizes, stop.run_aside(target.list), limit, arguments.images, overwrite=arguments.overwrite)
    if arguments.plan or order.shards:
        known = {"seconds": arguments.seconds, "measured": arguments.measured}
        where = (session.region, model.instance, model.count)
        _show_plan(arguments, forecast_jobs(order, model.feature, *where, **known))
    if arguments.plan:
        return int(Status.CHANGES if order.shards else Status.DONE)
    if order.shards:
        if not arguments.yes and not console.confirm("Start?", stop):
            return int(Status.REFUSED)
        if folder:
            names = [name for shard in order.shards for name in shard.names]
            with console.show_items() as show:
                source.upload([(name, items[name].path) for name in names], show, stop)
        with model.made(session) as name:
            stop.run_aside(lambda: target.remove(order.old))
            jobs.run(arguments.name, name, machines, order)
    return _end(order.report, write_record(target.write, order.report, _tell(arguments)), arguments)


def _choose_accept(arguments: argparse.Namespace, model: JobModel) -> str:
    known = features.find(model.feature)
    return arguments.accept or (known.answer if known else "*/*")


def _show_plan(arguments: argparse.Namespace, forecast: Forecast) -> None:
    """The plan is what was asked for with --plan; else it goes before the work."""
    if arguments.plan and arguments.json:
        print(json.dumps(forecast.to_json()))
        return
    for line in forecast.list_lines():
        print(line, file=sys.stdout if arguments.plan else sys.stderr)


def _tell(arguments: argparse.Namespace) -> dict[str, Any]:
    return {"input": arguments.source, "output": arguments.target}


def _end(report: JobReport, summary: dict[str, Any], arguments: argparse.Namespace) -> int:
    code = show_end(report, "done")
    if arguments.json:
        print(json.dumps(summary))
    return code
