"""`pixelserve invoke` with many files: the way is chosen and told, and the answers lie in one folder."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from contextlib import ExitStack
from decimal import Decimal
from typing import Any

from pixelserve.errors import BadRequest
from pixelserve.local import JobReport
from pixelserve.media_types import essence
from pixelserve.processes import Stop
from pixelserve.storage import Folder
from pixelserve_deploy import console
from pixelserve_deploy.aws import Session
from pixelserve_deploy.batch.errand import Errand, JobErrand, send_each
from pixelserve_deploy.batch.here import show_end
from pixelserve_deploy.batch.jobs import POLL_SECONDS, JobGoesOn, Jobs, Machines
from pixelserve_deploy.batch.pricing import forecast_jobs
from pixelserve_deploy.batch.store import Prefix, open_prefix
from pixelserve_deploy.calls import (
    AT_ONCE,
    ENDINGS,
    TRIES,
    Choice,
    Choose,
    Described,
    Way,
    build_body,
    choose_accept,
    choose_type,
    choose_way,
    describe_choice,
    describe_load,
    list_items,
    load_of,
    look_up,
    select_undone,
    send_async,
    send_here,
    send_realtime,
    write_record,
    writer_of,
)
from pixelserve_deploy.deployment import INSTANCE, Mode, Status, find_output
from pixelserve_deploy.errors import UsageError

ASYNC_POLL = 2.0
"""Seconds between two looks for an answer."""


def send_files(arguments: argparse.Namespace, options: Mapping[str, Any], choose: Choose, stop: Stop) -> int:
    """Sends the files of a command line of `invoke`; the exit code. `options` are fields of every request,
    `choose` gives an endpoint that is started here its weights.
    """
    items = stop.run_aside(lambda: list_items(arguments.files))
    session = Session(arguments.region, arguments.profile) if arguments.aws else None
    found = look_up(session, arguments.endpoint, console.say, arguments.target_model) if session else None
    accept = arguments.accept or choose_accept((found and found.feature) or arguments.endpoint, is_picture=True)
    target, ending = Folder(arguments.output), ENDINGS.get(essence(accept), ".out")

    def build(data: bytes, name: str) -> tuple[bytes, dict[str, str]]:
        kind = choose_type(arguments.content_type, data, name)
        return build_body([data], kind, options, accept, as_it_is=bool(arguments.content_type))

    undone = stop.run_aside(lambda: select_undone(items, target, ending, overwrite=arguments.overwrite))
    errand = Errand(undone, target, ending, build, arguments.concurrency or AT_ONCE)
    report = JobReport()
    if undone and session and found:
        try:
            report = _send_to_aws(arguments, errand, session, found, accept, stop)
        except JobGoesOn as error:
            console.print_error("pixelserve invoke", error.message)
            return int(Status.RUNNING)
    elif undone:
        with ExitStack() as stack:
            report = send_each(
                errand, send_here(arguments.endpoint, choose, stack, stop, anew=bool(arguments.weights)), stop
            )
    report.skipped = len(items) - len(undone)
    summary = write_record(writer_of(target), report, {"endpoint": arguments.endpoint, "output": str(target)})
    code = show_end(report, "done")
    if arguments.json:
        print(json.dumps({**summary, "failures": report.failures}))
    return code


def _send_to_aws(
    arguments: argparse.Namespace, errand: Errand, session: Session, found: Described, accept: str, stop: Stop
) -> JobReport:
    """By the way that suits, which is told before. Raises BadRequest where none does."""
    load = load_of([item.size for item in errand.items], found.feature, arguments.seconds)
    place = arguments.s3
    if not place and found.mode is Mode.ASYNC:  # where the role of a stack of ours may read
        place = find_output(session.client("cloudformation"), found.name, "Requests")
    store = open_prefix(session.client("s3"), place) if place else None
    if arguments.way:
        choice = Choice(Way(arguments.way), f"{describe_load(load)}; you asked for it")
    else:
        choice = choose_way(load, found.mode, has_store=store is not None)
    for line in describe_choice(choice, found, session.region):
        console.say(line)
    if choice.way is Way.REALTIME:
        send = send_realtime(
            found.name,
            arguments.region,
            arguments.profile,
            connections=errand.concurrency,
            tries=TRIES,
            target=arguments.target_model,
        )
        return send_each(errand, send, stop)
    if arguments.target_model:
        raise UsageError("--target-model goes with real time: neither InvokeEndpointAsync nor a batch job takes it")
    if store is None:
        raise UsageError(f"--way {choice.way} takes the images by way of S3: give --s3 s3://BUCKET/PREFIX/")
    if choice.way is Way.ASYNC:
        poll = arguments.poll or ASYNC_POLL
        return send_each(errand, send_async(found.name, session, store.bucket, store.key, stop, poll), stop)
    return _send_as_jobs(
        arguments, errand, session, found, Machines(found.instance or INSTANCE, accept=accept), store, stop
    )


def _send_as_jobs(
    arguments: argparse.Namespace,
    errand: Errand,
    session: Session,
    found: Described,
    machines: Machines,
    store: Prefix,
    stop: Stop,
) -> JobReport:
    """By batch jobs, after the plan was told and agreed to."""
    if arguments.set or arguments.scale:
        raise UsageError("a batch job has no fields: leave out --set and --scale, or give --way")
    if not found.model:
        raise BadRequest(f"A batch job needs the model of {found.name}, which could not be looked up. Allow the look.")
    if found.obstacle:
        raise BadRequest(found.obstacle)
    console.say(f"Its role has to read and write {store}: the one that `deploy` makes may not, unless you allow it.")
    work = stop.run_aside(lambda: JobErrand(errand, store, found.model, machines))
    jobs = Jobs(session, work.inputs, work.outputs, console.say, stop, arguments.poll or POLL_SECONDS)
    jobs.settle()
    order = work.order()
    seconds = None if arguments.seconds is None else Decimal(str(arguments.seconds))
    for line in forecast_jobs(order, found.feature, session.region, machines.instance, seconds=seconds).list_lines():
        console.say(line)
    if order.shards and not arguments.yes and not console.confirm("Start?", stop):
        raise BadRequest("The answer was no; nothing was started.")
    return work.run(found.name, order, jobs, stop)
