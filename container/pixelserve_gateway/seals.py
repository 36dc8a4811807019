"""Sealed texts: what a client is given to bring back, unchanged and in time. Anybody can read them."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable, Mapping

from pixelserve_gateway.errors import Unauthorized


class Seals:
    """Seals under a secret. A text is two parts of URL-safe Base64 and a dot: JSON, and its HMAC-SHA256.

    `clock` tells Unix time.
    """

    def __init__(self, secret: bytes, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._clock = clock

    def seal(self, purpose: str, fields: Mapping[str, str], seconds: float) -> str:
        """The fields as a text that opens for this purpose alone, for so long."""
        body = _encode(json.dumps({**fields, "expires": int(self._clock() + seconds)}, sort_keys=True).encode())
        return f"{body}.{self._sign(purpose, body)}"

    def open(self, purpose: str, text: str) -> dict[str, str]:
        """The fields. Raises Unauthorized for a text that was not sealed here for this purpose, or is too old."""
        body, _, signature = text.partition(".")
        if not hmac.compare_digest(self._sign(purpose, body).encode(), signature.encode(errors="replace")):
            raise Unauthorized("The token is not one of this gateway. Ask for a new upload token.")
        fields: dict[str, str] = json.loads(_decode(body))
        if self._clock() >= int(fields.pop("expires")):
            raise Unauthorized("The token has expired. Ask for a new upload token.")
        return fields

    def derive(self, purpose: str, text: str) -> str:
        """A secret that belongs to a text: 40 characters, always the same."""
        return self._sign(f"{purpose}/secret", text)[:40]

    def _sign(self, purpose: str, text: str) -> str:
        return _encode(hmac.digest(self._secret, f"{purpose}\n{text}".encode(errors="replace"), "sha256"))


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
