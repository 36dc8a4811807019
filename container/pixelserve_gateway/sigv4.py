"""Verifies AWS Signature Version 4 of a request's Authorization header, against the headers that it declares.

Source: AWS General Reference, "Signature Version 4 signing process". botocore signs `host` whatever a client declares,
so it cannot verify clients that leave it out.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote

from pixelserve_gateway.errors import Unauthorized

ALGORITHM = "AWS4-HMAC-SHA256"
SKEW_SECONDS = 900
"""A signature holds for so long before and after its time."""
MOST_SIGNED = 50
"""Headers in a signature; SDKs sign about five."""
_PART = re.compile(r"(Credential|SignedHeaders|Signature)=([^,\s]+)")


@dataclass(frozen=True)
class SignedRequest:
    """What is signed. `path` is as it came, `headers` by name in lower case, `body_hash` the SHA-256 in hex."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body_hash: str


def scope_of(authorization: str) -> tuple[str, str]:
    """Region and service that an Authorization header is signed for. Raises Unauthorized."""
    _key_id, _date, region, service = [*_parts(authorization)["Credential"].split("/"), "", "", ""][:4]
    return region, service


def signer_of(headers: Mapping[str, str], now: float) -> str:
    """The access key id that a signature claims to be of. Raises Unauthorized where it is not of this time."""
    key_id, date = [*_parts(headers.get("authorization", ""))["Credential"].split("/"), ""][:2]
    _check_time(headers.get("x-amz-date", ""), date, now)
    return key_id


def verify(request: SignedRequest, secret: str) -> None:
    """Raises Unauthorized where the secret has not signed the request. Its time is not looked at: `signer_of` does."""
    parts = _parts(request.headers.get("authorization", ""))
    _key_id, _, scope = parts["Credential"].partition("/")
    date, region, service, _ending = [*scope.split("/"), "", "", "", ""][:4]
    stamp = request.headers.get("x-amz-date", "")
    canonical = _canonical(request, _read_signed(parts["SignedHeaders"], request.headers))
    text = "\n".join([ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    expected = hmac.digest(key, text.encode(), "sha256").hex()
    if not hmac.compare_digest(expected.encode(), parts["Signature"].encode()):
        raise Unauthorized("The signature does not fit the request. Check the secret key, and that nothing changes it.")


def _parts(authorization: str) -> dict[str, str]:
    parts = dict(_PART.findall(authorization)) if authorization.startswith(ALGORITHM) else {}
    if set(parts) != {"Credential", "SignedHeaders", "Signature"}:
        raise Unauthorized(f"Sign the request: {ALGORITHM} Credential=…, SignedHeaders=…, Signature=….")
    return parts


def _check_time(stamp: str, date: str, now: float) -> None:
    try:
        signed = datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)
    except ValueError:
        raise Unauthorized("X-Amz-Date is missing, or is not like 20260131T235959Z.") from None
    if not stamp.startswith(date) or abs(signed.timestamp() - now) > SKEW_SECONDS:
        raise Unauthorized("The signature is not of this time. Set the clock, and sign each request anew.")


def _read_signed(text: str, headers: Mapping[str, str]) -> list[str]:
    """The names of the signed headers. Raises Unauthorized unless they are few, and each is there and named once.

    What is made of them is then no larger than the head of the request.
    """
    names = text.split(";")
    if len(names) > MOST_SIGNED or len(names) != len(set(names)) or not all(name in headers for name in names):
        raise Unauthorized(f"SignedHeaders must name headers of the request, each once, at most {MOST_SIGNED}.")
    return names


def _canonical(request: SignedRequest, signed: list[str]) -> str:
    query = sorted((_quote(name), _quote(value)) for name, value in parse_qsl(request.query, keep_blank_values=True))
    lines = [f"{name}:{' '.join(request.headers[name].split())}" for name in signed]
    path = quote(request.path or "/", safe="/-_.~")  # encoded once more, as for every service but S3
    parts = [request.method, path, "&".join(f"{name}={value}" for name, value in query), *lines, ""]
    body_hash = request.headers.get("x-amz-content-sha256", request.body_hash)
    if body_hash not in ("UNSIGNED-PAYLOAD", request.body_hash):
        raise Unauthorized("X-Amz-Content-Sha256 is not the hash of the body.")
    return "\n".join([*parts, ";".join(signed), body_hash])


def _quote(text: str) -> str:
    return quote(text, safe="-_.~")
