"""The guard: which addresses are allowed, and both backends over real connections with a resolver of the test's."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpcore
import pytest
import sites
from servers import wait_for

import pixelserve.net
from pixelserve.errors import FetchFailed, FetchRefused, Unavailable
from pixelserve.net import AsyncGuardedBackend, GuardedBackend, guard, is_allowed
from pixelserve.net.guard import Resolver, look_up

LATE = 60.0
"""Seconds of a deadline that no test reaches."""

METADATA = [
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::1",
    "fe80::5efe:8.8.8.8",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::",
    "2001:db8::5efe:169.254.169.254",
]
PRIVATE = [
    "127.0.0.1",
    "127.255.255.254",
    "10.0.0.1",
    "172.16.5.4",
    "192.168.1.1",
    "100.64.0.1",
    "198.18.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "fc00::1",
    "fec0::1",
    "3fff::1",
    "5f00::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::127.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1:a00:1:0:808:808",
    "2002:7f00:1::",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
    "2606:2800:220:1:0:5efe:127.0.0.1",
    "2606:2800:220:1:200:5efe:10.0.0.1",
    "2606:2800:220:1:300:5efe:192.168.0.1",
    "fc00::200:5efe:8.8.8.8",
]
NEVER = ["0.0.0.0", "::", "224.0.0.1", "ff02::1"]
PUBLIC = [
    "93.184.216.34",
    "2606:2800:220:1:248:1893:25c8:1946",
    "::ffff:93.184.216.34",
    "64:ff9b::808:808",
    "2606:2800:220:1:200:5efe:8.8.8.8",
]


class Peer:
    """A server of loopback that greets whoever connects; `calls` counts them."""

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        self.listener = socket.create_server(
            (address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET
        )
        self.port: int = self.listener.getsockname()[1]
        self.calls = 0
        threading.Thread(target=self._greet, daemon=True).start()

    def _greet(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                with self.listener.accept()[0] as connection:
                    self.calls += 1
                    connection.sendall(b"hello")

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: Any) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


Read = Callable[..., bytes]


def read(host: str, port: int, *, seconds: float = LATE, timeout: float | None = None, **options: Any) -> bytes:
    """What the host says first, by the blocking backend."""
    backend = GuardedBackend(deadline=time.monotonic() + seconds, **options)
    stream = backend.connect_tcp(host, port, timeout=timeout)
    try:
        return stream.read(100, timeout=timeout)
    finally:
        stream.close()


def read_async(host: str, port: int, *, seconds: float = LATE, timeout: float | None = None, **options: Any) -> bytes:
    """The same by the backend for asyncio."""

    async def call() -> bytes:
        backend = AsyncGuardedBackend(deadline=time.monotonic() + seconds, **options)
        stream = await backend.connect_tcp(host, port, timeout=timeout)
        try:
            return await stream.read(100, timeout=timeout)
        finally:
            await stream.aclose()

    return asyncio.run(call())


def get(url: str, trust: ssl.SSLContext | None = None, *, seconds: float = LATE, **options: Any) -> bytes:
    """The body at a URL, by httpcore's pool and the blocking backend."""
    backend = GuardedBackend(deadline=time.monotonic() + seconds, **options)
    with httpcore.ConnectionPool(trust, network_backend=backend) as pool:
        return pool.request("GET", url).content


def get_async(url: str, trust: ssl.SSLContext | None = None, *, seconds: float = LATE, **options: Any) -> bytes:
    """The same by the backend for asyncio."""

    async def call() -> bytes:
        backend = AsyncGuardedBackend(deadline=time.monotonic() + seconds, **options)
        async with httpcore.AsyncConnectionPool(trust, network_backend=backend) as pool:
            return (await pool.request("GET", url)).content

    return asyncio.run(call())


both = pytest.mark.parametrize("read", [read, read_async])
both_get = pytest.mark.parametrize("get", [get, get_async])


def answering(*addresses: str) -> Resolver:
    """A resolver that knows these addresses for every name."""
    return lambda host, port: addresses


@pytest.mark.parametrize("address", METADATA + NEVER)
def test_never_allowed(address: str) -> None:
    for allow_private in (False, True):
        assert not is_allowed(ipaddress.ip_address(address), allow_private)


@pytest.mark.parametrize("address", PRIVATE)
def test_allowed_where_private_addresses_are(address: str) -> None:
    assert not is_allowed(ipaddress.ip_address(address), allow_private=False)
    assert is_allowed(ipaddress.ip_address(address), allow_private=True)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_allowed(ipaddress.ip_address(address), allow_private=False)


@both
@pytest.mark.parametrize("address", METADATA + NEVER + PRIVATE)
def test_a_name_with_such_an_address_is_refused(read: Read, address: str) -> None:
    with pytest.raises(FetchRefused, match=r"name\.test is an internal address; only public ones are fetched"):
        read("name.test", 80, allow_private=False, resolve=answering(address))


