"""Fetching a caller's URL without letting it reach what only this machine may reach.

The host is resolved once, every address is checked, and the connection goes to a checked address: a name that answers
differently a moment later changes nothing. Each redirect is checked the same way. Ranges: IANA's special-purpose
registries (as in `ipaddress`), and the addresses at which clouds serve credentials.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from pixelserve.errors import FetchFailed, FetchRefused, FetchTooLarge
from pixelserve.settings import Settings

WAITING: ContextVar[Callable[[], AbstractContextManager[None]]] = ContextVar("WAITING", default=nullcontext)
"""What a thread enters while it waits for a network; a server gives its place among the decoders to others then."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

METADATA = tuple(
    ipaddress.ip_network(network)
    for network in (
        "169.254.0.0/16",  # link-local: EC2, Azure and Google metadata, ECS credentials
        "fe80::/10",
        "fd00:ec2::/32",  # EC2 metadata over IPv6
        "fd20:ce::254/128",  # Google's over IPv6
        "168.63.129.16/32",  # Azure's platform address
        "100.100.100.200/32",  # Alibaba Cloud metadata
        "192.0.0.192/32",  # Oracle Cloud metadata
    )
)
"""Refused even when private addresses are allowed."""

NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "100.64.0.0/10",  # shared between providers and their customers
        "192.88.99.0/24",  # 6to4 relays, deprecated
        "64:ff9b:1::/48",  # NAT64 within a network
        "fec0::/10",  # site-local, deprecated
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
    )
)
"""Refused unless private addresses are allowed: what `ipaddress` of some Python versions takes for global."""

NAT64 = ipaddress.ip_network("64:ff9b::/96")
LONGEST_URL = 8_192
_REDIRECTS = (301, 302, 303, 307, 308)
_BLOCK = 1 << 16
_URL_CHARACTERS = "!#$%&'()*+,/:;=?@[]~"
"""Kept as they are in a path and query; what is not ASCII is percent-encoded."""
_RESOLVER = ThreadPoolExecutor(8, thread_name_prefix="resolve")
"""Looking up a name has no time-out of its own."""


def fetch(url: str, settings: Settings) -> bytes:
    """The bytes at an http, https or s3 URL.

    Raises FetchRefused for what may not be fetched, FetchTooLarge above `fetch_max_bytes`, FetchFailed for anything
    that went wrong on the way, `fetch_timeout` seconds over all redirects included.
    """
    if url.startswith("s3://"):
        with WAITING.get()():
            return _fetch_s3(url, settings)
    deadline = time.monotonic() + settings.fetch_timeout
    for _ in range(settings.fetch_redirects + 1):
        parts = _split(url)
        try:
            with WAITING.get()():
                location, body = _get(parts, deadline, settings)
        except (OSError, http.client.HTTPException) as error:
            late = isinstance(error, TimeoutError) or time.monotonic() >= deadline
            reason = f"it took longer than {settings.fetch_timeout:g} s" if late else "the connection failed"
            raise FetchFailed(f"{parts.hostname} could not be fetched: {reason}.", param="url") from error
        if location is None:
            return body
        url = _joined(url, location)
    raise FetchFailed(f"The URL redirects more than {settings.fetch_redirects} times.", param="url")


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise FetchFailed("The URL redirects to something that is no URL.", param="url") from error


def _split(url: str) -> SplitResult:
    if len(url) > LONGEST_URL:
        raise FetchRefused(f"The URL is longer than {LONGEST_URL:,} characters.", param="url")
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError as error:
        raise FetchRefused("The URL is not valid.", param="url") from error
    if parts.scheme not in ("http", "https"):
        raise FetchRefused(
            f"URLs of the scheme {parts.scheme[:20]!r} are not fetched: use http, https or s3.", param="url"
        )
    if not parts.hostname or not port_is_valid or any(ord(c) <= 32 or ord(c) == 127 for c in url):
        raise FetchRefused("The URL is not valid: it needs a host, and no spaces.", param="url")
    if parts.username is not None or parts.password is not None:
        raise FetchRefused("URLs with a user name or password are not fetched.", param="url")
    return parts


def _get(parts: SplitResult, deadline: float, settings: Settings) -> tuple[str | None, bytes]:
    """(where it redirects to, nothing) or (None, the body)."""
    assert parts.hostname is not None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    looking_up = _RESOLVER.submit(resolve, parts.hostname, port, settings.fetch_allow_private)
    address = looking_up.result(timeout=_seconds_left(deadline))
    connection = _Pinned(parts.scheme == "https", parts.hostname, port, address, deadline)
    watchdog = threading.Timer(_seconds_left(deadline), connection.abort)  # one drop at a time is not progress
    watchdog.start()
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.putrequest("GET", quote(target, safe=_URL_CHARACTERS), skip_accept_encoding=True)
        connection.putheader("Accept", "image/*, */*;q=0.1")
        connection.putheader("Accept-Encoding", "identity")
        connection.putheader("User-Agent", "pixelserve")
        connection.putheader("Connection", "close")
        connection.endheaders()
        with connection.getresponse() as response:
            if response.status in _REDIRECTS and response.getheader("Location"):
                return response.getheader("Location"), b""
            if response.status != 200:
                raise FetchFailed(f"{parts.hostname} answered {response.status}.", param="url")
            if (response.length or 0) > settings.fetch_max_bytes:
                raise _too_large(settings)
            body = _read(response, deadline, settings)
            _seconds_left(deadline)  # a body cut off by the watchdog may look whole
            return None, body
    finally:
        watchdog.cancel()
        connection.close()


