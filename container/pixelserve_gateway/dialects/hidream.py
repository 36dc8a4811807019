"""The asynchronous upscaling API of HiDream: submit a picture, poll for the result, or be called back.

Paths, fields and shapes are those of the vendor's document of image_upscaler and of what public clients read and send;
the codes of errors are ours. Every answer has one shape, `{"code", "message", "request_id", "result"}`, and HTTP
status 200. A task is a job; its one sub task is the making of its one image.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from pixelserve import features
from pixelserve.errors import BadRequest, FetchRefused, NotFound, PixelserveError
from pixelserve.schema import R, parse, read_base64, read_object
from pixelserve_gateway.calls import Call
from pixelserve_gateway.desk import Desk, JobWish
from pixelserve_gateway.errors import Conflict
from pixelserve_gateway.jobs import Job, JobState

DIALECT = "hidream"
FEATURE = "image_super_resolution"
MODULE = "image_upscaler"
PREFIXES = ("/api-pub/gw/v3", "/api-pub/gw/v4", "/api/gw/v2", "/api/gw/v3")
"""Those of the API, then those of the vendor's web app, which its clients use too."""
PATH = "/image/{module}/async"
"""Clients poll under the name of another module at times, so results are told under any."""
RESULT_TYPE = "image/png"
MOST_POLLED = 100
"""Tasks of one batch."""
LONGEST_REQUEST_ID = 255
LONGEST_NAME = 64
"""Of a task id or a module."""
LONGEST_NOTIFY_URL = 2048
SUCCESS = "Success"
ENGLISH, CHINESE = "en", "zh"

_KEY_PREFIX = "hidream\n"
"""No Idempotency-Key begins so: a header holds no line break."""
_FAILED, _REJECTED = 3, 4
_STATUSES = {
    JobState.QUEUED: 0,
    JobState.SUCCEEDED: 1,
    JobState.RUNNING: 2,
    JobState.FAILED: _FAILED,
    JobState.CANCELED: _FAILED,
    JobState.EXPIRED: _FAILED,
}

CODES: dict[str, tuple[int, str]] = {
    "bad_request": (40000, "请求参数有误，请对照接口文档检查。"),
    "invalid_image": (40001, "无法读取该图片。请使用 JPEG、PNG、BMP、WebP 或 TIFF 格式的图片。"),
    "fetch_refused": (40002, "该地址不允许访问。请使用公网可访问的 http 或 https 地址。"),
    "fetch_failed": (40003, "无法下载该地址的图片。请检查地址，或改为传入 base64。"),
    "unauthorized": (40100, "身份验证失败。请在请求头中传入 Authorization: Bearer <token>，并检查 token 是否有效。"),
    "forbidden": (40300, "该 token 无权调用此接口。请更换 token。"),
    "not_found": (40400, "任务或接口不存在。任务可能已过期或被删除。"),
    "request_timeout": (40800, "请求上传过慢。请重试，或缩小图片。"),
    "conflict": (40900, "该 request_id 已用于内容不同的请求。新的请求请使用新的 request_id。"),
    "too_large": (41300, "图片或请求过大。请缩小图片后重试。"),
    "body_too_large": (41301, "请求体过大。请压缩图片，或改为传入图片的 URL。"),
    "image_too_large": (41302, "图片尺寸过大。请缩小图片后重试。"),
    "output_too_large": (41303, "放大后的图片过大。请缩小图片，或使用较小的放大倍数。"),
    "fetch_too_large": (41304, "该地址的图片文件过大。请压缩图片后重试。"),
    "too_slow": (41305, "该图片无法在规定时间内处理完。请缩小图片后重试。"),
    "unsupported_media_type": (41500, "该文件不是可识别的图片。请使用 JPEG、PNG、BMP、WebP 或 TIFF 格式的图片。"),
    "rate_limited": (42900, "请求过于频繁。请稍后重试。"),
    "queue_full": (42901, "排队的任务过多。请稍后重试。"),
    "internal": (50000, "服务内部错误。请凭 request_id 联系管理员。"),
    "handler_error": (50001, "处理图片时出错。请凭 request_id 联系管理员。"),
    "checkpoint_error": (50002, "模型文件有误。请凭 request_id 联系管理员。"),
    "unavailable": (50300, "服务暂不可用。请稍后重试。"),
    "not_ready": (50301, "模型正在启动。请稍后重试。"),
    "worker_lost": (50302, "处理进程意外退出。请稍后重试。"),
    "draining": (50303, "服务正在关闭。请稍后重试。"),
    "deadline_exceeded": (50400, "处理超时。请稍后重试。"),
    "expired": (50401, "任务未能按时完成。请重新提交。"),
    "out_of_memory": (50700, "服务内存不足。请缩小图片后重试。"),
}
"""The number and the Chinese message of each error by its code; any other is told as internal."""