@both
@pytest.mark.parametrize("spelling", ["127.1", "0", "2130706433", "017700000001", "0x7f.0.0.1", "localhost", "::1"])
def test_the_system_resolver_knows_every_spelling(read: Read, spelling: str) -> None:
    with pytest.raises(FetchRefused):
        read(spelling, 80, allow_private=False)


@both
def test_one_private_address_among_public_ones_is_enough_to_refuse(read: Read) -> None:
    with Peer() as peer:
        for addresses in (["93.184.216.34", "127.0.0.1"], ["127.0.0.1", "93.184.216.34"], ["8.8.8.8", "fe80::1%lo"]):
            with pytest.raises(FetchRefused):
                read("mixed.test", peer.port, allow_private=False, resolve=answering(*addresses))
        assert peer.calls == 0


@both
def test_a_name_is_looked_up_once_and_the_checked_address_is_called(read: Read) -> None:
    """DNS rebinding: the name answers one address first, and others ever after."""
    asked: list[tuple[str, int]] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["127.0.0.1" if len(asked) == 1 else "169.254.169.254"]

    with Peer() as peer:
        assert read("rebinding.test", peer.port, allow_private=True, resolve=resolve) == b"hello"
        assert asked == [("rebinding.test", peer.port)]
        with pytest.raises(FetchRefused):
            read("rebinding.test", peer.port, allow_private=True, resolve=resolve)
        assert peer.calls == 1


@both
def test_the_next_address_is_called_where_one_refuses_or_is_silent(read: Read) -> None:
    with Peer() as peer, full_listener("127.0.0.3", peer.port):
        addresses = ["127.0.0.2", "127.0.0.3", "127.0.0.1"]
        resolve = answering(*addresses)
        assert read("many.test", peer.port, seconds=4, allow_private=True, resolve=resolve) == b"hello"
        with pytest.raises(httpcore.ConnectError):
            read("many.test", peer.port, allow_private=True, resolve=answering("127.0.0.2", "127.0.0.4"))


