"""Several models in one container: SageMaker's multi-model contract.

Each model is a server process of its own behind a local socket: what one model does wrong costs no other, and unloading
one gives back all that it held. This process speaks the contract and passes the invocations on.

Routes: `POST /models` {"model_name", "url"} (409 loaded already, 507 no memory), `GET /models`, `GET` and `DELETE
/models/{name}`, `POST /models/{name}/invoke`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import socket
import tempfile
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import uvloop

from pixelserve import wire
from pixelserve.errors import (
    AlreadyLoaded,
    BadRequest,
    ClientGone,
    Draining,
    MethodNotAllowed,
    NotFound,
    NotReady,
    OutOfMemory,
    PixelserveError,
    State,
    WorkerLost,
)
from pixelserve.machine import free_memory, memory_folder, total_memory
from pixelserve.observe import Trace, metrics, tracing
from pixelserve.processes import Stop, reap_orphans, stop_all
from pixelserve.serving.answers import Answer, json_answer
from pixelserve.serving.context import Context
from pixelserve.serving.contract import (
    ATTRIBUTES,
    REQUEST_ID,
    Caller,
    Contract,
    RequestHeaders,
    Route,
    new_arrivals,
)
from pixelserve.serving.multi_model.model import Model, size_of
from pixelserve.serving.native import Acceptor, Board, Host, open_listener
from pixelserve.settings import Settings

logger = logging.getLogger("pixelserve.models")

RESERVE = 0.1
"""Part of all memory that must stay free beside a model's files when it is loaded."""
PAGE = 100
ORDER_BYTES = 65_536
"""Of the JSON that names a model to load."""
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,255}")
PASSED_ON = (b"content-type", b"accept", ATTRIBUTES)