_FIELDS = {
    "image": "image 有误：应为图片的 URL 或 base64。",
    "upsale_ratio": "upsale_ratio 有误：应为 2 或 4。",
    "version": "version 有误：目前仅支持 v1。",
    "notify_url": "notify_url 有误：应为公网可访问的 http 或 https 地址。",
    "request_id": f"request_id 有误：应为不超过 {LONGEST_REQUEST_ID} 个字符的字符串。",
    "module": f"该模块不存在：此处仅支持 {MODULE}。",
    "task_id": "缺少 task_id。请传入提交任务时返回的 task_id。",
    "task_id_list": f"task_id_list 有误：应为 task_id 的列表，最多 {MOST_POLLED} 个。",
}
"""The Chinese message about a field that does not fit, or names what does not exist."""

_CANCELED = {ENGLISH: "The task was canceled.", CHINESE: "任务已取消。"}

Work = Callable[[Request], Awaitable[dict[str, Any]]]
"""Makes the answer of a request."""


class UpscalerRequest(BaseModel):
    """What is submitted. `image` is a URL or the file in Base64."""

    image: str = Field("", min_length=1)
    upsale_ratio: Literal[2, 4] = 2
    version: Literal["v1"] = "v1"
    notify_url: str = Field("", max_length=LONGEST_NOTIFY_URL)
    request_id: str = Field("", max_length=LONGEST_REQUEST_ID)


class BatchRequest(BaseModel):
    """The tasks whose results are asked for."""

    task_id_list: list[Annotated[str, Field(max_length=LONGEST_NAME)]] = Field(max_length=MOST_POLLED)


def build_router(desk: Desk) -> APIRouter:
    """The routes, if super-resolution is served."""
    router = APIRouter(include_in_schema=False)
    if features.feature(FEATURE) in desk.calls.served:
        for prefix in PREFIXES:
            path = f"{prefix}{PATH}"
            router.add_api_route(path, _endpoint(partial(_submit, desk)), methods=["POST"])
            router.add_api_route(f"{path}/results", _endpoint(partial(_poll, desk), _unknown_task), methods=["GET"])
            router.add_api_route(f"{path}/results/batch", _endpoint(partial(_poll_batch, desk)), methods=["POST"])
    return router


def phrase_webhook(desk: Desk, job: Job) -> str:
    """The body of a callback: the answer of a poll, with the task's id beside it."""
    envelope = _envelope(job.data["request_id"] or job.id, *_told(desk, job, job.data["language"]))
    return json.dumps({**envelope, "main_task_id": job.id})


def _endpoint(work: Work, on_error: Callable[[Request], dict[str, Any]] = lambda _: {}) -> Callable[..., Any]:
    """Answers what `work` made, or the error that it raised with the result of `on_error`."""

    async def answer(request: Request) -> Response:
        try:
            return JSONResponse(await work(request))
        except PixelserveError as error:
            code, message = phrase_error(error, language_of(request.headers))
            headers = {} if error.retry_after is None else {"retry-after": str(error.retry_after)}
            envelope = _envelope(_request_id(request), message, on_error(request), code)
            return JSONResponse(envelope, headers=headers)

    return answer


async def _submit(desk: Desk, request: Request) -> dict[str, Any]:
    tenant, body = await desk.auth.admit_body(request, desk.settings.max_body_bytes, FEATURE)
    if request.path_params["module"] != MODULE:
        given = request.path_params["module"][:LONGEST_NAME]
        raise NotFound(f"There is no module {given!r} here. There is {MODULE}.", param="module")
    wanted, call = await asyncio.to_thread(read_submission, body)
    wish = JobWish(
        DIALECT,
        await asyncio.to_thread(_digest, wanted) if wanted.request_id else b"",
        key=_key(wanted.request_id),
        data={"request_id": wanted.request_id, "language": language_of(request.headers)},
        notify=wanted.notify_url,
        schedule=DIALECT,
    )
    try:
        job = await desk.submit(request, tenant, call, wish)
    except Conflict:
        raise Conflict(
            "This request_id was used with another body. Take a new one for a new request.", param="request_id"
        ) from None
    result = {"task_id": job.id, "sub_task_ids": [_sub_task_id(job)]}
    return _envelope(wanted.request_id or _request_id(request), SUCCESS, result)


async def _poll(desk: Desk, request: Request) -> dict[str, Any]:
    tenant = await desk.auth.admit(request)
    task_id = request.query_params.get("task_id", "")
    if not task_id:
        raise BadRequest("Send the task_id that the submission answered.", param="task_id")
    job = await _find(desk, tenant, task_id)
    return _envelope(_request_id(request), *_told(desk, job, language_of(request.headers)))


