"""Files of this machine and a folder for their answers, by whichever way: requests one by one, or jobs by way of S3."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pixelserve.local import JobReport
from pixelserve.processes import Stop
from pixelserve.storage import Place
from pixelserve_deploy import console
from pixelserve_deploy.batch.here import show_outcome
from pixelserve_deploy.batch.jobs import Jobs, Machines
from pixelserve_deploy.batch.shards import OUT, Order, make_order
from pixelserve_deploy.batch.store import Prefix
from pixelserve_deploy.calls import Item, Send, send_items
from pixelserve_deploy.upload import digest_file

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


class JobErrand:
    """An errand through jobs: in the store an image is called by its content, so that what is there is its own.

    The answers of another model, or of another type, lie in a folder of their own.
    """

    def __init__(self, errand: Errand, store: Prefix, model: str, machines: Machines) -> None:
        self._errand = errand
        self._model = model
        self._machines = machines
        self.inputs = store.below(INPUTS)
        self.outputs = store.below(
            f"{OUTPUTS}{hashlib.sha256(f'{model} {machines.accept}'.encode()).hexdigest()[:12]}/"
        )
        self._keys = {item.name: digest_file(item.path) for item in errand.items}

    def order(self) -> Order:
        """What there is to do, but for what the outputs have already."""
        sizes = {self._keys[item.name]: item.size for item in self._errand.items}
        return make_order(sizes, self.outputs.list(), LARGEST)

    def run(self, name: str, order: Order, jobs: Jobs, stop: Stop) -> JobReport:
        """Uploads, follows the jobs, and fetches the answers. Raises JobGoesOn on Ctrl-C, and AwsError."""
        paths = {self._keys[item.name]: item.path for item in self._errand.items}
        keys = [key for shard in order.shards for key in shard.names]
        with console.show_items() as show:
            self.inputs.upload([(key, paths[key]) for key in keys], show, stop)
        jobs.run(name, self._model, self._machines, order)
        report = JobReport()
        for item in self._errand.items:
            stop.check()
            key = self._keys[item.name]
            if key in order.report.failures:
                report.failures[item.name] = order.report.failures[key]
                continue
            answer, content_type = self.outputs.read(key + OUT)
            self._errand.target.write(item.name + self._errand.ending, io.BytesIO(answer), content_type)
            report.done += 1
        return report
