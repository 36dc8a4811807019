"""A gateway of jobs alone, which dies where it is told to: `python gateway_process.py JSON`.

    fd        the listening socket that it inherits
    store     the path of an SQLite file, or the name of a DynamoDB table
    results   the folder of the results
    backend   the URL of the SageMaker Runtime API
    outputs   the folder of asynchronous outputs, or null: the endpoint is a real-time one
    loops     whether it ticks by itself; else POST /tick does
    dies      [a POINT, how many times it is passed until the process kills itself with SIGKILL there], or null

POST /jobs (Idempotency-Key; X-Notify; the body) answers the job's id, GET /jobs all jobs, and GET /jobs/ID one.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from pixelserve.errors import PixelserveError
from pixelserve.storage import Folder
from pixelserve_gateway.jobs import (
    Delivery,
    DynamoDBStore,
    Job,
    JobFiles,
    JobService,
    JobStore,
    KeptCall,
    Look,
    Order,
    Output,
    OutputPlaces,
    Rules,
    Sender,
    SQLiteStore,
    StoredResult,
    Threads,
    Ticker,
    Webhook,
    webhooks,
)
from pixelserve_gateway.results import Results

POINTS = ("input", "accepted", "run", "result", "ended", "callback", "called")
"""Where it can die: the input is stored; the job is, but not answered; its call is in work; the result is stored, but
the job does not say so; it does; its callback is in the log, but not made; it is made, but its outcome not logged."""


class Death:
    """Comes when a point has been passed often enough."""

    def __init__(self, dies: list[Any] | None) -> None:
        self.point, self.left = dies or ("", 0)

    def at(self, point: str) -> None:
        if point == self.point:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def open_store(where: str, death: Death) -> JobStore:
    """The store, which dies after an `add` and after a `replace` that ended a job."""
    kind: type[Any] = SQLiteStore if "/" in where else DynamoDBStore

    class Dying(kind):  # type: ignore[misc]
        def add(self, job: Job) -> Job | None:
            added: Job | None = super().add(job)
            death.at("accepted")
            return added

        def replace(self, job: Job) -> Job | None:
            replaced: Job | None = super().replace(job)
            if job.state.is_terminal and job.webhook and not job.webhook.deliveries:
                death.at("ended")
            return replaced

    store: JobStore = Dying(Path(where) if "/" in where else where)
    return store


class DyingFiles(JobFiles):
    def __init__(self, results: Results, death: Death) -> None:
        super().__init__(results)
        self._death = death

    def write_input(self, job: Job, body: bytes) -> None:
        super().write_input(job, body)
        self._death.at("input")

    def write_result(self, job: Job, output: Output) -> StoredResult:
        result = super().write_result(job, output)
        self._death.at("result")
        return result


class DyingSender(Sender):
    def __init__(self, death: Death) -> None:
        super().__init__(allow_private=True)
        self._death = death

    async def send(self, job: Job, body: str, secret: bytes, now: float) -> Delivery:
        self._death.at("callback")
        delivery = await super().send(job, body, secret, now)
        self._death.at("called")
        return delivery


class Backend:
    """A Caller of the one endpoint."""

    def __init__(self, url: str, outputs: str | None, death: Death) -> None:
        self._outputs = Folder(Path(outputs)) if outputs else None
        self._client = httpx.AsyncClient(base_url=url, timeout=30, trust_env=False)
        self._death = death

    def is_asynchronous(self, feature: str) -> bool:
        return self._outputs is not None

    async def invoke(self, job: Job, call: KeptCall) -> Output:
        asyncio.get_running_loop().call_later(0.1, self._death.at, "run")
        answer = await self._client.post(f"/endpoints/{job.feature}/invocations", content=call.body)
        answer.raise_for_status()
        return Output(answer.content, answer.headers["content-type"])

    async def start(self, job: Job, call: KeptCall, input_url: str) -> OutputPlaces:
        answer = await self._client.post(f"/endpoints/{job.feature}/async-invocations", content=call.body)
        answer.raise_for_status()
        self._death.at("run")
        return OutputPlaces(answer.headers["x-amzn-sagemaker-outputlocation"], "")

    async def look(self, job: Job, places: OutputPlaces) -> Look:
        name = self._name(places)
        if name not in self._folder.names():
            return Look()
        return Look(output=Output(self._folder.read(name, 1_000)[0], "image/png"))

    async def forget(self, places: OutputPlaces) -> None:
        self._folder.remove(self._name(places))

    @property
    def _folder(self) -> Folder:
        assert self._outputs is not None
        return self._outputs

    def _name(self, places: OutputPlaces) -> str:
        name = self._folder.name_of(places.output)
        assert name is not None
        return name


def phrase(job: Job) -> str:
    return json.dumps({"id": job.id, "state": job.state, "result": job.result and job.result.name})


class App:
    """The ASGI application."""

    def __init__(self, jobs: JobService, ticker: Ticker, results: Results) -> None:
        self._jobs = jobs
        self._ticker = ticker
        self._results = results

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        try:
            status, answer = 200, await self._answer(scope["method"], scope["path"], headers, body)
        except PixelserveError as error:
            status, answer = error.status, error.body("")
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    async def _answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        if path == "/tick":
            return await self._ticker.tick(time.time())
        if method == "POST":
            job = await self._jobs.submit(
                Order(
                    "tenant",
                    "native",
                    KeptCall("upper", {"content_type": "image/png"}, body),
                    key=headers["idempotency-key"],
                    body_hash=hashlib.sha256(body).hexdigest(),
                    webhook=Webhook(headers["x-notify"], "native"),
                )
            )
            return self._shown(job)
        if path == "/jobs":
            jobs, cursor = [], None
            while True:
                page = await self._jobs.list_jobs("tenant", cursor=cursor, limit=100)
                jobs += page.jobs
                cursor = page.cursor
                if cursor is None:
                    return [self._shown(job) for job in jobs]
        job = await self._jobs.get("tenant", path.removeprefix("/jobs/"))
        content = await self._jobs.threads.files(self._results.read, job.result.name) if job.result else (b"", "")
        return self._shown(job) | {"content": content[0].decode()}

    def _shown(self, job: Job) -> dict[str, Any]:
        hook = job.webhook
        assert hook is not None
        result = job.result and job.result.name
        return {
            "id": job.id,
            "state": job.state,
            "result": result,
            "is_told": hook.delivered,
            "is_over": hook.due is None,
        }


async def main(options: dict[str, Any]) -> None:
    death = Death(options["dies"])
    webhooks.SCHEDULES["native"] = webhooks.Schedule(2.0, (0.2,) * 50, lambda status: status == 200)
    store = open_store(options["store"], death)
    results = Results(Folder(Path(options["results"])), b"secret", most_bytes=1_000_000)
    jobs = JobService(store, DyingFiles(results, death), Rules(lease=1.0, calls=8, poll=0.2), Threads())
    ticker = Ticker(
        jobs, Backend(options["backend"], options["outputs"], death), DyingSender(death), {"native": phrase}
    )
    server = uvicorn.Server(uvicorn.Config(App(jobs, ticker, results), lifespan="off", log_level="warning"))
    stop = asyncio.Event()
    loop = asyncio.create_task(ticker.run(stop)) if options["loops"] else None
    await server.serve(sockets=[socket.socket(fileno=options["fd"])])
    stop.set()
    if loop is not None:
        with contextlib.suppress(asyncio.CancelledError):
            await loop


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
