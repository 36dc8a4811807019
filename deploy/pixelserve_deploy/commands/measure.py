"""Load an endpoint, and write what it serves as the JSON that `pixelserve cost from-benchmark` reads.

It goes to a running `pixelserve up` that has the endpoint; without one the endpoint is started for it. One call before
warms the endpoint up, and is not counted. On AWS, with --aws, you are asked before anything is called, with what it
costs. There it takes real-time endpoints with one variant; what is throttled counts as failed.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import shlex
import sys
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pixelserve
from pixelserve import features, machine
from pixelserve.errors import BadRequest
from pixelserve.media_types import is_json
from pixelserve.processes import Stop
from pixelserve.wire import ATTRIBUTES
from pixelserve_deploy import console
from pixelserve_deploy.aws import AwsError, Session
from pixelserve_deploy.calls import (
    Described,
    Loaded,
    build_body,
    choose_accept,
    choose_type,
    describe_endpoint,
    describe_price,
    load_endpoint,
    send_here,
    send_realtime,
)
from pixelserve_deploy.cost import SCALE, SCHEMA, SUPER_RESOLUTION, CostError, find_newest_book, format_money
from pixelserve_deploy.deployment import Mode
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.options import (
    add_request_fields,
    add_site,
    add_weights,
    check_media_type,
    choose_weights,
    parse_count,
    parse_number,
    read_input,
    read_request_fields,
)
from pixelserve_deploy.outputs import check_output, write_whole

EXAMPLES = """\
  pixelserve measure image-super-resolution --body photo.jpg --clients 8 --seconds 30
  pixelserve measure ./my_model --body a.json --body b.json -o mine.json
  pixelserve cost from-benchmark mine.json --instance ml.c6i.xlarge
  pixelserve measure my-endpoint --body photo.jpg --aws --region eu-west-1
"""
LONGEST = 3600
"""Seconds."""
NOT_REALTIME = {
    Mode.ASYNC: "asynchronous: its requests wait in a queue",
    Mode.SERVERLESS: "serverless: it has no instances",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("endpoint", help="its name; without a running `up` also what `up` takes")
    parser.add_argument("--body", action="append", type=Path, required=True, metavar="FILE",
                        help="a request's body; more of them are sent in turn")  # fmt: skip
    parser.add_argument("--content-type", help="of the bodies (default: by each one's content and name)")
    parser.add_argument("--accept", help="content type to ask for (default: what the feature gives)")
    add_request_fields(parser)
    parser.add_argument("--clients", type=parse_count, default=8, metavar="N", help="calls at a time (default 8)")
    parser.add_argument("--seconds", type=parse_number, default=Decimal(30), metavar="S", help="how long (default 30)")
    parser.add_argument("-o", "--output", type=Path, default=Path("measured.json"), metavar="OUT",
                        help="the JSON to write (default measured.json)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print it as well, in place of the figures")
    add_weights(parser)
    site = add_site(parser)
    site.add_argument("--aws", action="store_true", help="load the real-time endpoint of that name on AWS")
    site.add_argument("--yes", action="store_true", help="do not ask")


def run(arguments: argparse.Namespace, stop: Stop) -> int:
    fields = _read_fields(arguments)
    if arguments.output.suffix != ".json":
        raise UsageError(f"-o {arguments.output}: it is JSON, so name it .json")
    check_output(arguments.output)
    bodies = [read_input(path) for path in arguments.body]
    session = Session(arguments.region, arguments.profile) if arguments.aws else None
    found = _find_measurable(session, arguments.endpoint) if session else None
    kinds = [
        choose_type(arguments.content_type, body, path.name) for body, path in zip(bodies, arguments.body, strict=True)
    ]
    feature = found.feature if found else arguments.endpoint
    accept = arguments.accept or choose_accept(feature, all(kind.startswith("image/") for kind in kinds))
    requests = [
        build_body([body], kind, fields, accept, as_it_is=bool(arguments.content_type))
        for body, kind in zip(bodies, kinds, strict=True)
    ]
    scale = _find_scale(feature, requests)
    with ExitStack() as stack:
        if session and found:
            if not arguments.yes and not console.confirm(_ask(found, arguments, session.region), stop):
                raise BadRequest("The answer was no; nothing was called.")
            send = send_realtime(arguments.endpoint, arguments.region, arguments.profile, connections=arguments.clients)
        else:
            send = send_here(
                arguments.endpoint,
                lambda source: choose_weights(source, arguments.weights),
                stack,
                stop,
                anew=bool(arguments.weights),
            )
        load_endpoint(send, requests, 1, 0, stop)
        loaded = load_endpoint(send, requests, arguments.clients, float(arguments.seconds), stop)
    row = _make_row(arguments, scale, bodies, kinds, loaded)
    try:
        note = _look_again(session, found) if session and found else ""
    except BadRequest:  # the calls are made and billed
        with contextlib.redirect_stdout(sys.stderr):
            _show_figures(row, loaded)
        raise
    result = {
        "schema": SCHEMA,
        "name": f"measure {arguments.endpoint}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": {**_describe_machine(found), **({"note": note} if note else {})},
        "versions": {"python": platform.python_version(), "pixelserve": pixelserve.__version__},
        "rows": [row],
    }
    write_whole(arguments.output, f"{json.dumps(result, indent=1)}\n".encode())
    _tell(arguments, result, loaded)
    return 1 if loaded.failures else 0


def _read_fields(arguments: argparse.Namespace) -> dict[str, Any]:
    """The request's fields. Raises UsageError where the command line contradicts itself."""
    if (arguments.region or arguments.profile or arguments.yes) and not arguments.aws:
        raise UsageError("--region, --profile and --yes go with --aws")
    if arguments.weights and arguments.aws:
        raise UsageError("--weights goes with an endpoint that is started here")
    if not 0 < arguments.seconds <= LONGEST:
        raise UsageError(f"--seconds is above 0 and at most {LONGEST}")
    for header in filter(None, (arguments.content_type, arguments.accept)):
        check_media_type(header)
    return read_request_fields(arguments)