@contextlib.contextmanager
def full_listener(address: str, port: int) -> Iterator[None]:
    """A port at which a connection is neither made nor refused."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((address, port), backlog=0))
        while True:
            caller = stack.enter_context(socket.socket())
            caller.settimeout(0.5)
            try:
                caller.connect(listener.getsockname())
            except TimeoutError:
                break
        yield


@both
@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_ipv6(read: Read) -> None:
    with Peer("::1") as peer:
        assert read("six.test", peer.port, allow_private=True, resolve=answering("::1")) == b"hello"


def no_address(host: str, port: int) -> Sequence[str]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def no_name(host: str, port: int) -> Sequence[str]:
    return [host.encode("idna").decode()]


@both
@pytest.mark.parametrize("resolve", [no_address, no_name, answering()])
def test_a_name_without_an_address(read: Read, resolve: Resolver) -> None:
    with pytest.raises(FetchFailed, match="has no address"):
        read("a..test", 80, allow_private=True, resolve=resolve)


@both
@pytest.mark.parametrize("limit", [{"seconds": 0.3}, {"timeout": 0.3}])
def test_a_look_up_that_never_ends_is_given_up(read: Read, limit: dict[str, float]) -> None:
    with hanging() as resolve, pytest.raises(httpcore.ConnectTimeout):
        read("hanging.test", 80, allow_private=True, resolve=resolve, **limit)


@contextlib.contextmanager
def hanging(begun: list[str] | None = None) -> Iterator[Resolver]:
    """A resolver that answers when the block ends; `begun` gets what it was asked."""
    ended = threading.Event()

    def resolve(host: str, port: int) -> list[str]:
        if begun is not None:
            begun.append(host)
        ended.wait()
        return ["127.0.0.1"]

    try:
        yield resolve
    finally:
        ended.set()


@both
def test_one_look_up_too_many_is_refused_at_once(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    """They count until the name server answers, also when their callers have given them up."""
    monkeypatch.setattr(guard, "_LOOK_UPS", guard._Steps(16, "look-ups"))
    begun: list[str] = []

    def call(number: int) -> None:
        with pytest.raises(httpcore.ConnectTimeout):
            read(f"{number}.test", 80, seconds=0.5, allow_private=True, resolve=resolve)

    with hanging(begun) as resolve:
        callers = [threading.Thread(target=call, args=(number,)) for number in range(16)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert len(begun) == 16
        for number in range(40):
            with pytest.raises(Unavailable, match="Too many look-ups are under way") as refusal:
                read(f"{number}.test", 80, allow_private=True, resolve=resolve)
            assert refusal.value.retry_after == 5
    with Peer() as peer:
        wait_for(lambda: not is_refused(read, peer))
    assert len(begun) == 16


def is_refused(read: Read, peer: Peer) -> bool:
    """Whether a good name is refused; else the peer has greeted."""
    try:
        return read("good.test", peer.port, allow_private=True, resolve=answering("127.0.0.1")) != b"hello"
    except Unavailable:
        return True


def test_connections_that_are_not_made_hold_up_no_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_CONNECTS", guard._Steps(1, "connections"))
    monkeypatch.setattr(guard, "_LOOK_UPS", guard._Steps(4, "look-ups"))
    with Peer() as peer, full_listener("127.0.0.3", peer.port), ThreadPoolExecutor(1) as callers:
        waiting = callers.submit(
            read, "full.test", peer.port, seconds=1, allow_private=True, resolve=answering("127.0.0.3")
        )
        wait_for(lambda: is_refused(read, peer))
        with pytest.raises(FetchRefused):
            read("private.test", peer.port, allow_private=False, resolve=answering("127.0.0.1"))
        with pytest.raises(httpcore.ConnectTimeout):
            waiting.result()
        wait_for(lambda: not is_refused(read, peer))


def test_where_no_thread_can_be_started_it_is_refused_and_its_place_is_free_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = guard._Steps(1, "look-ups")
    done: list[int] = []
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail_to_start)
        for number in range(3):
            with pytest.raises(Unavailable, match="No thread can be started for look-ups") as refusal:
                steps.begin(partial(done.append, number))
            assert refusal.value.retry_after == 5
    steps.begin(partial(done.append, 3)).result(10)
    wait_for(lambda: steps._threads._work_queue.empty())
    assert done == [3], "what was refused has been done all the same"


def fail_to_start(_thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


@both_get
@pytest.mark.parametrize("path", ["/slow", "/slow-chunks", "/slow-headers", "/continue"])
def test_a_byte_now_and_then_is_no_progress(get: Read, site: str, path: str) -> None:
    with pytest.raises(httpcore.ReadTimeout):
        get(site + path, seconds=0.5, allow_private=True)


@both_get
def test_a_handshake_of_a_byte_now_and_then_is_given_up(get: Read) -> None:
    with sites.accepting(sites.drip_handshake) as port, pytest.raises(httpcore.ConnectTimeout):
        get(f"https://127.0.0.1:{port}/", seconds=0.5, allow_private=True)


@both
def test_a_step_ends_at_its_own_time_out_where_that_comes_first(read: Read) -> None:
    with sites.accepting(sites.be_silent) as port, pytest.raises(httpcore.ReadTimeout):
        read("127.0.0.1", port, timeout=0.2, allow_private=True)


@contextlib.contextmanager
def slow_reader(block: int) -> Iterator[int]:
    """A port at which so many bytes are read now and then."""
    ended = threading.Event()

    def talk(connection: socket.socket) -> None:
        while not ended.wait(sites.DRIP):
            if block and not connection.recv(block):
                break

    with sites.accepting(talk) as port:
        try:
            yield port
        finally:
            ended.set()


@pytest.mark.parametrize("block", [0, 200_000])
def test_what_is_read_slowly_is_not_written_for_ever(block: int) -> None:
    with slow_reader(block) as port:
        backend = GuardedBackend(deadline=time.monotonic() + 0.5, allow_private=True)
        stream = backend.connect_tcp("127.0.0.1", port)
        with contextlib.closing(stream), pytest.raises(httpcore.WriteTimeout):
            stream.write(bytes(100_000_000))
        with pytest.raises(httpcore.ConnectTimeout):
            backend.connect_tcp("127.0.0.1", port)


@pytest.mark.parametrize("block", [0, 200_000])
def test_what_is_read_slowly_is_not_written_for_ever_on_asyncio(block: int) -> None:
    async def write(port: int) -> None:
        backend = AsyncGuardedBackend(deadline=time.monotonic() + 0.5, allow_private=True)
        stream = await backend.connect_tcp("127.0.0.1", port)
        try:
            with pytest.raises(httpcore.WriteTimeout):
                await stream.write(bytes(100_000_000))
        finally:
            await stream.aclose()
        with pytest.raises(httpcore.ConnectTimeout):
            await backend.connect_tcp("127.0.0.1", port)

    with slow_reader(block) as port:
        asyncio.run(write(port))


@both_get
def test_host_sni_and_certificate_are_those_of_the_url(get: Read, secure_site: Any) -> None:
    resolve, port = answering("127.0.0.1"), secure_site.port
    secure_site.seen.clear()
    said = get(f"https://{sites.NAME}:{port}/head", secure_site.trust, allow_private=True, resolve=resolve)
    assert f"Host: {sites.NAME}:{port}\n".encode() in said
    assert secure_site.seen == [sites.NAME]
    with pytest.raises(httpcore.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        get(f"https://other.test:{port}/head", secure_site.trust, allow_private=True, resolve=resolve)
    assert secure_site.seen == [sites.NAME, "other.test"]


def test_the_system_resolver() -> None:
    assert "127.0.0.1" in look_up("localhost", 80)
    assert look_up("0x7f.1", 80) == ["127.0.0.1"]


def test_importing_the_room_loads_nothing_of_third_parties() -> None:
    code = (
        "import sys; before = set(sys.modules); import pixelserve.net; "
        "loaded = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(sorted(loaded - sys.stdlib_module_names))"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert said.stdout.strip() == "['pixelserve']"


def test_public_names() -> None:
    assert all(getattr(pixelserve.net, name) is not None for name in pixelserve.net.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'resolve'"):
        _ = pixelserve.net.resolve
