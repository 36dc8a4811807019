"""Webhooks: whom to tell of a job's end, when to try again, and what became of each request.

Headers and signature are those of Standard Webhooks, made by its own package.
"""

from __future__ import annotations

import datetime
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpcore
import httpx
from standardwebhooks import Webhook as Signer

from pixelserve.errors import FetchFailed, FetchRefused, Unavailable
from pixelserve.media_types import JSON
from pixelserve.net import AsyncGuardedBackend, parse_url
from pixelserve.observe import Attributes, tracing
from pixelserve_gateway.jobs.job import Delivery, Job

Phrase = Callable[[Job], str]
"""Makes the body of a webhook: the JSON text by which a dialect tells of a job's end."""

JOB_ID = "pixelserve.job.id"
"""The attribute of a span that names its job."""
GONE = 410
"""The receiver wants no more (Standard Webhooks)."""


@dataclass(frozen=True)
class Schedule:
    """How a webhook is tried: seconds for each request, and the pauses before each further one."""

    timeout: float
    pauses: tuple[float, ...]
    accepts: Callable[[int], bool]

    def next_due(self, made: int, now: float) -> float | None:
        """When to make the next request after `made`; None: never."""
        return now + self.pauses[made - 1] if made <= len(self.pauses) else None


SCHEDULES = {
    "native": Schedule(15.0, tuple(10.0 * 4**number for number in range(7)), lambda status: 200 <= status < 300),
    "hidream": Schedule(5.0, (1.0, 1.0), lambda status: status == 200),
}
"""native: eight requests over 15 hours. hidream: its own rule."""


class Sender:
    """Sends signed requests to public addresses only, and follows no redirect.

    `allow_private` is for receivers on one's own network; `ssl_context` says whom to trust: by default as the system.
    """

    def __init__(self, *, allow_private: bool, ssl_context: ssl.SSLContext | None = None) -> None:
        self._allow_private = allow_private
        self._ssl_context = ssl_context or ssl.create_default_context()

    async def send(self, job: Job, body: str, secret: bytes, now: float) -> Delivery:
        """One request for a job that has a webhook. Never raises: what went wrong is the outcome."""
        assert job.webhook is not None
        seconds = SCHEDULES[job.webhook.schedule].timeout
        try:
            with tracing.span("webhook", job.trace, "client", _attributes(job)) as span:
                headers = [*_headers(job, body, secret, now), *span.trace.headers()]
                status, location = await self._post(job.webhook.url, headers, body, seconds)
                span.answered(status)
        except FetchRefused as error:
            return Delivery(now, None, f"address refused: {error.message}")
        except (FetchFailed, Unavailable) as error:
            return Delivery(now, None, error.message)
        except httpcore.TimeoutException:
            return Delivery(now, None, f"no answer within {seconds:g} s")
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            return Delivery(now, None, _name_failure(error))
        return Delivery(now, status, _name_answer(job, status, location))

    async def _post(self, url: str, headers: list[tuple[str, str]], body: str, seconds: float) -> tuple[int, str]:
        """The answer's status and Location."""
        backend = AsyncGuardedBackend(allow_private=self._allow_private, deadline=time.monotonic() + seconds)
        async with (
            httpcore.AsyncConnectionPool(self._ssl_context, network_backend=backend) as pool,
            pool.stream("POST", _target(url), headers=headers, content=body.encode()) as answer,
        ):
            given = {name.lower(): value for name, value in answer.headers}
            return answer.status, given.get(b"location", b"").decode(errors="replace")


def check_webhook_url(url: str) -> None:
    """Raises FetchRefused for a URL that no request will ever be sent to. Its host is looked up with each request."""
    try:
        parse_url(url)
    except httpx.InvalidURL:
        raise FetchRefused("The webhook's URL is not valid: it needs a host, and no spaces.") from None


def _target(url: str) -> httpcore.URL:
    parsed = parse_url(url)
    return httpcore.URL(scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port, target=parsed.raw_path)


def message_id(job: Job) -> str:
    """The webhook-id: the same for every request about a job."""
    return f"msg_{job.id}"


def _headers(job: Job, body: str, secret: bytes, now: float) -> list[tuple[str, str]]:
    at = datetime.datetime.fromtimestamp(int(now), datetime.UTC)
    return [
        ("Content-Type", JSON),
        ("User-Agent", "pixelserve"),
        ("webhook-id", message_id(job)),
        ("webhook-timestamp", str(int(now))),
        ("webhook-signature", Signer(secret).sign(message_id(job), at, body)),
    ]


def _attributes(job: Job) -> Attributes:
    """Of the span; a webhook's URL may hold what only its receiver may know."""
    assert job.webhook is not None
    return {"http.request.method": "POST", "server.address": parse_url(job.webhook.url).host, JOB_ID: job.id}


def _name_answer(job: Job, status: int, location: str) -> str:
    assert job.webhook is not None
    if SCHEDULES[job.webhook.schedule].accepts(status):
        return "delivered"
    if 300 <= status < 400:
        return f"redirects to {location[:200] or 'nowhere'}: not followed, give that URL"
    return "gone: not tried again" if status == GONE else f"answered {status}"


def _name_failure(error: Exception) -> str:
    """The failure of TLS that led to the error, if one did, by its own name: a certificate that is self-signed, say."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"TLS: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return f"TLS: {cause.reason or 'failed'}"
        cause = cause.__cause__ or cause.__context__
    return "the connection failed"
