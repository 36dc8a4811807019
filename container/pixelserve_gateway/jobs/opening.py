"""The jobs of a gateway, put together from its settings."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pixelserve.storage import place
from pixelserve_gateway.calls import Call, Calls
from pixelserve_gateway.jobs.calling import EndpointCaller, KeptCall
from pixelserve_gateway.jobs.cleaning import Cleaner
from pixelserve_gateway.jobs.dynamodb import DynamoDBStore
from pixelserve_gateway.jobs.events import Queue
from pixelserve_gateway.jobs.files import JOBS, JobFiles
from pixelserve_gateway.jobs.rules import Rules
from pixelserve_gateway.jobs.secret import kept_secret
from pixelserve_gateway.jobs.service import JobService
from pixelserve_gateway.jobs.sqlite import SQLiteStore
from pixelserve_gateway.jobs.store import JobStore
from pixelserve_gateway.jobs.threads import Threads
from pixelserve_gateway.jobs.tick import Ticker
from pixelserve_gateway.jobs.uploads import UPLOADS, Uploads
from pixelserve_gateway.jobs.webhooks import Phrase, Sender
from pixelserve_gateway.results import Results
from pixelserve_gateway.settings import GatewaySettings

DATABASE = "jobs.sqlite"
_FOLDER = "results"


@dataclass(frozen=True)
class OpenJobs:
    """What requests, loop and Lambda need. `ticker.run` is to be started where a process stays alive."""

    store: JobStore
    results: Results
    uploads: Uploads
    service: JobService
    ticker: Ticker

    async def close(self) -> None:
        """Lets go of threads and store. The loop has ended by then."""
        await asyncio.to_thread(self.service.threads.close)
        self.store.close()


def open_store(settings: GatewaySettings) -> JobStore:
    """The store: a DynamoDB table if one is named, else a file in the state folder. Raises Unavailable."""
    if settings.table:
        return DynamoDBStore(settings.table)
    return SQLiteStore(Path(settings.state).expanduser() / DATABASE)


def open_jobs(settings: GatewaySettings, calls: Calls, phrases: Mapping[str, Phrase]) -> OpenJobs:
    """The jobs, which make their calls through `calls`; `phrases` are the bodies of webhooks by dialect.

    Raises Unavailable for a store that does not work, BadRequest for a place that is none.
    """
    store = open_store(settings)
    results = Results(
        place(settings.results or str(Path(settings.state).expanduser() / _FOLDER)),
        kept_secret(store, "links"),
        most_bytes=settings.max_result_bytes,
    )
    most_bytes = min(settings.max_body_bytes, calls.most_bytes)
    uploads = Uploads(results, most_bytes=most_bytes, seconds=settings.upload_seconds)
    rules = Rules(
        unfinished=settings.job_seconds,
        kept=settings.kept_seconds,
        calls=settings.job_calls,
        open_jobs=settings.tenant_jobs,
    )
    files, threads = JobFiles(results), Threads()
    service = JobService(store, files, rules, threads)
    outputs = place(settings.async_outputs) if settings.async_outputs else None
    caller = EndpointCaller(calls, outputs, threads, most_bytes=settings.max_result_bytes)
    sender = Sender(allow_private=settings.webhook_allow_private)
    queue = Queue(settings.queue) if settings.queue else None
    cleaner = Cleaner(results, threads, {JOBS: partial(files.is_orphan, store), UPLOADS: uploads.is_old})
    ticker = Ticker(service, caller, sender, phrases, queue, cleaner)
    return OpenJobs(store, results, uploads, service, ticker)


def keep(call: Call) -> KeptCall:
    """The call as a job keeps it."""
    return KeptCall(call.feature.name, call.dump(), call.body)