def _find_measurable(session: Session, name: str) -> Described:
    """The endpoint on AWS, whose rate is that of instances of one type. Raises BadRequest for any other."""
    found = describe_endpoint(session, name)
    if found.mode is not Mode.REALTIME:
        raise BadRequest(
            f"{name} is {NOT_REALTIME[found.mode]}, so a load says nothing of an instance. Measure a real-time "
            "endpoint of the same model, or the model on this machine, without --aws."
        )
    if len(found.machines) != 1 or not found.machines[0][1]:
        raise BadRequest(
            f"{name} runs on {_list_machines(found)}. Measure an endpoint with one variant and one type of instance."
        )
    return found


def _look_again(session: Session, before: Described) -> str:
    """A note, which is told, where nobody can see what answered to the end, else "". Raises BadRequest where it was
    scaled meanwhile."""
    try:
        after = describe_endpoint(session, before.name)
    except AwsError as error:
        note = f"The instances are those of the start; those of the end could not be looked up: {error.message}"
        console.say(note)
        return note
    if before.machines != after.machines:
        raise BadRequest(
            f"{before.name} had {_list_machines(before)} at the start and {_list_machines(after)} at the end, so the "
            "rate is neither's, and no file is written. Measure again, or with as few --clients as start no scaling."
        )
    return ""


def _list_machines(found: Described) -> str:
    return ", ".join(f"{count} x {kind}" for kind, count in found.machines) or "nothing"


def _ask(found: Described, arguments: argparse.Namespace, region: str) -> str:
    """What the load is and costs."""
    ((instance, count),) = found.machines
    said = f"{arguments.clients} clients call {found.name} for {arguments.seconds} s and once before."
    price = describe_price(found.mode, instance, region, count)
    said += f" {price or f'What its instances cost, {count} x {instance}, is not known here.'}"
    try:
        book = find_newest_book(region)
        sent, answered = (book.price("AmazonSageMaker", region, name).first for name in ("data-in", "data-out"))
        answered += book.price("AWSDataTransfer", region, "out").first
        each = (format_money(amount, book.currency, 3) for amount in (sent, answered))
        said += " Besides, a GB sent costs {}, and one answered {}.".format(*each)
    except CostError:
        said += " What is sent and answered is billed too; its price is not known here."
    return f"{said} Start?"


