"""API keys and rate limits in the job store."""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import re
import secrets
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from typing import Any

from pixelserve.errors import NotFound
from pixelserve_gateway.errors import RateLimited
from pixelserve_gateway.jobs.secret import kept_secret
from pixelserve_gateway.jobs.store import JobStore

_KEY, _SIGNER, _BUCKET = "api-key", "access-key", "bucket"
_PREFIX = "ps_"
_ID_LENGTH = 12
_SIGNER_NAME = re.compile(r"PS[0-9A-F]{12}")


@dataclass(frozen=True)
class RateLimit:
    """`per_second` calls in the long run, `burst` at once."""

    per_second: float
    burst: int


@dataclass(frozen=True)
class ApiKey:
    """What is known of a key: never the key. `scopes` are features, none for all. `revoked`: when, or None."""

    id: str
    tenant: str
    scopes: tuple[str, ...]
    created: float
    limit: RateLimit | None = None
    revoked: float | None = None


class ApiKeys:
    """The keys of a store. All calls block.

    A key is 256 random bits; the store has its SHA-256. Nothing slower is needed: there is no list of likely keys to
    try, as there is of passwords, and a fast hash is made at every request.
    """

    def __init__(self, store: JobStore) -> None:
        self._store = store

    def make(
        self, tenant: str, scopes: Collection[str], now: float, limit: RateLimit | None = None
    ) -> tuple[str, ApiKey]:
        """A new key, which nobody can read again, and what is kept of it."""
        text = _PREFIX + secrets.token_urlsafe(32)
        name = _hash(text)
        key = ApiKey(name[:_ID_LENGTH], tenant, tuple(sorted(scopes)), now, limit)
        self._store.write(_SIGNER, access_key_id(key), {"key": name}, 0)
        self._store.write(_KEY, name, asdict(key), 0)
        return text, key

    def list_keys(self) -> list[ApiKey]:
        """All keys, revoked ones too, oldest first."""
        found = [_read(record.body) for record in self._store.records(_KEY).values()]
        return sorted(found, key=lambda key: key.created)

    def find(self, text: str) -> ApiKey | None:
        """The key of that text, unless there is none or it was revoked. Found by its hash, so time tells nothing."""
        return self._open(_hash(text))

    def find_signer(self, name: str) -> ApiKey | None:
        """The key of that AccessKeyId, unless there is none or it was revoked."""
        record = self._store.read(_SIGNER, name) if _SIGNER_NAME.fullmatch(name) else None
        return self._open(record.body["key"]) if record else None

    def _open(self, name: str) -> ApiKey | None:
        record = self._store.read(_KEY, name)
        key = record and _read(record.body)
        return key if key and key.revoked is None else None

    def revoke(self, key_id: str, now: float) -> ApiKey:
        """The key, which opens nothing from now on. Raises NotFound."""
        name = next((name for name in self._store.records(_KEY) if name.startswith(key_id) and key_id), None)
        if name is None or len(key_id) != _ID_LENGTH:
            raise NotFound(f"There is no key {key_id!r}. List the keys to see their ids.")
        while True:
            record = self._store.read(_KEY, name)
            assert record is not None  # records of keys are never removed
            key = _read(record.body)
            revoked = key if key.revoked is not None else replace(key, revoked=now)
            if revoked is key or self._store.write(_KEY, name, asdict(revoked), record.version):
                return revoked


def access_key_id(key: ApiKey) -> str:
    """The AccessKeyId that belongs to an API key."""
    return f"PS{key.id.upper()}"


def secret_access_key(store: JobStore, name: str) -> str:
    """The secret of an AccessKeyId: made from the store's own secret, so that none is stored. Blocks."""
    digest = hmac.digest(kept_secret(store, "key-pairs"), name.encode(), "sha256")
    return base64.b64encode(digest).decode()


def take_token(store: JobStore, name: str, limit: RateLimit, now: float) -> None:
    """Takes a token from the bucket `name`. Raises RateLimited when it is empty, saying when it is not. Blocks."""
    while True:
        record = store.read(_BUCKET, name)
        before = {"tokens": float(limit.burst), "at": now} if record is None else record.body
        at = max(before["at"], now)
        tokens = min(before["tokens"] + (at - before["at"]) * limit.per_second, float(limit.burst))
        if tokens < 1:
            seconds = max(math.ceil((1 - tokens) / limit.per_second), 1)
            raise RateLimited(f"The key's rate limit is reached. Try again in {seconds} s.", retry_after=seconds)
        if store.write(_BUCKET, name, {"tokens": tokens - 1, "at": at}, 0 if record is None else record.version):
            return


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def _read(body: Any) -> ApiKey:
    limit = body["limit"] and RateLimit(**body["limit"])
    return ApiKey(**{**body, "scopes": tuple(body["scopes"]), "limit": limit})
