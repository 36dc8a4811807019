"""Files of this machine and a folder for their answers, by whichever way: requests one by one, or jobs by way of S3."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

from pixelserve.local import JobReport
from pixelserve.processes import Stop
from pixelserve.storage import Place
from pixelserve_deploy import console
from pixelserve_deploy.batch.here import show_outcome
from pixelserve_deploy.batch.jobs import Jobs, Machines
from pixelserve_deploy.batch.shards import OUT, Order, make_order
from pixelserve_deploy.batch.store import Prefix
from pixelserve_deploy.calls import Item, Send, send_items

LARGEST = 100_000_000
"""Bytes of an image at most: MaxPayloadInMB of CreateTransformJob."""
INPUTS, OUTPUTS = "inputs/", "outputs/"


@dataclass(frozen=True)
class Errand:
    """`items` are those without an answer; that of each goes to `target` as its name and `ending`."""

    items: Sequence[Item]
    target: Place
    ending: str
    build: Callable[[bytes, str], tuple[bytes, dict[str, str]]]
    """Body and headers of the request of a file, by its bytes and name."""
    concurrency: int


def send_each(errand: Errand, send: Send, stop: Stop) -> JobReport:
    """Every file as a request. Raises what `send_items` raises."""
    with console.show_items() as show:
        return send_items(
            errand.items,
            errand.target,
            errand.ending,
            lambda data, name: send(*errand.build(data, name)),
            errand.concurrency,
            lambda outcome: show_outcome(outcome, show),
            stop,
        )


def order_jobs(errand: Errand, store: Prefix) -> Order:
    """What jobs have to do for the files, but for what lies in the store's outputs already."""
    return make_order({_flatten(item.name): item.size for item in errand.items}, store.below(OUTPUTS).list(), LARGEST)


def _flatten(name: str) -> str:
    """The name in the store: all images lie in one folder there, so that one job takes them."""
    return quote(name, safe="")


def send_as_jobs(
    errand: Errand, order: Order, name: str, model: str, machines: Machines, jobs: Jobs, stop: Stop
) -> JobReport:
    """Every file through jobs with a model that is there. Raises JobGoesOn on Ctrl-C, and AwsError.

    Images and answers stay in the store, so that the same command goes on where it ended.
    """
    paths = {_flatten(item.name): item.path for item in errand.items}
    names = [name for shard in order.shards for name in shard.names]
    with console.show_items() as show:
        jobs.source.upload([(name, paths[name]) for name in names], show, stop)
    jobs.run(name, model, machines, order)
    report = JobReport(failures={unquote(name): error for name, error in order.report.failures.items()})
    for item in errand.items:
        stop.check()
        if item.name not in report.failures:
            answer, content_type = jobs.target.read(_flatten(item.name) + OUT)
            errand.target.write(item.name + errand.ending, io.BytesIO(answer), content_type)
            report.done += 1
    return report