async def _poll_batch(desk: Desk, request: Request) -> dict[str, Any]:
    tenant, body = await desk.auth.admit_body(request, desk.settings.max_body_bytes)
    wanted = _read(BatchRequest, body)

    async def result(task_id: str) -> dict[str, Any]:
        try:
            return _result(desk, await _find(desk, tenant, task_id))
        except NotFound:
            return _no_result(task_id)

    results = await asyncio.gather(*map(result, wanted.task_id_list))
    return _envelope(_request_id(request), SUCCESS, results)


async def _find(desk: Desk, tenant: str, task_id: str) -> Job:
    """The job of a task. Raises NotFound, for jobs that came by another API too."""
    job = await desk.jobs.get(tenant, task_id)
    if job.dialect != DIALECT:
        raise NotFound(f"{task_id} is no task of this API. It is a job of another.")
    return job


def read_submission(body: bytes) -> tuple[UpscalerRequest, Call]:
    """What is submitted, and the call that it asks for. Raises BadRequest naming the vendor's field."""
    wanted = _read(UpscalerRequest, body)
    if not wanted.image:
        raise BadRequest("image is missing. Send the picture's URL, or its file in Base64.", param="image")
    options = {"scale": wanted.upsale_ratio}
    if "://" in wanted.image[:16]:  # no Base64, and no data: URL
        return wanted, Call.from_fields(FEATURE, {"url": wanted.image, **options}, RESULT_TYPE)
    return wanted, Call.from_image(FEATURE, read_base64(wanted.image, "image"), options, RESULT_TYPE)


def _read(model: type[R], body: bytes) -> R:
    """A JSON body with the fields of `model`; null and "" count as left out, other fields are the vendor's own."""
    given = read_object(_without_last_comma(body))
    values = {name: value for name, value in given.items() if value not in (None, "")}
    if "upscale_ratio" in values:
        values.setdefault("upsale_ratio", values["upscale_ratio"])
    return parse(model, {name: value for name, value in values.items() if name in model.model_fields})


def _without_last_comma(body: bytes) -> bytes:
    """The body without the comma before its last brace, which the vendor's cURL sample has."""
    head = body.rstrip().removesuffix(b"}").rstrip()
    return head[:-1] + b"}" if head.endswith(b",") else body


def _digest(wanted: UpscalerRequest) -> bytes:
    """Tells what is submitted from anything else, however its JSON is written."""
    return hashlib.sha256(wanted.model_dump_json().encode()).digest()


def _key(request_id: str) -> str | None:
    return _KEY_PREFIX + hashlib.sha256(request_id.encode()).hexdigest() if request_id else None


def language_of(headers: Mapping[str, str]) -> str:
    """The language of messages: Chinese unless English is asked for."""
    return ENGLISH if headers.get("x-accept-language", "").lower().startswith(ENGLISH) else CHINESE


def phrase_error(error: PixelserveError, language: str) -> tuple[int, str]:
    """The number of an error, and its message."""
    number, chinese = CODES.get(error.code, CODES["internal"])
    if language == ENGLISH:
        return number, error.message
    is_about_field = error.code in (BadRequest.code, NotFound.code)
    return number, _FIELDS.get(error.param or "", chinese) if is_about_field else chinese


def _envelope(request_id: str, message: str, result: Any, code: int = 0) -> dict[str, Any]:
    return {"code": code, "message": message, "request_id": request_id, "result": result}


def _request_id(request: Request) -> str:
    """The caller's name of the request, or ours, which is in the log."""
    return request.query_params.get("request_id", "") or str(request.state.request_id)


def _told(desk: Desk, job: Job, language: str) -> tuple[str, dict[str, Any]]:
    """The message about a task, which says why there is no image, and its result."""
    if job.error is not None:
        _, message = phrase_error(job.error.as_error(), language)
    else:
        message = _CANCELED[language] if job.state is JobState.CANCELED else SUCCESS
    return message, _result(desk, job)


def _result(desk: Desk, job: Job) -> dict[str, Any]:
    image = "" if job.result is None else desk.link(job)
    is_rejected = job.error is not None and job.error.code == FetchRefused.code
    status = _REJECTED if is_rejected else _STATUSES[job.state]
    return {"task_id": job.id, "sub_task_results": [_sub_task(_sub_task_id(job), status, job.progress.value, image)]}


def _no_result(task_id: str) -> dict[str, Any]:
    """Of a task that cannot be told of. Clients poll on until they see a sub task that has ended."""
    return {"task_id": task_id, "sub_task_results": [_sub_task("", _FAILED, 0.0, "")]}


def _unknown_task(request: Request) -> dict[str, Any]:
    return _no_result(request.query_params.get("task_id", ""))


def _sub_task(sub_task_id: str, status: int, completion: float, image: str) -> dict[str, Any]:
    return {
        "sub_task_id": sub_task_id,
        "task_status": status,
        "task_completion": round(completion, 3),
        "image": image,
    }


def _sub_task_id(job: Job) -> str:
    return f"{job.id}-1"
