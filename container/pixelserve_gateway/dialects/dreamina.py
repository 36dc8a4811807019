"""The Dreamina API: drafts whose main component names one ability, asked for and looked up by ids.

Every answer is HTTP 200 with a string `ret`, "0" for success; all ids are strings of decimal digits. Shapes are those
that public clients of that API read. Nothing here ever calls its vendor.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from pixelserve.errors import BadRequest, Forbidden, NotFound, PixelserveError
from pixelserve.media_types import MEDIA_TYPES
from pixelserve.observe import log_failure
from pixelserve.schema import read_object
from pixelserve.wire import logged_path
from pixelserve_gateway.auth import check_scope
from pixelserve_gateway.calls import Call
from pixelserve_gateway.desk import Desk, JobWish
from pixelserve_gateway.dialects.dreamina_drafts import CUTOUT, STORE, as_list, image_id, read_draft
from pixelserve_gateway.errors import RateLimited, Unauthorized
from pixelserve_gateway.jobs import Job, JobState

DIALECT = "dreamina"
GENERATE = "/mweb/v1/aigc_draft/generate"
HISTORY = "/mweb/v1/get_history_by_ids"
PREFIXES = ("/mweb/", "/commerce/", "/passport/")
"""Below them every answer is of this dialect's shape, whatever the path."""
MOST_BYTES = 1_000_000
"""Of a body: no image is in any."""
_MOST_IDS = 100
_SUBMITTED, _FAILED, _SUCCEEDED = 20, 30, 50
"""The statuses that all known clients read alike."""
_GENERATE_TYPE = 12
_NOTHING = b"{}"
"""What an empty body stands for."""
_CREDITS = {"gift_credit": 0, "purchase_credit": 0, "vip_credit": 1_000_000}
"""Clients give up without any; nothing is counted here."""
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]
_SALT_BEFORE, _SALT_AFTER = "9e2c", "11ac"
_WRONG_SIGN, _NO_LOGIN, _TOO_OFTEN, _UNFIT, _NOT_MADE = "1014", "1015", "1010", "1002", "5001"

logger = logging.getLogger("pixelserve_gateway.dreamina")

Answer = Callable[[Request], Awaitable[Any]]
"""Makes `data` of a request."""


class WrongSign(BadRequest):
    """The Sign header does not fit the request."""


def build_router(desk: Desk) -> APIRouter:
    """All routes below PREFIXES."""
    router = APIRouter(include_in_schema=False)

    async def generate(request: Request) -> Any:
        tenant, body = await desk.auth.admit_body(request, MOST_BYTES)
        asked = read_object(body.strip() or _NOTHING)
        draft = read_draft(asked.get("draft_content"))
        feature = "human_image_segmentation" if draft.ability == CUTOUT else "image_super_resolution"
        check_scope(request, feature)
        submit_id = str(asked.get("submit_id") or uuid.uuid4())
        options = {"type": "foreground"} if draft.ability == CUTOUT else {"target": draft.target}
        same = json.dumps([draft.ability, draft.image, draft.target]).encode()
        wish = JobWish(DIALECT, same, key=_key(submit_id), data={"submit_id": submit_id})
        async with desk.reading(request, tenant, await desk.find_image(tenant, image_id(draft.image))) as (image,):
            call = desk.calls.fit(Call.from_image(feature, image, options, MEDIA_TYPES["png"]))
            job = await desk.submit(request, tenant, call, wish)
        return {"aigc_data": _phrase_draft(job)}

    async def history(request: Request) -> Any:
        tenant, body = await desk.auth.admit_body(request, MOST_BYTES)
        asked = read_object(body.strip() or _NOTHING)
        jobs: dict[str, Job | None] = {}
        for submit_id in _read_ids(asked, "submit_ids"):
            jobs[submit_id] = await desk.jobs.find(tenant, _key(submit_id))
        for history_id in _read_ids(asked, "history_ids"):
            jobs[history_id] = await _get(desk, tenant, history_id)
        return {name: phrase(desk, job) for name, job in jobs.items() if job and job.dialect == DIALECT}

    async def credit(request: Request) -> Any:
        await desk.auth.admit_body(request, MOST_BYTES)
        return {"credit": _CREDITS}

    async def receive(request: Request) -> Any:
        await desk.auth.admit_body(request, MOST_BYTES)
        return {"receive_quota": 0, "cur_total_credits": sum(_CREDITS.values()), "is_first_receive": False}

    async def account(request: Request) -> Any:
        tenant, _ = await desk.auth.admit_body(request, MOST_BYTES)
        told = {"user_id": user_id(tenant)}
        return {**told, "data": told}  # some clients look into `data` twice

    async def proxy(request: Request) -> Any:
        await desk.auth.admit_body(request, MOST_BYTES)
        return {}

    async def unknown(request: Request) -> Any:
        raise NotFound(f"There is no {request.method} {request.url.path} here. docs/gateway-dreamina.md lists what is.")

    add = router.add_api_route
    add(GENERATE, answering(desk, generate), methods=["POST"])
    add(HISTORY, answering(desk, history), methods=["POST"])
    add("/mweb/v1/algo_proxy", answering(desk, proxy), methods=["POST"])
    add("/commerce/v1/benefits/user_credit", answering(desk, credit), methods=["POST"])
    add("/commerce/v1/benefits/credit_receive", answering(desk, receive), methods=["POST"])
    add("/passport/account/info/v2", answering(desk, account), methods=["GET", "POST"])
    for prefix in PREFIXES:
        add(f"{prefix}{{rest:path}}", answering(desk, unknown), methods=_METHODS)
    return router


