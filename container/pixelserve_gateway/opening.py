"""Opens what a gateway works with, and runs what is done outside requests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from pixelserve.observe import tracing
from pixelserve_gateway.auth import Auth, mode_of
from pixelserve_gateway.calls import Calls
from pixelserve_gateway.desk import Desk
from pixelserve_gateway.functions import Functions
from pixelserve_gateway.jobs import OpenJobs, Phrase, open_jobs
from pixelserve_gateway.runtime import Runtime
from pixelserve_gateway.services import Signer, service_url
from pixelserve_gateway.settings import GatewaySettings


@dataclass(frozen=True)
class Office:
    """A gateway's parts, from start to end."""

    desk: Desk
    jobs: OpenJobs
    runtime: Runtime
    functions: Functions | None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Jobs are worked on until the block ends; then everything is closed."""
        stop = asyncio.Event()
        ticking = asyncio.create_task(self.jobs.ticker.run(stop))
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(ticking, return_exceptions=True)
            await self.runtime.close()
            if self.functions is not None:
                await self.functions.close()
            await self.jobs.close()
            await asyncio.to_thread(tracing.flush)


def open_office(settings: GatewaySettings, phrases: Mapping[str, Phrase]) -> Office:
    """All parts as the settings say; `phrases` are the bodies of webhooks by dialect.

    Raises Unavailable where AWS or the store of jobs cannot be used, BadRequest for a place that is none.
    """
    runtime, functions = _connect(settings), _connect_functions(settings)
    calls = Calls(runtime, settings, functions=functions)
    jobs = open_jobs(settings, calls, phrases)
    auth = Auth(mode_of(settings), jobs.store, jobs.service.threads)
    return Office(Desk(settings, calls, auth, jobs), jobs, runtime, functions)


def _connect(settings: GatewaySettings) -> Runtime:
    if settings.runtime:
        return Runtime(settings.runtime)
    return Runtime(service_url("sagemaker-runtime", settings.region), Signer("sagemaker", settings.region))


def _connect_functions(settings: GatewaySettings) -> Functions | None:
    if not settings.functions:
        return None
    return Functions(service_url("lambda", settings.region), Signer("lambda", settings.region))