class Models(Contract):
    """The routes of the multi-model contract."""

    def __init__(self, settings: Settings, process_metrics: metrics.Metrics, sockets: Path) -> None:
        super().__init__(settings, process_metrics)
        self._sockets = sockets
        self._models: dict[str, Model] = {}
        self._running: set[Model] = set()
        self._is_ending = False
        self._stopping: set[asyncio.Task[int]] = set()

    def pids(self) -> list[int]:
        """The servers' processes that have not ended."""
        return [model.server.pid for model in self._running if not model.server.has_ended]

    def ping(self) -> Answer:
        return json_answer({"status": "ready", "models": len(self._models)})

    def check_room(self) -> None:
        """Each model has a queue of its own, which answers for itself."""

    def counts(self, path: str, error: PixelserveError | None) -> bool:
        """What a model's own server has answered, or seen go, it counts itself."""
        return not self.invocation_route(path) or (error is not None and not isinstance(error, _GoneFromModel))

    def invocation_route(self, path: str) -> str:
        match path.strip("/").split("/"):
            case ["models", _, "invoke"]:
                return "/models/{name}/invoke"
        return ""

    async def infer(self, caller: Caller, body: bytes, context: Context) -> Answer:
        raise NotFound("There are several models here: POST /models/NAME/invoke.")

    def _route(self, scope: Any) -> Route:
        match [scope["method"], *scope["path"].strip("/").split("/")]:
            case ["GET", "models"]:
                return partial(self._list, parse_qs(scope["query_string"].decode("latin-1")))
            case ["POST", "models"]:
                return self._load
            case ["GET", "models", name]:
                return partial(self._describe, name)
            case ["DELETE", "models", name]:
                return partial(self._unload, name)
            case ["POST", "models", name, "invoke"]:
                return partial(self._invoke, name)
            case [method, "models", *_]:
                raise MethodNotAllowed(
                    f"{scope['path']} does not take {method}. Routes: GET and POST /models, GET and DELETE "
                    "/models/NAME, POST /models/NAME/invoke."
                )
        return super()._route(scope)

    async def _list(self, query: dict[str, list[str]], *_request: Any) -> Answer:
        names = sorted(name for name, model in self._models.items() if model.is_ready)
        after = query.get("next_page_token", [""])[0]
        try:
            limit = int(query.get("limit", [str(PAGE)])[0])
        except ValueError:
            raise BadRequest("limit must be a number.", param="limit") from None
        rest = [name for name in names if name > after]
        page = rest[: max(1, limit)]
        listed: dict[str, Any] = {"models": [_described(self._models[name]) for name in page]}
        if len(rest) > len(page):
            listed["nextPageToken"] = page[-1]
        return json_answer(listed)

    async def _describe(self, name: str, *_request: Any) -> Answer:
        return json_answer(_described(self._loaded(name)))

    async def _load(
        self, _caller: Caller, headers: RequestHeaders, _request_id: str, _trace: Trace, receive: Any
    ) -> Answer:
        try:
            order = json.loads(await self._read_body(headers, receive, ORDER_BYTES))
            name, url = order["model_name"], order["url"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise BadRequest('Send {"model_name": NAME, "url": FOLDER} as JSON.') from None
        if not (isinstance(name, str) and _NAME.fullmatch(name)):
            raise BadRequest("model_name must be letters, digits, . _ - and at most 256 of them.", param="model_name")
        self._drop_if_ended(name)
        if name in self._models:
            raise AlreadyLoaded(f"{name} is loaded already. DELETE /models/{name} unloads it.", param="model_name")
        self._refuse_when_ending()
        folder = self._folder(url)
        size = size_of(folder)
        _check_memory(size + sum(other.size for other in self._models.values() if not other.is_ready))
        logger.info("loading %s", name)
        model = self._models[name] = Model(name, url, folder, size, self._sockets, new_arrivals(self._settings))
        self._running.add(model)
        try:
            await model.wait_until_ready()
        except BaseException:
            self._models.pop(name, None)
            await self._stop(model, 1.0)
            self._refuse_when_ending()
            raise
        logger.info("loaded %s", name)
        return json_answer({"status": "Workers scaled", **_described(model)})

    def _refuse_when_ending(self) -> None:
        """Raises Draining when the container ends."""
        if self._is_ending:
            raise Draining("The container is ending. Load the model in another.")

    def _folder(self, url: str) -> Path:
        """The folder that a URL names. Raises NotFound for a path to none, BadRequest for one outside models_dir."""
        root = Path(self._settings.models_dir).resolve()
        try:
            folder = Path(url).resolve()
            is_path, is_there, is_below = Path(url).is_absolute(), folder.is_dir(), root in folder.parents
        except (TypeError, ValueError, OSError, RuntimeError):  # what no path can be
            is_path = is_there = is_below = False
        if is_path and not is_there:
            raise NotFound(
                f"There is no folder {folder} here. Give the one that the model was unpacked to.", param="url"
            )
        if not is_below:
            raise BadRequest(f"url must be a folder below {root} (PIXELSERVE_MODELS_DIR).", param="url")
        return folder

    async def _unload(self, name: str, *_request: Any) -> Answer:
        model = self._loaded(name)
        del self._models[name]
        await self._stop(model, self._settings.drain_seconds)
        logger.info("unloaded %s", name)
        return json_answer({"status": f'Model "{name}" unregistered', "modelName": name})

    async def _invoke(
        self, name: str, caller: Caller, headers: RequestHeaders, request_id: str, trace: Trace, receive: Any
    ) -> Answer:
        passed = [(key, headers[key].strip()) for key in PASSED_ON if key in headers]
        passed.append((REQUEST_ID, request_id.encode()))
        passed += [(name.encode(), value.encode()) for name, value in trace.headers()]
        with self._loaded(name).arrivals.hold(receive) as arriving:  # until the model has it
            body = await wire.read_body(headers, arriving.receive, self._settings.max_body_bytes)
            model = self._loaded(name)  # it may have been unloaded meanwhile
            asking = asyncio.get_running_loop().create_task(model.ask(body, passed))
            try:
                with caller.watch(partial(_cancel, asking)):
                    return await asking
            except asyncio.CancelledError:
                raise _GoneFromModel("The client closed the connection.") from None
            except httpx.TransportError:
                raise WorkerLost(f"The server of {name} ended while it had this request.", retry_after=2) from None

    def _loaded(self, name: str) -> Model:
        """The model. Raises NotFound, also for one whose server has ended: the caller then loads it again."""
        self._drop_if_ended(name)
        model = self._models.get(name)
        if model is None:
            raise NotFound(f"{name} is not loaded. POST /models loads it.")
        if not model.is_ready:
            raise NotReady(f"{name} is loading.", state=State.LOADING, retry_after=2)
        return model

    def _drop_if_ended(self, name: str) -> None:
        """Forgets a model whose server has ended by itself, and ends what that left behind."""
        model = self._models.get(name)
        if model is not None and model.is_ready and model.server.has_ended:
            del self._models[name]
            stopping = asyncio.get_running_loop().create_task(self._stop(model, 0))
            self._stopping.add(stopping)
            stopping.add_done_callback(self._stopping.discard)

    async def _stop(self, model: Model, seconds: float) -> int:
        """Lets the model finish what it has within `seconds`; the exit code of its server."""
        (code,) = await asyncio.to_thread(stop_all, [model.server], seconds)
        await model.close()
        self._running.discard(model)
        await asyncio.to_thread(metrics.fold_ended)
        return code

    def give_up_loading(self) -> None:
        """Ends what is still loading, and loads nothing more: nobody will ask it any more."""
        self._is_ending = True
        for model in self._running:
            if not model.is_ready:
                model.server.kill()

    async def stop(self, seconds: float) -> bool:
        """Ends all models within `seconds`; whether each had nothing left to do."""
        models = list(self._models.values())
        codes = await asyncio.to_thread(stop_all, [model.server for model in models], seconds)
        await asyncio.gather(*(model.close() for model in models), *self._stopping)
        return not any(codes)


class _GoneFromModel(ClientGone):
    """The caller hung up while the model had its request."""


def _cancel(asking: asyncio.Task[Answer]) -> None:
    asking.cancel()


def _check_memory(needed: int) -> None:
    """Raises OutOfMemory when these bytes and the reserve are more than is free; SageMaker then unloads another."""
    free, reserve = free_memory(), int(RESERVE * total_memory())
    if needed + reserve > free:
        raise OutOfMemory(
            f"{needed / 1e6:,.0f} MB of model and {reserve / 1e6:,.0f} MB in reserve do not fit in the "
            f"{free / 1e6:,.0f} MB that are free. Unload another model first."
        )


def _described(model: Model) -> dict[str, str]:
    return {"modelName": model.name, "modelUrl": model.url}


def run(config: Settings, stop: Stop) -> int:
    """Serves models until `stop`; 0 after a clean end, else 1. Raises Unavailable when the port is taken."""
    with (
        contextlib.closing(open_listener(config)) as listener,
        metrics.prepare(),
        tempfile.TemporaryDirectory(prefix="pixelserve-", dir=memory_folder()) as sockets,
    ):
        return uvloop.run(_serve(config, listener, Path(sockets), stop))


async def _serve(config: Settings, listener: socket.socket, sockets: Path, stop: Stop) -> int:
    tracing.configure()
    loop = asyncio.get_running_loop()
    models = Models(config, metrics.Metrics(), sockets)
    acceptor = Acceptor(listener, lambda connection, slot: host.adopt(connection, slot), lambda: host.end_idle())
    host = Host(models, config, Board.create(acceptor.slots), acceptor.release)
    reaping = loop.create_task(reap_orphans(models.pids)) if os.getpid() == 1 else None
    await stop.wait_async()
    acceptor.close()
    models.give_up_loading()
    deadline = loop.time() + config.drain_seconds
    await host.drain(config.drain_seconds)
    if reaping is not None:
        reaping.cancel()
    answered_all = not host.state.connections
    clean = await models.stop(max(1.0, deadline - loop.time())) and answered_all
    models.flush_log()
    await asyncio.to_thread(tracing.flush)
    logger.info("ended, nothing lost" if clean else "ended with work lost")
    return 0 if clean else 1
