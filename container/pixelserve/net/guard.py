"""Which addresses may be called, and network backends for httpcore that call no others.

A host is looked up once for a connection, every address of it is checked, and the connection goes to a checked
address: a name that answers differently a moment later changes nothing. The Host header, SNI and the certificate stay
those of the URL. Ranges: IANA's special-purpose registries (as in `ipaddress`), and the addresses at which clouds
serve credentials.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any, TypeVar

import httpcore

from pixelserve.errors import FetchFailed, FetchRefused, Unavailable
from pixelserve.net.waiting import Check, ignore

T = TypeVar("T")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

Resolver = Callable[[str, int], Sequence[str]]
"""(host, port) to the host's addresses. It blocks. It raises OSError or UnicodeError for a host that has none."""

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
ISATAP = 0x5EFE
"""Bits 32 to 63 of an IPv6 address that ends in an IPv4 one (RFC 5214), but for two flags."""

_BLOCK = 1 << 14
_LOOK_SECONDS = 0.25
"""A wait is given up so soon after nobody wants it any more."""
_RETRY_SECONDS = 5


class _Steps:
    """Threads for steps that cannot be given up: they go on, and count, when nobody waits for them any more."""

    def __init__(self, most: int, what: str) -> None:
        self._threads = ThreadPoolExecutor(most, thread_name_prefix=f"network: {what}")
        self._free = threading.Semaphore(most)
        self._what = what

    def begin(self, step: Callable[[], T]) -> Future[T]:
        """Runs a step. Raises Unavailable where as many as may be are under way, or no thread can be started."""
        if not self._free.acquire(blocking=False):
            raise Unavailable(f"Too many {self._what} are under way. Try again.", retry_after=_RETRY_SECONDS)
        wanted = [step]
        try:
            running = self._threads.submit(lambda: wanted.pop()())
        except RuntimeError as error:  # of the system; the pool has queued it all the same
            wanted.clear()
            self._free.release()
            raise Unavailable(
                f"No thread can be started for {self._what}. Try again.", retry_after=_RETRY_SECONDS
            ) from error
        running.add_done_callback(lambda _: self._free.release())
        return running


_LOOK_UPS = _Steps(256, "look-ups of hosts")
"""They have no time-out of their own: a name server that never answers holds each for half a minute."""
_CONNECTS = _Steps(256, "connections to hosts")


def is_allowed(address: Address, allow_private: bool) -> bool:
    """Whether an address may be connected to; addresses inside IPv6 wrappers are judged by what they wrap."""
    inner = _unwrapped(address)
    if inner is not None:
        return is_allowed(inner, allow_private)
    tunnelled = _tunnelled(address)
    if tunnelled is not None and not is_allowed(tunnelled, allow_private):
        return False
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


