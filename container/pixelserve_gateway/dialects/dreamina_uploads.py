"""How clients of the Dreamina API upload an image: a token, then ImageX's ApplyImageUpload, the file, and its commit.

ImageX is called with AWS4-HMAC-SHA256 under the token's short-lived key pair. Its errors have statuses of their own and
`ResponseMetadata.Error`.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.routing import Match

from pixelserve.errors import BadRequest, PixelserveError
from pixelserve.imaging import read_size
from pixelserve.media_types import content_type_of
from pixelserve.schema import read_object
from pixelserve.wire import is_from_web_page
from pixelserve_gateway import sigv4
from pixelserve_gateway.auth import COOKIE
from pixelserve_gateway.desk import Desk
from pixelserve_gateway.dialects.dreamina import MOST_BYTES, PREFIXES, answering
from pixelserve_gateway.dialects.dreamina_drafts import STORE, image_id
from pixelserve_gateway.edge import read_request_body
from pixelserve_gateway.errors import Unauthorized

UPLOAD = "/upload/v1/"
TOKEN_SECONDS = 3600.0
_REGIONS = ("cn-north-1", "us-east-1", "ap-southeast-1")
_SERVICE = "imagex"
_SERVICE_ID = "pixelserve"
"""service_id and space_name: clients take one or the other, and sign it as it is."""
_TOKEN, _AUTH, _SESSION = "dreamina/token", "dreamina/auth", "dreamina/session"
_TOKEN_HEADER = "x-amz-security-token"
_DONE = 2000
_ERROR_CODES = {400: "InvalidParameter", 401: "InvalidSecurityToken", 404: "NotFound", 413: "EntityTooLarge"}


class _ActionRoute(APIRoute):
    """A route that is not one without `Action` in the query: at `/` there is a page, too."""

    def matches(self, scope: Any) -> tuple[Match, Any]:
        if not _has_action(scope):
            return Match.NONE, {}
        return super().matches(scope)


def build_router(desk: Desk) -> APIRouter:
    """POST /mweb/v1/get_upload_token, `/?Action=…` and POST /upload/v1/URI."""
    router = APIRouter(include_in_schema=False, route_class=_ActionRoute)

    async def act(request: Request) -> Any:
        action = request.query_params["Action"]
        made = _ACTIONS.get((request.method, action))
        if made is None:
            raise BadRequest(
                f"{request.method} {action[:40]!r} is not served: GET ApplyImageUpload, POST CommitImageUpload.",
                param="Action",
            )
        token = _open_token(desk, request)
        body = await read_request_body(request, MOST_BYTES)
        _check_signature(desk, request, body)
        return _phrase(request, Result=await made(desk, request, token["tenant"], body))

    async def store(request: Request) -> Any:
        allowed = desk.seals.open(_AUTH, request.headers.get("authorization", ""))
        if request.path_params["uri"] != f"{STORE}/{allowed['id']}":
            raise Unauthorized("Authorization is for another StoreUri.")
        body = await read_request_body(request, desk.uploads.most_bytes)
        found = zlib.crc32(body)
        if _read_crc(request.headers.get("content-crc32", "")) != found:
            raise BadRequest(f"Content-CRC32 is not that of the {len(body):,} bytes here.", param="Content-CRC32")
        await desk.store_upload(allowed["tenant"], allowed["id"], body)
        return {"code": _DONE, "message": "Success", "data": {"crc32": f"{found:08x}"}}

    async def give_token(request: Request) -> Any:
        tenant, _ = await desk.auth.admit_body(request, MOST_BYTES)
        return _token(desk, tenant, request.url.netloc)

    router.add_api_route("/", _answering(act, _phrase_error), methods=["GET", "POST"])
    plain = APIRouter(include_in_schema=False)
    plain.add_api_route(f"{UPLOAD}{{uri:path}}", _answering(store, _phrase_refusal), methods=["POST"])
    plain.add_api_route("/mweb/v1/get_upload_token", answering(desk, give_token), methods=["POST"])
    router.include_router(plain)
    return router


def is_of_no_browser(scope: Any) -> bool:
    """Whether no page in a browser can have made a request that looks as if one had. Its host must fit all the same.

    Clients of this dialect imitate a page of its vendor. A browser lets no page write a Cookie header, nor sends one
    here for a page from elsewhere; what is signed, or has a sealed token, needs an answer that no such page can read.
    """
    path, headers = scope["path"], dict(scope["headers"])
    if path.startswith(PREFIXES) and f"{COOKIE}=".encode() in headers.get(b"cookie", b""):
        ignored = {b"origin"}
    elif path.startswith(UPLOAD) or (path == "/" and _has_action(scope)):
        ignored = {b"origin", b"sec-fetch-site"}
    else:
        return False
    rest = [(name, value) for name, value in scope["headers"] if name not in ignored]
    return not is_from_web_page({**scope, "headers": rest})


def _has_action(scope: Any) -> bool:
    return any(part.startswith(b"Action=") for part in scope["query_string"].split(b"&"))


def _token(desk: Desk, tenant: str, host: str) -> dict[str, str]:
    """A key pair for an hour, which needs no store: all of it follows from the session token."""
    token = desk.seals.seal(_TOKEN, {"tenant": tenant}, TOKEN_SECONDS)
    return {
        "access_key_id": _access_key_id(token),
        "secret_access_key": desk.seals.derive(_TOKEN, token),
        "session_token": token,
        "service_id": _SERVICE_ID,
        "space_name": _SERVICE_ID,
        "upload_domain": host,
    }


def _access_key_id(token: str) -> str:
    return f"PST{hashlib.sha256(token.encode()).hexdigest()[:24].upper()}"


def _open_token(desk: Desk, request: Request) -> dict[str, str]:
    """What the session token says, before the body is there. Raises Unauthorized for a signature of another one."""
    token = request.headers.get(_TOKEN_HEADER, "")
    opened = desk.seals.open(_TOKEN, token)
    region, service = sigv4.scope_of(request.headers.get("authorization", ""))
    if region not in _REGIONS or service != _SERVICE:
        raise Unauthorized(f"Sign for the service {_SERVICE} in one of {', '.join(_REGIONS)}.")
    if sigv4.signer_of(request.headers, desk.jobs.clock()) != _access_key_id(token):
        raise Unauthorized("The access key is not that of the session token.")
    return opened


def _check_signature(desk: Desk, request: Request, body: bytes) -> None:
    """Raises Unauthorized where the session token's secret has not signed the request."""
    query = request.scope["query_string"].decode("latin-1")
    body_hash = hashlib.sha256(body).hexdigest()
    signed = sigv4.SignedRequest(request.method, "/", query, request.headers, body_hash)
    sigv4.verify(signed, desk.seals.derive(_TOKEN, request.headers[_TOKEN_HEADER]))


