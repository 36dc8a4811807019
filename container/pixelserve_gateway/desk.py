"""What a dialect is given: who calls, features called now or as jobs, uploads, and links to results."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request

from pixelserve.errors import BadRequest, NotFound
from pixelserve_gateway.auth import Auth
from pixelserve_gateway.calls import Call, Calls, Result
from pixelserve_gateway.edge import while_there
from pixelserve_gateway.jobs import (
    Job,
    JobState,
    OpenJobs,
    Order,
    UploadForm,
    Webhook,
    keep,
    kept_secret,
    webhook_secret,
)
from pixelserve_gateway.results import StoredObject
from pixelserve_gateway.room import Room
from pixelserve_gateway.seals import Seals
from pixelserve_gateway.settings import GatewaySettings

_SHARE = 4
"""What requests name has a quarter of the room that bodies have."""
DIRECT_SECONDS = 300
"""For which S3 gives a result by itself, from the opening of its link."""


@dataclass(frozen=True)
class JobWish:
    """How a job is asked for. `key` is the tenant's name of the request, `body` tells it from others of that key.

    `data` is what the dialect wants back with the job, `notify` the URL of a webhook and `schedule` how it is tried.
    """

    dialect: str
    body: bytes
    key: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    notify: str = ""
    schedule: str = "native"


@dataclass(frozen=True)
class Download:
    """An object on its way, in `pieces`, so that no slow reader has all of it held; `size` is that of the whole."""

    pieces: AsyncIterator[bytes]
    size: int
    media_type: str


class Desk:
    """One for each gateway, for all its dialects."""

    def __init__(self, settings: GatewaySettings, calls: Calls, auth: Auth, jobs: OpenJobs) -> None:
        self.settings = settings
        self.calls = calls
        self.auth = auth
        self.jobs = jobs.service
        self.uploads = jobs.uploads
        self.seals = Seals(kept_secret(jobs.store, "seals"))
        self._ticker = jobs.ticker
        self._results = jobs.results
        self._threads = jobs.service.threads
        self._room = Room(max(settings.body_room // _SHARE, calls.most_bytes))

    async def invoke(self, request: Request, call: Call) -> Result:
        """The call's answer, now. Raises the endpoint's errors as ours, ClientGone."""
        state = request.state
        return await while_there(request, self.calls.invoke(call, request_id=state.request_id, trace=state.trace))

    async def submit(self, request: Request, tenant: str, call: Call, wish: JobWish) -> Job:
        """The accepted job. Raises what does not fit before anything is kept, Conflict for a key used otherwise."""
        await asyncio.to_thread(self.calls.check, call, as_job=True)
        order = Order(
            tenant=tenant,
            dialect=wish.dialect,
            call=keep(call),
            data={"base": self.base_url(request), **wish.data},
            key=wish.key,
            body_hash=hashlib.sha256(wish.body).hexdigest(),
            webhook=Webhook(wish.notify, wish.schedule) if wish.notify else None,
            trace=request.state.trace,
        )
        job = await self.jobs.submit(order)
        await self._ticker.start(job)
        return job

    async def wait(self, request: Request, tenant: str, job_id: str, seconds: float) -> Job:
        """`JobService.wait`, for as long as the caller does. Raises NotFound, ClientGone."""
        return await while_there(request, self.jobs.wait(tenant, job_id, seconds))

    def base_url(self, request: Request) -> str:
        """What absolute links begin with, without a slash at its end."""
        return (self.settings.public_url or str(request.base_url)).rstrip("/")

    def link(self, job: Job) -> str:
        """The absolute URL, signed and expiring, of a finished job's result."""
        assert job.result is not None
        expires = min(self.jobs.clock() + self.settings.link_seconds, job.expires)
        return f"{job.data['base']}{self._results.link(job.result.name, expires)}"

    async def find_upload(self, tenant: str, upload_id: str) -> StoredObject:
        """`Uploads.find` on a thread."""
        return await self._threads.files(self.uploads.find, tenant, upload_id)

    async def find_image(self, tenant: str, image_id: str) -> StoredObject:
        """The tenant's upload of that id, or the result of the job. Raises NotFound, BadRequest."""
        try:
            return await self.find_upload(tenant, image_id)
        except NotFound as error:
            not_uploaded = error
        try:
            job = await self.jobs.get(tenant, image_id)
        except NotFound:
            raise not_uploaded from None
        if job.state is not JobState.SUCCEEDED:
            raise BadRequest(f"Job {job.id} has no result that could be an input: it is {job.state}.")
        assert job.result is not None
        return await self._threads.files(self._results.find, job.result.name)

    @contextlib.asynccontextmanager
    async def reading(self, request: Request, tenant: str, *found: StoredObject) -> AsyncIterator[list[bytes]]:
        """The bytes of the stored images of a tenant's call, for which there is room until the block ends.

        Raises BodyTooLarge for more than an endpoint takes, Unavailable where no room gets free, NotFound, ClientGone.
        """
        if not found:
            yield []
            return
        size = sum(image.size for image in found)
        self.calls.check_size(size)
        await while_there(request, self._room.take(tenant, size))
        try:
            yield [await self._threads.files(self._results.read_found, image) for image in found]
        finally:
            self._room.give_back(size)

    async def open_link(self, request: Request) -> Download | str:
        """The object of a link to a result, or the URL at which S3 gives it.

        Raises BadRequest, NotFound.
        """
        path, query = request.scope["raw_path"].decode("ascii"), request.scope["query_string"].decode("latin-1")
        name = self._results.open_link(path, query, self.jobs.clock())
        direct = await self._threads.files(self._results.direct_url, name, DIRECT_SECONDS)
        if direct is not None:
            return direct
        opened = contextlib.ExitStack()
        pieces, size, media_type = await self._threads.files(opened.enter_context, self._results.open(name))
        return Download(self._read_pieces(opened, pieces), size, media_type)

    async def _read_pieces(self, opened: contextlib.ExitStack, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
        with opened:
            while piece := await self._threads.files(next, pieces, b""):
                yield piece

    async def webhook_secret(self, tenant: str) -> str:
        """What the tenant's webhooks are signed with, as Standard Webhooks writes it."""
        secret = await self._threads.write_now(webhook_secret, self.jobs.store, tenant)
        return f"whsec_{base64.b64encode(secret).decode()}"

    async def begin_upload(self, request: Request, tenant: str, path: str) -> UploadForm:
        """How to send the file of a new upload; `path`, a slash and the upload's id are our own route for it."""
        return await self._threads.files(self.uploads.form, tenant, f"{self.base_url(request)}{path}")

    async def store_upload(self, tenant: str, upload_id: str, content: bytes) -> None:
        """`Uploads.write` on a thread."""
        await self._threads.files(self.uploads.write, tenant, upload_id, content)