def _tunnelled(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address at the end of an ISATAP one; its prefix may be any, and counts too."""
    if isinstance(address, ipaddress.IPv4Address) or (int(address) >> 32) & 0xFCFFFFFF != ISATAP:
        return None
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)


def look_up(host: str, port: int) -> list[str]:
    """The addresses of a host as the system has them; decimal, octal and hexadecimal spellings are hosts too."""
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def find_addresses(host: str, port: int, allow_private: bool, resolve: Resolver = look_up) -> list[str]:
    """The addresses of a host, at least one, all checked.

    Raises FetchRefused when any of them is not allowed, FetchFailed when the host has none.
    """
    try:
        addresses = list(resolve(host, port))
    except (OSError, UnicodeError) as error:
        raise FetchFailed(f"{host} has no address.") from error
    if not addresses:
        raise FetchFailed(f"{host} has no address.")
    for address in addresses:
        if not is_allowed(ipaddress.ip_address(address.partition("%")[0]), allow_private):
            raise FetchRefused(f"{host} is an internal address; only public ones are fetched.")
    return addresses


def _seconds_left(deadline: float, timeout: float | None, late: type[httpcore.TimeoutException]) -> float:
    """The lesser of `timeout` and what is left until the deadline. Raises `late` when nothing is."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise late("The deadline has passed.")
    return left if timeout is None else min(left, timeout)


def _turns(addresses: Sequence[str], deadline: float) -> Iterator[tuple[str, float]]:
    """Each address with the seconds in which to connect to it: half of what is left, the last one all of it."""
    for number, address in enumerate(addresses, start=1):
        left = _seconds_left(deadline, None, httpcore.ConnectTimeout)
        yield address, left if number == len(addresses) else left / 2


class _Guard:
    """What the two backends share. `deadline` is a value of `time.monotonic()`: a backend is for one use.

    They raise Unavailable while too many others wait for the network.
    """

    def __init__(
        self, *, allow_private: bool, deadline: float, resolve: Resolver = look_up, check: Check = ignore
    ) -> None:
        self._allow_private = allow_private
        self._deadline = deadline
        self._resolve = resolve
        self._check = check

    def _look_up(self, host: str, port: int) -> Future[list[str]]:
        return _LOOK_UPS.begin(partial(find_addresses, host, port, self._allow_private, self._resolve))

    def _connect_deadline(self, timeout: float | None) -> float:
        return time.monotonic() + _seconds_left(self._deadline, timeout, httpcore.ConnectTimeout)


class GuardedBackend(_Guard, httpcore.NetworkBackend):
    """Connects to allowed addresses only, and ends whatever still runs at the deadline.

    Each step gets the lesser of its own time-out and what is left, so one byte a second is not progress. Where a
    host has several addresses, each is tried in its turn. `connect_tcp` raises FetchRefused, FetchFailed for a host
    without an address, and what httpcore's own backend raises. What `check` raises ends every step.
    """

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        deadline = self._connect_deadline(timeout)
        network = httpcore.SyncBackend()
        failure: Exception = httpcore.ConnectError("There is no address to connect to.")
        addresses = _await(self._look_up(host, port), deadline, self._check)
        for address, seconds in _turns(addresses, deadline):
            try:
                stream = _await_stream(
                    partial(network.connect_tcp, address, port, seconds, local_address, socket_options),
                    deadline,
                    self._check,
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _GuardedStream(stream, self._deadline, self._check)
        raise failure


class _GuardedStream(httpcore.NetworkStream):
    """A stream that ends at the deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float, check: Check) -> None:
        self._stream = stream
        self._deadline = deadline
        self._check = check

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        until = time.monotonic() + _seconds_left(self._deadline, timeout, httpcore.ReadTimeout)
        while True:
            self._check()
            left = _seconds_left(until, None, httpcore.ReadTimeout)
            with contextlib.suppress(httpcore.ReadTimeout):
                return self._stream.read(max_bytes, min(left, _LOOK_SECONDS))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _BLOCK):  # what is written in parts gets the time-out anew for each
            left = _seconds_left(self._deadline, timeout, httpcore.WriteTimeout)
            self._stream.write(buffer[start : start + _BLOCK], left)

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _seconds_left(self._deadline, timeout, httpcore.ConnectTimeout)
        stream = _await_stream(
            partial(self._stream.start_tls, ssl_context, server_hostname, left), self._deadline, self._check
        )
        return _GuardedStream(stream, self._deadline, self._check)

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _await(step: Future[T], deadline: float, check: Check) -> T:
    """The result of a step. Raises ConnectTimeout at the deadline, and what `check` raises."""
    try:
        while True:
            left = _seconds_left(deadline, None, httpcore.ConnectTimeout)
            done, _ = wait([step], min(left, _LOOK_SECONDS))
            if done:
                return step.result()
            check()
    finally:
        step.cancel()


def _await_stream(step: Callable[[], httpcore.NetworkStream], deadline: float, check: Check) -> httpcore.NetworkStream:
    """The stream that a step opens; one that comes after it was given up is closed."""
    opening = _CONNECTS.begin(step)
    try:
        return _await(opening, deadline, check)
    except BaseException:
        opening.add_done_callback(_close_late)
        raise


def _close_late(opening: Future[httpcore.NetworkStream]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


class AsyncGuardedBackend(_Guard, httpcore.AsyncNetworkBackend):
    """`GuardedBackend` for asyncio."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        deadline = self._connect_deadline(timeout)
        network = httpcore.AnyIOBackend()
        failure: Exception = httpcore.ConnectError("There is no address to connect to.")
        for address, seconds in _turns(await self._addresses(host, port, deadline), deadline):
            try:
                stream = await network.connect_tcp(address, port, seconds, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _AsyncGuardedStream(stream, self._deadline)
        raise failure

    async def _addresses(self, host: str, port: int, deadline: float) -> list[str]:
        looking_up = asyncio.wrap_future(self._look_up(host, port))  # cancelled with the one that waits for it
        try:
            async with asyncio.timeout(_seconds_left(deadline, None, httpcore.ConnectTimeout)):
                return await looking_up
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("The host is still being looked up.") from error


class _AsyncGuardedStream(httpcore.AsyncNetworkStream):
    """A stream that ends at the deadline."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._stream.read(max_bytes, _seconds_left(self._deadline, timeout, httpcore.ReadTimeout))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, _seconds_left(self._deadline, timeout, httpcore.WriteTimeout))

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        left = _seconds_left(self._deadline, timeout, httpcore.ConnectTimeout)
        return _AsyncGuardedStream(await self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
