"""Who calls: API keys, key pairs for Signature Version 4, API Gateway's IAM, or nobody is asked."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from fastapi import Request

from pixelserve.errors import Forbidden
from pixelserve.wire import is_loopback
from pixelserve_gateway import sigv4
from pixelserve_gateway.edge import read_request_body
from pixelserve_gateway.errors import Unauthorized
from pixelserve_gateway.jobs import ApiKey, ApiKeys, JobStore, Threads, access_key_id, secret_access_key, take_token
from pixelserve_gateway.settings import GatewaySettings

NONE, KEYS, IAM = "none", "keys", "iam"
ANYBODY = "local"
"""The tenant where nobody is asked."""
COOKIE = "sessionid"
_BEARER = "bearer "


def mode_of(settings: GatewaySettings) -> str:
    """How callers are asked: what the settings say, or none on a loopback address and keys on any other."""
    return settings.authorization or (NONE if is_loopback(settings.host) else KEYS)


def asks_for_keys(settings: GatewaySettings) -> bool:
    """Whether callers must show an API key."""
    return mode_of(settings) == KEYS


def check_scope(request: Request, feature: str) -> None:
    """Raises Forbidden where the key of an admitted request is for other features."""
    scopes = getattr(request.state, "scopes", ())
    if scopes and feature not in scopes:
        raise Forbidden(f"This key is for {', '.join(scopes)}, not for {feature}.")


class Auth:
    """Tells whose a request is, and whether it may call a feature. `clock` tells Unix time."""

    def __init__(self, mode: str, store: JobStore, threads: Threads, clock: Callable[[], float] = time.time) -> None:
        self.mode = mode
        self._store = store
        self._keys = ApiKeys(store)
        self._threads = threads
        self._clock = clock

    async def admit(self, request: Request, feature: str = "") -> str:
        """The tenant of a request without a body.

        Raises Unauthorized, Forbidden for a feature outside the key's scopes, RateLimited.
        """
        if self.mode == NONE:
            return ANYBODY
        if self.mode == IAM:
            return _caller_of_api_gateway(request)
        key = await self._threads.read(self._find, request)
        if _is_signed(request):
            await self._threads.read(self._check_signature, request, key, b"")
        return await self._let_in(request, key, feature)

    async def admit_body(self, request: Request, limit: int, feature: str = "") -> tuple[str, bytes]:
        """The tenant of a request, and its body: nothing of it is read before the key is known.

        A signature covers the body and is checked after it, its key and its time before.
        Raises what `admit` raises, BodyTooLarge above `limit` bytes, ClientGone.
        """
        if self.mode != KEYS or not _is_signed(request):
            tenant = await self.admit(request, feature)
            return tenant, await read_request_body(request, limit)
        key = await self._threads.read(self._find, request)
        body = await read_request_body(request, limit)
        await self._threads.read(self._check_signature, request, key, body)
        return await self._let_in(request, key, feature), body

    async def _let_in(self, request: Request, key: ApiKey, feature: str) -> str:
        request.state.scopes = key.scopes
        if feature:
            check_scope(request, feature)
        if key.limit is not None:
            await self._threads.write_now(take_token, self._store, f"key/{key.id}", key.limit, self._clock())
        return key.tenant

    def _find(self, request: Request) -> ApiKey:
        """The key that is shown, or that a signature claims."""
        authorization = request.headers.get("authorization", "")
        if _is_signed(request):
            return self._find_signer(request)
        bearer = authorization[len(_BEARER) :] if authorization.lower().startswith(_BEARER) else ""
        text = bearer or request.headers.get("x-api-key", "") or request.cookies.get(COOKIE, "")
        if not text:
            raise Unauthorized("Send an API key as `Authorization: Bearer KEY` or `x-api-key`.")
        key = self._keys.find(text.strip())
        if key is None:
            raise Unauthorized("The API key is not known here, or was revoked. `pixelserve keys make` makes one.")
        return key

    def _find_signer(self, request: Request) -> ApiKey:
        key = self._keys.find_signer(sigv4.signer_of(request.headers, self._clock()))
        if key is None:
            raise Unauthorized("The access key is not known here. `pixelserve keys make` prints one.")
        return key

    def _check_signature(self, request: Request, key: ApiKey, body: bytes) -> None:
        scope = request.scope
        path, query = scope["raw_path"].decode("ascii"), scope["query_string"].decode("latin-1")
        body_hash = hashlib.sha256(body).hexdigest()
        signed = sigv4.SignedRequest(request.method, path, query, request.headers, body_hash)
        sigv4.verify(signed, secret_access_key(self._store, access_key_id(key)))


def _is_signed(request: Request) -> bool:
    return request.headers.get("authorization", "").startswith(sigv4.ALGORITHM)


def _caller_of_api_gateway(request: Request) -> str:
    """Whom API Gateway or a function URL has authorised. Raises Unauthorized where none has been asked.

    Source: API Gateway Developer Guide, "Create AWS Lambda proxy integrations for HTTP APIs" (payload format 2.0, which
    function URLs have too), and "Lambda proxy integrations" of REST APIs.
    """
    event = request.scope.get("aws.event", {})
    context = event.get("requestContext", {})
    if event.get("version") == "2.0":
        caller = (context.get("authorizer") or {}).get("iam") or {}
    else:
        caller = context.get("identity") or {}
    if not caller.get("userArn"):
        raise Unauthorized("Call through API Gateway or a function URL, with a signature of IAM.")
    return str(caller["userArn"])