async def _apply(desk: Desk, request: Request, tenant: str, _body: bytes) -> dict[str, Any]:
    fields = {"tenant": tenant, "id": desk.uploads.new_id()}
    place = {"StoreUri": f"{STORE}/{fields['id']}", "Auth": desk.seals.seal(_AUTH, fields, TOKEN_SECONDS)}
    return {
        "UploadAddress": {
            "StoreInfos": [place],
            "UploadHosts": [request.url.netloc],
            "SessionKey": desk.seals.seal(_SESSION, fields, TOKEN_SECONDS),
        },
        "RequestId": request.state.request_id,
    }


async def _commit(desk: Desk, request: Request, tenant: str, body: bytes) -> dict[str, Any]:
    key = read_object(body.strip() or b"{}").get("SessionKey") or request.query_params.get("SessionKey", "")
    fields = desk.seals.open(_SESSION, str(key))
    if fields["tenant"] != tenant:
        raise Unauthorized("SessionKey is another caller's.")
    uri = f"{STORE}/{fields['id']}"
    async with desk.reading(request, tenant, await desk.find_upload(tenant, image_id(uri))) as (content,):
        width, height = read_size(content) or (0, 0)
        told = {
            "FileName": uri,
            "ImageUri": uri,
            "SourceUri": uri,
            "ImageWidth": width,
            "ImageHeight": height,
            "ImageFormat": content_type_of(content).removeprefix("image/"),
            "ImageSize": len(content),
            "FrameCnt": 1,
        }
    return {
        "Results": [{"Uri": uri, "UriStatus": _DONE}],
        "PluginResult": [told],
        "RequestId": request.state.request_id,
    }


_ACTIONS: dict[tuple[str, str], Callable[[Desk, Request, str, bytes], Awaitable[dict[str, Any]]]] = {
    ("GET", "ApplyImageUpload"): _apply,
    ("POST", "CommitImageUpload"): _commit,
}


def _answering(make: Callable[[Request], Awaitable[Any]], phrase: Callable[[Request, PixelserveError], Any]) -> Any:
    """A route that answers what `make` makes; an error as `phrase` does, and not 2xx."""

    async def route(request: Request) -> JSONResponse:
        try:
            return JSONResponse(await make(request))
        except PixelserveError as error:
            return JSONResponse(phrase(request, error), error.status)

    return route


def _read_crc(text: str) -> int | None:
    """The number of hexadecimal digits, in any case and padded or not."""
    try:
        return int(text, 16)
    except ValueError:
        return None


def _phrase(request: Request, **fields: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "RequestId": request.state.request_id,
        "Action": request.query_params["Action"],
        "Version": request.query_params.get("Version", "2018-08-01"),
        "Service": _SERVICE,
    }
    return {"ResponseMetadata": metadata, **fields}


def _phrase_error(request: Request, error: PixelserveError) -> dict[str, Any]:
    answer = _phrase(request)
    code = _ERROR_CODES.get(error.status, "InternalError")
    answer["ResponseMetadata"]["Error"] = {"Code": code, "Message": error.message}
    return answer


def _phrase_refusal(_request: Request, error: PixelserveError) -> dict[str, Any]:
    return {"code": error.status * 10, "message": error.message}
