"""Opens what a gateway works with: the runtime, the store of jobs and keys, the results, the ticker."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pixelserve.features import feature
from pixelserve.storage import place
from pixelserve_gateway.auth import Auth, mode_of
from pixelserve_gateway.calls import Call, Calls
from pixelserve_gateway.desk import Desk
from pixelserve_gateway.jobs import (
    DynamoDBStore,
    EndpointCaller,
    JobFiles,
    JobService,
    JobStore,
    Phrase,
    Queue,
    Rules,
    Sender,
    SQLiteStore,
    Threads,
    Ticker,
    kept_secret,
)
from pixelserve_gateway.results import Results
from pixelserve_gateway.runtime import Runtime, Signer, service_url
from pixelserve_gateway.settings import GatewaySettings
from pixelserve_gateway.uploads import Uploads

DYNAMODB = "dynamodb:"
SWEEP_SECONDS = 600.0
"""Between two looks for uploads whose time is over."""


@dataclass(frozen=True)
class Office:
    """A gateway's parts, from start to end."""

    desk: Desk
    ticker: Ticker
    runtime: Runtime
    store: JobStore
    threads: Threads

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Jobs are worked on until the block ends; then everything is closed."""
        stop = asyncio.Event()
        ticking, sweeping = asyncio.create_task(self.ticker.run(stop)), asyncio.create_task(self._sweep())
        try:
            yield
        finally:
            stop.set()
            sweeping.cancel()
            await asyncio.gather(ticking, sweeping, return_exceptions=True)
            await self.runtime.close()
            self.threads.close()
            self.store.close()

    async def _sweep(self) -> None:
        while True:
            await self.threads.run(self.desk.uploads.remove_old)
            await asyncio.sleep(SWEEP_SECONDS)


def open_office(settings: GatewaySettings, phrases: Mapping[str, Phrase]) -> Office:
    """All parts as the settings say; `phrases` are the bodies of webhooks by dialect.

    Raises SettingsError, Unavailable where AWS or the store cannot be used.
    """
    mode, store, threads = mode_of(settings), open_store(settings), Threads()
    runtime = _connect(settings)
    calls = Calls(runtime, settings)
    results = Results(
        place(settings.results or str(_folder(settings) / "results")),
        kept_secret(store, "links"),
        most_bytes=max(settings.max_answer_bytes, settings.max_body_bytes),
    )
    jobs = JobService(store, JobFiles(results), Rules(kept=settings.kept_seconds), threads)
    caller = EndpointCaller(
        calls,
        Call.load,
        lambda name: calls.is_asynchronous(feature(name)),
        place(settings.async_outputs) if settings.async_outputs else None,
        most_bytes=settings.max_answer_bytes,
    )
    source = Queue(settings.result_events) if settings.result_events else None
    ticker = Ticker(jobs, caller, Sender(allow_private=settings.allow_private_webhooks), phrases, source)
    uploads = Uploads(results, most_bytes=settings.max_body_bytes, seconds=settings.upload_seconds)
    desk = Desk(settings, calls, Auth(mode, store, threads), jobs, ticker, results, uploads, threads)
    return Office(desk, ticker, runtime, store, threads)


def open_store(settings: GatewaySettings) -> JobStore:
    """The store of jobs and keys that the settings name. Raises Unavailable."""
    if settings.state.startswith(DYNAMODB):
        return DynamoDBStore(settings.state.removeprefix(DYNAMODB))
    return SQLiteStore(_folder(settings) / "gateway.sqlite")


def _folder(settings: GatewaySettings) -> Path:
    """The state's folder: the one named, else pixelserve/gateway below XDG_STATE_HOME."""
    if settings.state and not settings.state.startswith(DYNAMODB):
        return Path(settings.state).expanduser().resolve()
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "pixelserve" / "gateway"


def _connect(settings: GatewaySettings) -> Runtime:
    if settings.runtime:
        return Runtime(settings.runtime)
    return Runtime(service_url(settings.region), Signer(settings.region))
