"""Secrets that all processes of a gateway share, made once and kept in the store."""

from __future__ import annotations

import base64
import secrets

from pixelserve_gateway.jobs.store import JobStore

_KIND = "secret"
_BYTES = 32


def kept_secret(store: JobStore, name: str) -> bytes:
    """The 32 random bytes of that name, the same for everybody who asks; made when first asked for."""
    while (record := store.read(_KIND, name)) is None:
        store.write(_KIND, name, {"bytes": base64.b64encode(secrets.token_bytes(_BYTES)).decode()}, 0)
    return base64.b64decode(record.body["bytes"])


def webhook_secret(store: JobStore, tenant: str) -> bytes:
    """The secret that a tenant's webhooks are signed with. Its `whsec_` form is shown to nobody else."""
    return kept_secret(store, f"webhook/{tenant}")
