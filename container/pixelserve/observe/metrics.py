"""Prometheus metrics, summed over all processes of one server.

prometheus_client shares values through files in PROMETHEUS_MULTIPROC_DIR, which it reads when it is imported: `prepare`
sets it before the first `Metrics` is made.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from pathlib import Path

from pixelserve.machine import memory_folder
from pixelserve.observe.networks import ServedNetwork, announced

with contextlib.suppress(ImportError):  # Windows, where no server runs
    import fcntl

logger = logging.getLogger("pixelserve.metrics")

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
_OWN = "pixelserve-metrics-"
"""Names of our own folders begin so: the processes that write to one are of one machine, which knows who has ended."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
NETWORK = "pixelserve_network"
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


@contextlib.contextmanager
def prepare() -> Iterator[None]:
    """The folder that the processes share: a new one in that which is set already, else in memory where there is some.

    A server that a front has started shares the front's.
    """
    given = os.environ.get(DIRECTORY, "")
    if Path(given).name.startswith(_OWN):
        yield
        return
    with tempfile.TemporaryDirectory(prefix=_OWN, dir=given or memory_folder()) as folder:
        os.environ[DIRECTORY] = folder
        yield
        del os.environ[DIRECTORY]
        if given:
            os.environ[DIRECTORY] = given


class Metrics:
    """The counters of one process, and which networks it has loaded by now."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values

        pid = os.getpid()  # asked for on every observation otherwise
        values.ValueClass = values.MultiProcessValue(lambda: pid)  # type: ignore[no-untyped-call]
        registry = CollectorRegistry()
        self._requests = Counter("pixelserve_requests", "Requests answered", ["status"], registry=registry)
        self._seconds = Histogram("pixelserve_request_seconds", "Whole request", registry=registry, buckets=BUCKETS)
        self._stages = Histogram(
            "pixelserve_stage_seconds", "One stage of a request", ["stage"], registry=registry, buckets=BUCKETS
        )
        self._batch = Histogram(
            "pixelserve_batch_size", "Requests predicted together", registry=registry, buckets=(1, 2, 4, 8, 16, 32)
        )
        self._held = Gauge(
            "pixelserve_requests_held", "Waiting or in work", registry=registry, multiprocess_mode="livesum"
        )
        self._workers_lost = Counter("pixelserve_workers_lost", "Worker processes that ended", registry=registry)
        labels = [field.name for field in fields(ServedNetwork)]
        networks = Gauge(NETWORK, "A network that serves: 1", labels, registry=registry, multiprocess_mode="livemax")
        for network in announced():
            networks.labels(**asdict(network)).set(1)
        self._by_status: dict[int, Counter] = {}
        self.queue_seconds: Callable[[float], None] = self.stage("queue")
        self.batch_size: Callable[[float], None] = self._batch.observe
        self.worker_lost: Callable[[], None] = self._workers_lost.inc
        self.held: Callable[[float], None] = self._held.set

    def stage(self, name: str) -> Callable[[float], None]:
        """The function that records a stage's seconds."""
        observe: Callable[[float], None] = self._stages.labels(name).observe
        return observe

    def request(self, status: int, seconds: float) -> None:
        """Counts an answered request."""
        self.answered(status)
        self._seconds.observe(seconds)

    def answered(self, status: int) -> None:
        """Counts an answer, whose request may not have come whole."""
        counter = self._by_status.get(status)
        if counter is None:
            counter = self._by_status[status] = self._requests.labels(str(status))
        counter.inc()


def render() -> bytes:
    """The metrics of all processes in Prometheus' text format. It reads files: for a thread."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    fold_ended()
    registry = CollectorRegistry()
    with _locked(fcntl.LOCK_SH):
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


def fold_ended() -> None:
    """Adds up in one file each what processes that have ended had counted, and drops their gauges.

    What cannot be done now, since somebody reads them or there is no memory for it, is done the next time.
    """
    try:
        with _locked(fcntl.LOCK_EX | fcntl.LOCK_NB) as folder:
            files = [file for file in folder.glob("*_*.db") if _has_ended(file)]
            for file in sorted(files, key=lambda file: not file.name.startswith("gauge")):  # they make room
                _fold(file)
    except OSError:
        pass
    except Exception:
        logger.exception("what processes that have ended had counted could not be added up")


def _has_ended(file: Path) -> bool:
    """Whether the process has ended whose file it is."""
    _, _, owner = file.stem.rpartition("_")
    return owner.isdigit() and not Path("/proc", owner).exists()


def _fold(file: Path) -> None:
    """Moves what a process that has ended had counted into the file of all these. Raises OSError."""
    kind, _, _ = file.stem.rpartition("_")
    total = file.with_name(f"{kind}_ended.db")
    if kind.startswith("gauge") or not _used_bytes(file):  # or it ended as it made its file
        file.unlink()
    elif not total.exists():
        file.rename(total)
    else:
        _add(file, total)
        file.unlink()


def _add(file: Path, to: Path) -> None:
    """Adds the values of one of prometheus_client's files to another's. Raises OSError, and adds nothing then."""
    from prometheus_client.mmap_dict import MmapedDict

    values = list(MmapedDict.read_all_values_from_file(file))  # type: ignore[no-untyped-call]
    with to.open("r+b") as total:  # a mapped page for which there is no memory would end this process
        os.posix_fallocate(total.fileno(), 0, _used_bytes(to) + _used_bytes(file))
    with contextlib.closing(MmapedDict(to)) as total:  # type: ignore[no-untyped-call]
        for key, value, *_ in values:
            total.write_value(key, total.read_value(key)[0] + value, 0.0)  # type: ignore[no-untyped-call]


def _used_bytes(file: Path) -> int:
    """How much of one of prometheus_client's files has values: the number that it begins with."""
    with file.open("rb") as opened:
        return int.from_bytes(opened.read(4), sys.byteorder)


@contextlib.contextmanager
def _locked(operation: int) -> Iterator[Path]:
    """The folder, which is not changed while it is read. Raises OSError where it cannot be locked."""
    folder = Path(os.environ[DIRECTORY])
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, operation)
        yield folder
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # also where a child of the handler's has the descriptor
        os.close(descriptor)


def read_networks(text: str) -> list[ServedNetwork]:
    """The networks that metrics in Prometheus' text format tell of."""
    from prometheus_client.parser import text_string_to_metric_families

    families = text_string_to_metric_families(text)
    return [
        ServedNetwork(**sample.labels) for family in families if family.name == NETWORK for sample in family.samples
    ]
