"""Fetching a caller's URL without letting it reach what only this machine may reach."""

from __future__ import annotations

import contextlib
import functools
import io
import ssl
import time
import zlib
from collections.abc import Iterator

import httpcore
import httpx

from pixelserve.errors import FetchFailed, FetchRefused, FetchTooLarge
from pixelserve.net.guard import GuardedBackend, Resolver, look_up
from pixelserve.net.waiting import WAITING, Check
from pixelserve.settings import Settings

LONGEST_URL = 8_192
_BLOCK = 1 << 16
_S3 = "s3://"
_MOST_CODINGS = 2
_NO_CODINGS = ("", "identity", "aws-chunked")
_DEFLATED = ("gzip", "x-gzip", "deflate")
_GZIP = b"\x1f\x8b"
_ANY_HEADER, _NO_HEADER = zlib.MAX_WBITS | 32, -zlib.MAX_WBITS
"""zlib's own header, or gzip's; and none, which some servers call deflate (RFC 9110, 8.4.1.2)."""
_HEADERS = {
    "Accept": "image/*, */*;q=0.1",
    "Accept-Encoding": "identity",
    "User-Agent": "pixelserve",
    "Connection": "close",
}


def fetch(
    url: str, settings: Settings, *, resolve: Resolver = look_up, ssl_context: ssl.SSLContext | None = None
) -> bytes:
    """The bytes at an http, https or s3 URL.

    `resolve` looks hosts up, `ssl_context` says whom to trust: the system does both where none is given.
    Raises FetchRefused for what may not be fetched, FetchTooLarge above `fetch_max_bytes`, FetchFailed for anything
    that went wrong on the way, `fetch_timeout` seconds over all redirects included, Unavailable while too many others
    wait for the network.
    """
    url = url.strip()
    try:
        if not settings.fetch:
            raise FetchRefused("This endpoint fetches no URLs. Send the image as the body, or in Base64 as img.")
        with WAITING.get()() as check:
            if url[: len(_S3)].lower() == _S3:
                return _fetch_s3(url, settings, check)
            return _fetch_http(url, settings, resolve, ssl_context or _system_trust(), check)
    except (FetchRefused, FetchFailed, FetchTooLarge) as error:
        error.param = "url"
        raise


@functools.cache
def _system_trust() -> ssl.SSLContext:
    return ssl.create_default_context()


def _fetch_http(url: str, settings: Settings, resolve: Resolver, ssl_context: ssl.SSLContext, check: Check) -> bytes:
    try:
        first = parse_url(url)
    except httpx.InvalidURL as error:
        raise FetchRefused("The URL is not valid: it needs a host, without spaces.") from error
    backend = GuardedBackend(
        allow_private=settings.fetch_allow_private,
        deadline=time.monotonic() + settings.fetch_timeout,
        resolve=resolve,
        check=check,
    )
    client = httpx.Client(
        transport=_Transport(httpcore.ConnectionPool(ssl_context, network_backend=backend), settings.fetch_timeout),
        headers=_HEADERS,
        event_hooks={"request": [lambda request: parse_url(str(request.url))]},
        follow_redirects=True,
        max_redirects=settings.fetch_redirects,
        timeout=None,  # the backend's deadline is the one that counts
        trust_env=False,
    )
    try:
        with client, client.stream("GET", first) as response:
            return _read(response, settings)
    except httpx.TooManyRedirects as error:
        raise FetchFailed(f"The URL redirects more than {settings.fetch_redirects} times.") from error
    except (httpx.RemoteProtocolError, httpx.InvalidURL, UnicodeError) as error:  # httpx itself finds no other fault
        raise FetchFailed("The URL redirects to something that is no URL.") from error


def parse_url(text: str) -> httpx.URL:
    """Raises FetchRefused for what may not be fetched, httpx.InvalidURL for what is no URL."""
    if len(text) > LONGEST_URL:
        raise FetchRefused(f"The URL is longer than {LONGEST_URL:,} characters.")
    try:
        url = httpx.URL(text)
        _ = url.host  # decodes a name that begins with xn--, whatever follows
    except UnicodeError as error:  # half a surrogate pair
        raise httpx.InvalidURL("The URL holds what is no character, or no name of a host.") from error
    if not url.scheme:
        raise FetchRefused("The URL has no scheme: write it whole, as https://…")
    if url.scheme not in ("http", "https"):
        raise FetchRefused(f"URLs of the scheme {url.scheme[:20]!r} are not fetched: use http, https or s3.")
    if url.userinfo:
        raise FetchRefused("URLs with a user name or password are not fetched.")
    has_port = url.port is None or 0 < url.port < 1 << 16
    if not url.raw_host or b"%" in url.raw_host or not has_port:
        raise httpx.InvalidURL("no host that could be looked up, or no such port")
    return url


def _read(response: httpx.Response, settings: Settings) -> bytes:
    if response.status_code != 200:
        raise FetchFailed(f"{response.url.host} answered {response.status_code}.")
    if int(response.headers.get("Content-Length", 0)) > settings.fetch_max_bytes:
        raise _too_large(settings)
    body = io.BytesIO()
    for block in response.iter_raw():
        body.write(block)
        if body.tell() > settings.fetch_max_bytes:
            raise _too_large(settings)
    return _without_codings(body.getvalue(), response, settings)


