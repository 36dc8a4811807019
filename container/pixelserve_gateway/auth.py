"""Who calls: API keys, key pairs for Signature Version 4, API Gateway's IAM, or nobody is asked."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from fastapi import Request

from pixelserve.wire import is_loopback
from pixelserve_gateway import sigv4
from pixelserve_gateway.errors import Forbidden, Unauthorized
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

    async def admit(self, request: Request, feature: str = "", body: bytes = b"") -> str:
        """The tenant. `body` is what a signature covers.

        Raises Unauthorized, Forbidden for a feature outside the key's scopes, RateLimited.
        """
        if self.mode == NONE:
            return ANYBODY
        if self.mode == IAM:
            return _caller_of_api_gateway(request)
        key = await self._threads.run(self._find, request, body)
        request.state.scopes = key.scopes
        if feature:
            check_scope(request, feature)
        if key.limit is not None:
            await self._threads.run(take_token, self._store, f"key/{key.id}", key.limit, self._clock())
        return key.tenant

    def _find(self, request: Request, body: bytes) -> ApiKey:
        authorization = request.headers.get("authorization", "")
        if authorization.startswith(sigv4.ALGORITHM):
            return self._find_signer(request, body)
        bearer = authorization[len(_BEARER) :] if authorization.lower().startswith(_BEARER) else ""
        text = bearer or request.headers.get("x-api-key", "") or request.cookies.get(COOKIE, "")
        if not text:
            raise Unauthorized("Send an API key as `Authorization: Bearer KEY` or `x-api-key`.")
        key = self._keys.find(text.strip())
        if key is None:
            raise Unauthorized("The API key is not known here, or was revoked. `pixelserve keys make` makes one.")
        return key

    def _find_signer(self, request: Request, body: bytes) -> ApiKey:
        headers = {name.lower(): value for name, value in request.headers.items()}
        scope = request.scope
        path, query = scope["raw_path"].decode("ascii"), scope["query_string"].decode("latin-1")
        signed = sigv4.SignedRequest(request.method, path, query, headers, hashlib.sha256(body).hexdigest())
        keys = {access_key_id(key): key for key in self._keys.list_keys() if key.revoked is None}
        known = sigv4.verify(signed, lambda name: self._secret_of(name) if name in keys else None, self._clock())
        return keys[known]

    def _secret_of(self, name: str) -> str:
        return secret_access_key(self._store, name)


def _caller_of_api_gateway(request: Request) -> str:
    """Whom API Gateway has authorised. Raises Unauthorized where it has not been asked."""
    event = request.scope.get("aws.event", {})
    identity = event.get("requestContext", {}).get("identity", {})
    if not identity.get("userArn"):
        raise Unauthorized("Call through API Gateway, with a signature of IAM.")
    return str(identity["userArn"])