def _seconds_left(deadline: float) -> float:
    """Raises TimeoutError when none are left."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _read(response: http.client.HTTPResponse, deadline: float, settings: Settings) -> bytes:
    blocks: list[bytes] = []
    size = 0
    while block := response.read1(_BLOCK):
        _seconds_left(deadline)
        size += len(block)
        if size > settings.fetch_max_bytes:
            raise _too_large(settings)
        blocks.append(block)
    if response.length:
        raise FetchFailed("The connection ended before the whole file was there.", param="url")
    return b"".join(blocks)


def _too_large(settings: Settings) -> FetchTooLarge:
    return FetchTooLarge(
        f"The file at the URL is larger than {settings.fetch_max_bytes:,} bytes. Shrink it, or raise "
        "PIXELSERVE_FETCH_MAX_BYTES.",
        param="url",
    )


def resolve(host: str, port: int, allow_private: bool) -> str:
    """One checked address of the host. Raises FetchRefused when any of its addresses is not allowed, FetchFailed."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise FetchFailed(f"{host} has no address.", param="url") from error
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        if not is_allowed(ipaddress.ip_address(address.partition("%")[0]), allow_private):
            raise FetchRefused(f"{host} is an internal address; only public ones are fetched.", param="url")
    return addresses[0]


def is_allowed(address: Address, allow_private: bool) -> bool:
    """Whether an address may be connected to; addresses inside IPv6 wrappers are judged by what they wrap."""
    inner = _unwrapped(address)
    if inner is not None:
        return is_allowed(inner, allow_private)
    if any(address in network for network in METADATA) or address.is_multicast or address.is_unspecified:
        return False
    if allow_private:
        return True
    return address.is_global and not address.is_reserved and not any(address in network for network in NOT_PUBLIC)


def _unwrapped(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address in a mapped, 6to4, Teredo or NAT64 one."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.teredo is not None:
        return address.teredo[1]
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if int(address) >> 32 == 0 and int(address) > 1:  # the deprecated IPv4-compatible form
        return ipaddress.IPv4Address(int(address))
    return address.ipv4_mapped or address.sixtofour


class _Pinned(http.client.HTTPConnection):
    """A connection to a given address; host name, SNI and certificate are those of the URL."""

    def __init__(self, secure: bool, host: str, port: int, address: str, deadline: float) -> None:
        super().__init__(host, port)
        self._secure = secure
        self._address = address
        self._deadline = deadline
        if secure:
            self.default_port = http.client.HTTPS_PORT

    def connect(self) -> None:
        self.sock = socket.create_connection((self._address, self.port), _seconds_left(self._deadline))
        if self._secure:
            context = ssl.create_default_context()
            self.sock = secure = context.wrap_socket(
                self.sock, server_hostname=self.host, do_handshake_on_connect=False
            )
            secure.settimeout(_seconds_left(self._deadline))
            secure.do_handshake()  # with `sock` set, so that `abort` reaches it
        self.sock.settimeout(_seconds_left(self._deadline))

    def abort(self) -> None:
        """Ends whatever is being read or written."""
        if self.sock is not None:
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)


def _fetch_s3(url: str, settings: Settings) -> bytes:
    if len(url) > LONGEST_URL or not url.isprintable():
        raise FetchRefused("The S3 URL is too long or holds characters that no key has.", param="url")
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if bucket not in settings.s3_buckets:
        raise FetchRefused(f"The bucket {bucket!r} is not in PIXELSERVE_S3_BUCKETS.", param="url")
    if not key:
        raise FetchRefused("The S3 URL names no object: write s3://bucket/key.", param="url")
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError as error:
        raise FetchFailed("s3:// URLs need boto3: pip install 'pixelserve[server]'.", param="url") from error
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
                _seconds_left(deadline)
                blocks.append(block)
    except TimeoutError as error:
        raise FetchFailed(f"S3 took longer than {settings.fetch_timeout:g} s.", param="url") from error
    except ClientError as error:
        raise FetchFailed(f"S3 answered {error.response['Error']['Code']} for the object.", param="url") from error
    except BotoCoreError as error:
        raise FetchFailed("S3 could not be reached.", param="url") from error
    return b"".join(blocks)