def _find_scale(feature: str, requests: list[tuple[bytes, dict[str, str]]]) -> int | None:
    """The factor that requests of super-resolution ask for; None of others, and where a `target` chooses it.

    Raises UsageError where they ask for several, whose mean seconds are no scale's.
    """
    known = features.find(feature)
    if known is None or known.endpoint != SUPER_RESOLUTION:
        return None
    asked = {_read_scale(body, headers) for body, headers in requests}
    if len(asked) > 1:
        raise UsageError("the bodies ask for several scales: measure each by itself")
    return asked.pop()


def _read_scale(body: bytes, headers: dict[str, str]) -> int | None:
    """The scale of a request, in its JSON or its attributes; None where there is none to read."""
    if is_json(headers["Content-Type"]):
        try:
            fields = json.loads(body)
        except ValueError:
            return None
    else:
        fields = dict(pair.split("=", 1) for pair in headers.get(ATTRIBUTES, "").split(";") if pair)
    if not isinstance(fields, dict) or fields.get("target"):
        return None
    scale = str(fields.get("scale", SCALE))
    return int(scale) if scale.isdecimal() else None


def _make_row(
    arguments: argparse.Namespace,
    scale: int | None,
    bodies: list[bytes],
    kinds: list[str],
    loaded: Loaded,
) -> dict[str, Any]:
    """The result's row, in the form of docs/benchmarks.md."""
    are_pictures = all(kind.startswith("image/") for kind in kinds)
    sizes: dict[str, Any] = {
        "request": sum(map(len, bodies)) // len(bodies),
        "answer": sum(loaded.answers) // len(loaded.answers),
    }
    if are_pictures:
        from pixelserve.imaging import read_header

        headers = [read_header(body) for body in bodies]
        sizes["pixels"] = sum(header.width * header.height for header in headers) // len(headers)
    return {
        "endpoint": arguments.endpoint,
        **({} if scale is None else {"scale": scale}),
        "connections": arguments.clients,
        "images_per_second" if are_pictures else "requests_per_second": round(loaded.rate, 4),
        "failures": len(loaded.failures),
        "seconds": loaded.describe_seconds(),
        "sizes": sizes,
    }


def _describe_machine(found: Described | None) -> dict[str, Any]:
    """What was measured on: this machine, or the instance on AWS."""
    if found is not None:
        ((instance, count),) = found.machines
        return {"cpu": instance, "cores": None, "gpu": None, "instance": instance, "instances": count}
    return {
        "cpu": machine.name_cpu(),
        "cores": machine.cores(),
        "gpu": f"{machine.gpus()} NVIDIA" if machine.gpus() else None,
        "system": f"{platform.system()}-{os.uname().release}",
    }


def _tell(arguments: argparse.Namespace, result: dict[str, Any], loaded: Loaded) -> None:
    if arguments.json:
        print(json.dumps(result))
        return
    _show_figures(result["rows"][0], loaded)
    words = ["pixelserve", "cost", "from-benchmark", str(arguments.output)]
    print(f"{arguments.output} has it: {shlex.join(words)}{'' if arguments.aws else ' --instance TYPE'}")


def _show_figures(row: dict[str, Any], loaded: Loaded) -> None:
    seconds = row["seconds"]
    figures = (
        f"{loaded.rate:.2f}",
        *(f"{seconds[name]:.3f}" for name in ("p50", "p90", "p99", "max")),
        str(len(loaded.seconds)),
        str(len(loaded.failures)),
    )
    console.print_table(("A SECOND", "P50 S", "P90 S", "P99 S", "MAX S", "ANSWERED", "FAILED"), [figures])
    for failure in dict.fromkeys(loaded.failures):
        print(f"failed {loaded.failures.count(failure)} times: {failure}", file=sys.stderr)