def _without_codings(body: bytes, response: httpx.Response, settings: Settings) -> bytes:
    """The body without its Content-Encoding, of which none was asked for, and some servers have one all the same."""
    given = response.headers.get_list("Content-Encoding", split_commas=True)
    kinds = [kind for coding in given if (kind := coding.strip().lower()) not in _NO_CODINGS]
    if len(kinds) > _MOST_CODINGS:
        raise FetchFailed(f"{response.url.host} answered in more than {_MOST_CODINGS} encodings, one in another.")
    for kind in reversed(kinds):
        if kind not in _DEFLATED:
            raise FetchFailed(f"{response.url.host} answered in the encoding {kind[:20]!r}, which is not read.")
        try:
            inflater = zlib.decompressobj(_ANY_HEADER if kind != "deflate" or _has_header(body) else _NO_HEADER)
            body = inflater.decompress(body, settings.fetch_max_bytes + 1)
        except zlib.error as error:
            raise FetchFailed(f"{response.url.host} called its answer {kind}, and it is not.") from error
        if len(body) > settings.fetch_max_bytes:
            raise _too_large(settings)
        if not inflater.eof:
            raise FetchFailed("The file at the URL is cut off.")
        if inflater.unused_data.startswith(_GZIP):
            raise FetchFailed(f"{response.url.host} answered in several parts of gzip, which are not read.")
    return body


def _has_header(deflated: bytes) -> bool:
    """Of zlib (RFC 1950, 2.2)."""
    return len(deflated) > 1 and deflated[0] & 15 == zlib.DEFLATED and int.from_bytes(deflated[:2]) % 31 == 0


def _too_large(settings: Settings) -> FetchTooLarge:
    return FetchTooLarge(
        f"The file at the URL is larger than {settings.fetch_max_bytes:,} bytes. Shrink it, or raise "
        "PIXELSERVE_FETCH_MAX_BYTES."
    )


class _Transport(httpx.BaseTransport):
    """httpx over a pool of httpcore's. It lets no cookie through, and no body of a redirect."""

    def __init__(self, pool: httpcore.ConnectionPool, seconds: float) -> None:
        self._pool = pool
        self._seconds = seconds

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        with _explained(url.host, self._seconds):
            answer = self._pool.handle_request(
                httpcore.Request(request.method, target, headers=request.headers.raw, extensions=request.extensions)
            )
        headers = [(name, value) for name, value in answer.headers if name.lower() != b"set-cookie"]
        response = httpx.Response(answer.status, headers=headers, stream=_Body(answer, url.host, self._seconds))
        if response.has_redirect_location:
            response.close()
            return httpx.Response(answer.status, headers=[pair for pair in headers if pair[0].lower() == b"location"])
        return response

    def close(self) -> None:
        self._pool.close()


class _Body(httpx.SyncByteStream):
    """The body of an answer of `host`."""

    def __init__(self, answer: httpcore.Response, host: str, seconds: float) -> None:
        self._answer = answer
        self._host = host
        self._seconds = seconds

    def __iter__(self) -> Iterator[bytes]:
        with _explained(self._host, self._seconds):
            try:
                yield from self._answer.iter_stream()
            except httpcore.RemoteProtocolError as error:
                raise FetchFailed("The connection ended before the whole file was there.") from error

    def close(self) -> None:
        self._answer.close()


@contextlib.contextmanager
def _explained(host: str, seconds: float) -> Iterator[None]:
    """Turns what httpcore raises into FetchFailed."""
    try:
        yield
    except httpcore.TimeoutException as error:
        raise FetchFailed(f"{host} could not be fetched: it took longer than {seconds:g} s.") from error
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise FetchFailed(f"{host} could not be fetched: the connection failed.") from error


def _fetch_s3(url: str, settings: Settings, check: Check) -> bytes:
    if len(url) > LONGEST_URL or not url.isprintable():
        raise FetchRefused("The S3 URL is too long or holds characters that no key has.")
    bucket, _, key = url[len(_S3) :].partition("/")
    if bucket not in settings.s3_buckets:
        raise FetchRefused(f"The bucket {bucket!r} is not in PIXELSERVE_S3_BUCKETS.")
    if not key:
        raise FetchRefused("The S3 URL names no object: write s3://bucket/key.")
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError as error:
        raise FetchFailed("s3:// URLs need boto3: in a clone, pip install '.[server]'.") from error
    config = Config(
        connect_timeout=settings.fetch_timeout, read_timeout=settings.fetch_timeout, retries={"total_max_attempts": 1}
    )
    deadline = time.monotonic() + settings.fetch_timeout
    try:
        with contextlib.closing(boto3.client("s3", config=config)) as client:
            answer = client.get_object(Bucket=bucket, Key=key)
            if answer["ContentLength"] > settings.fetch_max_bytes:
                raise _too_large(settings)
            blocks = []
            for block in answer["Body"].iter_chunks(_BLOCK):
                check()
                if time.monotonic() > deadline:
                    raise TimeoutError
                blocks.append(block)
    except TimeoutError as error:
        raise FetchFailed(f"S3 took longer than {settings.fetch_timeout:g} s.") from error
    except ClientError as error:
        raise FetchFailed(f"S3 answered {error.response['Error']['Code']} for the object.") from error
    except BotoCoreError as error:
        raise FetchFailed("S3 could not be reached.") from error
    return b"".join(blocks)
