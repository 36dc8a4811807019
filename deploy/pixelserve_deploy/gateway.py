"""The gateway beside local endpoints: its process, its address, and a key while it runs."""

from __future__ import annotations

import importlib.util
import os
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from pixelserve.errors import Unavailable
from pixelserve.local import AsyncPlaces
from pixelserve.observe import LogLine
from pixelserve.processes import ServerProcess, Stop, stop_all
from pixelserve.wire import DESCRIPTOR, bind, url_of

START_SECONDS = 60.0


@dataclass(frozen=True)
class Gateway:
    """A gateway that is ready. `key` is "" where nobody is asked for one, `authority` None without HTTPS."""

    server: ServerProcess
    url: str
    key: str
    authority: Path | None


def is_installed() -> bool:
    """Whether the packages of the gateway are there."""
    return importlib.util.find_spec("fastapi") is not None


@contextmanager
def start_gateway(
    runtime: str,
    names: Mapping[str, str],
    places: AsyncPlaces | None,
    host: str,
    port: int,
    log: Callable[[LogLine], None],
    stop: Stop,
    *,
    is_secure: bool = False,
) -> Iterator[Gateway]:
    """The gateway of the runtime at a URL, ready; `names` are those of the endpoints by feature.

    Raises Unavailable for its port, ServerFailed, Stopped.
    """
    with ExitStack() as ends:
        listener = ends.enter_context(bind(host, port, "Choose another with --gateway-port."))
        environment = os.environ | {
            "PIXELSERVE_GATEWAY_HOST": f"{DESCRIPTOR}{listener.fileno()}",
            "PIXELSERVE_GATEWAY_RUNTIME": runtime,
            "PIXELSERVE_GATEWAY_ENDPOINTS": ",".join(f"{feature}={name}" for feature, name in names.items()),
        }
        if places is not None:
            asynchronous = ",".join(f"{feature}={name}-async" for feature, name in names.items())
            environment["PIXELSERVE_GATEWAY_ASYNC_ENDPOINTS"] = asynchronous
            environment["PIXELSERVE_GATEWAY_ASYNC_OUTPUTS"] = str(places.output)
            environment["PIXELSERVE_GATEWAY_RESULTS"] = f"{str(places.output).rstrip('/')}/gateway"
        if is_secure:
            environment.setdefault("PIXELSERVE_GATEWAY_TLS_NAMES", f"localhost,{listener.getsockname()[0]}")
        authority = _find_authority(environment)
        server = ServerProcess(
            "gateway", environment, module="pixelserve_gateway", pass_fds=[listener.fileno()], log=log
        )
        ends.callback(stop_all, [server])
        key = ends.enter_context(_make_key(environment))
        url = url_of(listener)
        if authority:
            url = url.replace("http:", "https:", 1)
        listener.close()  # the server has inherited it
        _wait_until_ready(server, url, authority, stop)
        yield Gateway(server, url, key, authority)


def _find_authority(environment: Mapping[str, str]) -> Path | None:
    """The certificate to trust where the gateway is to serve HTTPS, made now. Raises Unavailable."""
    from pixelserve_gateway import GatewaySettings
    from pixelserve_gateway.tls import authority_file, certificate_for

    settings = GatewaySettings.from_env(environment)
    folder = Path(settings.state).expanduser()
    return authority_file(folder) if certificate_for(settings.tls_names, folder) else None


def _wait_until_ready(server: ServerProcess, url: str, authority: Path | None, stop: Stop) -> None:
    deadline = time.monotonic() + START_SECONDS
    trusted = ssl.create_default_context(cafile=authority)
    trusted.check_hostname = False  # the certificate may be for names that lead here elsewhere
    with httpx.Client(trust_env=False, verify=trusted) as client:
        while True:
            try:
                answer = client.get(f"{url}/health", timeout=1.0)
            except httpx.TransportError:
                answer = None
            if server.why_not_ready(answer) is None:
                return
            if time.monotonic() > deadline:
                raise Unavailable(f"The gateway was not ready in {START_SECONDS:.0f} s. Start it again.")
            stop.wait(0.05)
            stop.check()


@contextmanager
def _make_key(environment: Mapping[str, str]) -> Iterator[str]:
    """An API key of the gateway, which opens nothing afterwards; "" where nobody is asked for one."""
    from pixelserve_gateway import GatewaySettings, asks_for_keys
    from pixelserve_gateway.jobs import ApiKeys, open_store

    settings = GatewaySettings.from_env(environment)
    if not asks_for_keys(settings):
        yield ""
        return
    with closing(open_store(settings)) as store:
        keys = ApiKeys(store)
        text, key = keys.make("local", (), time.time())
        try:
            yield text
        finally:
            keys.revoke(key.id, time.time())