def answering(desk: Desk, make: Answer) -> Any:
    """A route that answers what `make` makes, or its error, as this dialect does."""

    async def route(request: Request) -> JSONResponse:
        try:
            _check_sign(request, desk.settings.strict_sign)
            return _phrase_answer(request, "0", "success", await make(request))
        except PixelserveError as error:
            return phrase_error(request, error)
        except Exception as error:  # noqa: BLE001 - clients of this dialect take nothing but HTTP 200
            log_failure(error, request.state.request_id, f"{request.method} {logged_path(request.scope)}")
            return phrase_error(request, PixelserveError("The gateway failed. Its log has the details."))

    return route


def sign(path: str, headers: Mapping[str, str]) -> str:
    """What the header Sign should hold."""
    words = [path[-7:], *(headers.get(name, "") for name in ("pf", "appvr", "device-time", "tdid"))]
    text = "|".join([_SALT_BEFORE, *words, _SALT_AFTER])
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _check_sign(request: Request, strict: bool) -> None:
    """Logs a Sign that does not fit: its salt is public, so it proves nothing. Raises WrongSign if `strict`."""
    given = request.headers.get("sign")
    if given is None:
        return
    if hmac.compare_digest(sign(request.url.path, request.headers).encode(), given.lower().encode(errors="replace")):
        return
    logger.info("sign does not fit", extra={"fields": {"request_id": request.state.request_id}})
    if strict:
        raise WrongSign("Sign does not fit path, Pf, Appvr and Device-Time.")


def user_id(tenant: str) -> str:
    """Decimal digits below 2**63, always the same for a tenant."""
    return str(int.from_bytes(hashlib.sha256(tenant.encode()).digest()[:7], "big"))


async def _get(desk: Desk, tenant: str, job_id: str) -> Job | None:
    try:
        return await desk.jobs.get(tenant, job_id)
    except NotFound:
        return None


def _key(submit_id: str) -> str:
    return f"{DIALECT}\n{submit_id}"  # no Idempotency-Key begins so: a header holds no line break


def _status(job: Job) -> int:
    if not job.state.is_terminal:
        return _SUBMITTED
    return _SUCCEEDED if job.state is JobState.SUCCEEDED else _FAILED


def _phrase_draft(job: Job) -> dict[str, Any]:
    task = {"task_id": job.id, "submit_id": job.data["submit_id"], "status": _status(job), "history_id": job.id}
    return {
        "generate_type": _GENERATE_TYPE,
        "history_record_id": job.id,
        "created_time": job.created,
        "item_list": [],
        "task": task,
    }


def phrase(desk: Desk, job: Job) -> dict[str, Any]:
    """The job as a query is told of it."""
    status = _status(job)
    items = [_phrase_item(desk, job)] if status == _SUCCEEDED else []
    code, message = ("", "")
    if status == _FAILED:
        error = job.error.as_error() if job.error else BadRequest(f"The job was {job.state}.")
        code, message = ret_of(error), error.message
    task = {
        "task_id": job.id,
        "submit_id": job.data["submit_id"],
        "status": status,
        "finish_time": int(job.finished or 0),
        "history_id": job.id,
    }
    return {
        "history_record_id": job.id,
        "generate_type": _GENERATE_TYPE,
        "created_time": job.created,
        "status": status,
        "task": task,
        "fail_code": code,
        "fail_msg": message,
        "fail_starling_message": message,
        "total_image_count": 1,
        "finished_image_count": len(items),
        "item_list": items,
    }


def _phrase_item(desk: Desk, job: Job) -> dict[str, Any]:
    assert job.result is not None
    url = desk.link(job)
    image = {
        "image_uri": f"{STORE}/{job.id}",
        "image_url": url,
        "width": job.result.width,
        "height": job.result.height,
        "format": job.result.media_type.removeprefix("image/"),
    }
    return {"common_attr": {"id": job.id, "cover_url": url}, "image": {"large_images": [image]}}


def ret_of(error: PixelserveError) -> str:
    """The `ret` that stands for an error."""
    if isinstance(error, WrongSign):
        return _WRONG_SIGN
    if isinstance(error, Unauthorized | Forbidden):
        return _NO_LOGIN
    if error.status == RateLimited.status:  # an endpoint's full queue too
        return _TOO_OFTEN
    return _UNFIT if error.status < 500 else _NOT_MADE


def phrase_error(request: Request, error: PixelserveError) -> JSONResponse:
    """An error of this dialect."""
    code = ret_of(error)
    data = {"aigc_data": None, "fail_code": code, "fail_starling_message": error.message}
    return _phrase_answer(request, code, error.message, data)


def _phrase_answer(request: Request, ret: str, message: str, data: Any) -> JSONResponse:
    told = {"ret": ret, "errmsg": message, "systime": str(int(time.time())), "logid": request.state.request_id}
    return JSONResponse({**told, "data": data})


def _read_ids(asked: Mapping[str, Any], name: str) -> list[str]:
    """Raises BadRequest for too many."""
    if len(as_list(asked.get(name))) > _MOST_IDS:
        raise BadRequest(f"Ask for up to {_MOST_IDS} ids at once.", param=name)
    return [str(value) for value in as_list(asked.get(name)) if isinstance(value, str | int)]
