"""Serve endpoints on this machine behind the SageMaker Runtime API, until Ctrl-C.

boto3 and the SageMaker SDK talk to them unchanged once the printed variables are set.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from pixelserve import features
from pixelserve.errors import Unavailable
from pixelserve.features import Feature
from pixelserve.local import AsyncPlaces, LocalRuntime, Source, open_source, running, state
from pixelserve.observe import LogLine
from pixelserve.processes import ServerProcess, Stop, Stopped, stop_all
from pixelserve.storage import place
from pixelserve.wire import DESCRIPTOR, bind, url_of
from pixelserve_deploy import console
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.options import choose_all_weights
from pixelserve_deploy.samples import Sample

EXAMPLES = """\
  pixelserve up                                 all features
  pixelserve up image-super-resolution          one feature
  pixelserve up ./my_model --weights ./weights
  pixelserve up --weights embedded              without weights that were fetched
  pixelserve up my-model=./model.tar.gz         what SageMaker would unpack
  pixelserve up a=./first b=image-similarity --port 9000
  pixelserve up --async-output s3://my-bucket/results --async-input s3://my-bucket/photos
"""
PORT = 8000
GATEWAY_SECONDS = 60.0
JOBS_WITHOUT_PLACES = """
Its jobs get 60 s each, and their progress is an estimate. With --async-output PLACE they get an hour, and tell their
progress where the handler does.
"""
LOOK_SECONDS = 0.2
"""Between two looks at whether the servers still run."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "endpoints",
        nargs="*",
        metavar="ENDPOINT",
        help="a feature, a handler's folder, a model.tar.gz; NAME=… serves it under another name",
    )
    parser.add_argument("--port", type=int, default=PORT, help=f"port of the runtime, 0: a free one (default {PORT})")
    parser.add_argument(
        "--gateway-port",
        type=int,
        metavar="PORT",
        help="port of the gateway, the REST APIs of the features (default: the one after --port; 0: a free one)",
    )
    parser.add_argument(
        "--gateway-tls",
        action="store_true",
        help="the gateway serves HTTPS for localhost, by an authority of its own; the certificate to trust is printed",
    )
    parser.add_argument("--no-gateway", action="store_true", help="do not start the gateway")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument(
        "--weights",
        "--model-dir",
        action="append",
        default=[],
        metavar="[NAME=]WHAT",
        help="weights of an endpoint: published ones by name, embedded, or their folder (default: the recommended ones "
        "once they are fetched)",
    )
    parser.add_argument(
        "--async-output",
        metavar="PLACE",
        help="serve an asynchronous NAME-async beside each NAME; its outputs go to s3://BUCKET/PREFIX or a folder",
    )
    parser.add_argument(
        "--async-input",
        action="append",
        default=[],
        metavar="PLACE",
        help="where inputs of asynchronous invocations may lie, beside --async-output",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="show all that endpoints log, not only warnings")


def _read_places(arguments: argparse.Namespace) -> AsyncPlaces | None:
    if arguments.async_output is None:
        if arguments.async_input:
            raise UsageError("--async-input goes with --async-output")
        return None
    return AsyncPlaces(place(arguments.async_output), [place(text) for text in arguments.async_input])


def run(arguments: argparse.Namespace, stop: Stop) -> int:
    names = arguments.endpoints or [feature.endpoint for feature in features.FEATURES]
    with ExitStack() as archives:
        sources = choose_all_weights([archives.enter_context(open_source(name)) for name in names], arguments.weights)
        with suppress(Stopped):  # while the endpoints started
            _serve(sources, _read_places(arguments), arguments, stop)
    console.print_stopped()
    return 0


def _serve(sources: list[Source], places: AsyncPlaces | None, arguments: argparse.Namespace, stop: Stop) -> None:
    """Serves until `stop` is set. Raises what `running` raises, ServerFailed when an endpoint ends."""
    show_log = console.show_logs(logging.INFO if arguments.verbose else logging.WARNING)
    with (
        running(
            sources,
            host=arguments.host,
            port=arguments.port,
            log=lambda endpoint, line: show_log(endpoint.name, line),
            progress=console.show_starting,
            places=places,
            stop=stop,
        ) as local,
        state.announce(local.url),
        _gateway(sources, local, places, arguments, partial(show_log, "gateway"), stop) as gateway,
    ):
        files = " and ".join(dict.fromkeys(name for sample, _ in _samples(sources) for name in sample.files))
        print(f"\nThe samples below take your {files}, from the folder where you run them.", flush=True)
        print(gateway.explanation + _explain_use(local, _samples(sources), places), flush=True)
        while not stop.wait(LOOK_SECONDS):
            for endpoint in local.endpoints.values():
                endpoint.check_alive()
            for server in gateway.servers:
                server.check_alive()


@dataclass(frozen=True)
class _Gateway:
    """The gateway's process, none where it does not run, and what is printed of it."""

    servers: tuple[ServerProcess, ...]
    explanation: str


@contextmanager
def _gateway(
    sources: list[Source],
    local: LocalRuntime,
    places: AsyncPlaces | None,
    arguments: argparse.Namespace,
    log: Callable[[LogLine], None],
    stop: Stop,
) -> Iterator[_Gateway]:
    """The gateway of the features among the sources, ready. Raises Unavailable for its port, ServerFailed, Stopped."""
    names = _feature_names(sources)
    if arguments.no_gateway or not names:
        yield _Gateway((), "")
        return
    if importlib.util.find_spec("fastapi") is None:
        yield _Gateway((), "The gateway needs more packages: in a clone, pip install '.[gateway]'.\n")
        return
    port = arguments.gateway_port
    if port is None:
        port = arguments.port + 1 if arguments.port else 0
    with ExitStack() as ends:
        listener = ends.enter_context(bind(arguments.host, port, "Choose another with --gateway-port."))
        environment = os.environ | {
            "PIXELSERVE_GATEWAY_HOST": f"{DESCRIPTOR}{listener.fileno()}",
            "PIXELSERVE_GATEWAY_RUNTIME": local.url,
            "PIXELSERVE_GATEWAY_ENDPOINTS": ",".join(f"{feature}={name}" for feature, name in names.items()),
        }
        if places is not None:
            asynchronous = ",".join(f"{feature}={name}-async" for feature, name in names.items())
            environment["PIXELSERVE_GATEWAY_ASYNC_ENDPOINTS"] = asynchronous
            environment["PIXELSERVE_GATEWAY_ASYNC_OUTPUTS"] = str(places.output)
            environment["PIXELSERVE_GATEWAY_RESULTS"] = f"{str(places.output).rstrip('/')}/gateway"
        host = listener.getsockname()[0]
        if arguments.gateway_tls:
            environment.setdefault("PIXELSERVE_GATEWAY_TLS_NAMES", f"localhost,{host}")
        authority = _authority(environment)
        server = ServerProcess(
            "gateway",
            environment,
            module="pixelserve_gateway",
            pass_fds=[listener.fileno()],
            log=log,
        )
        ends.callback(stop_all, [server])
        key = ends.enter_context(_api_key(environment))
        url = url_of(listener)
        if authority:
            url = url.replace("http:", "https:", 1)
        listener.close()  # the server has inherited it
        _wait_until_ready(server, url, authority, stop)
        jobs = "" if places else JOBS_WITHOUT_PLACES
        yield _Gateway((server,), _explain_gateway(url, _samples(sources), key, authority) + jobs)


def _samples(sources: list[Source]) -> list[tuple[Sample, Feature | None]]:
    """A sample for each source, and the feature that it serves."""
    served = {name: features.feature(feature) for feature, name in _feature_names(sources).items()}
    return [(Sample.of(source, served.get(source.name)), served.get(source.name)) for source in sources]


def _feature_names(sources: list[Source]) -> dict[str, str]:
    """The names of endpoints by the feature that they serve: under its own name, or its handler under any."""
    return {
        feature.name: source.name
        for feature in features.FEATURES
        for source in sources
        if source.name == feature.endpoint or source.folder == features.handler_folder(feature)
    }


def _authority(environment: Mapping[str, str]) -> Path | None:
    """The certificate to trust where the gateway is to serve HTTPS, made now. Raises Unavailable."""
    from pixelserve_gateway import GatewaySettings
    from pixelserve_gateway.tls import authority_file, certificate_for

    settings = GatewaySettings.from_env(environment)
    folder = Path(settings.state).expanduser()
    return authority_file(folder) if certificate_for(settings.tls_names, folder) else None


def _wait_until_ready(server: ServerProcess, url: str, authority: Path | None, stop: Stop) -> None:
    deadline = time.monotonic() + GATEWAY_SECONDS
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
                raise Unavailable(f"The gateway was not ready in {GATEWAY_SECONDS:.0f} s. Start it again.")
            stop.wait(0.05)
            stop.check()


@contextmanager
def _api_key(environment: Mapping[str, str]) -> Iterator[str]:
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


def _explain_gateway(url: str, samples: list[tuple[Sample, Feature | None]], key: str, authority: Path | None) -> str:
    shown, options = (f"\nIt asks for a key: {key}\n", f" -H 'x-api-key: {key}'") if key else ("", "")
    if authority is not None:
        shown += f"\nexport NODE_EXTRA_CA_CERTS={authority} REQUESTS_CA_BUNDLE={authority}\n"
        options += f" --cacert {authority}"
    served = [(sample, feature) for sample, feature in samples if feature is not None]
    calls = "\n".join(sample.gateway(url, feature, options) for sample, feature in served)
    return f"""
The gateway is at {url}, with the REST APIs of {", ".join(feature.name for _, feature in served)};
a browser shows the playground there, and their description at {url}/explorer.
{shown}
{calls}
"""


def _explain_use(local: LocalRuntime, samples: list[tuple[Sample, Feature | None]], places: AsyncPlaces | None) -> str:
    exports = "\n".join(f"export {name}={value}" for name, value in local.environment().items())
    calls = "\n".join(sample.curl(local.url) for sample, _ in samples)
    serving = "".join(
        f"{endpoint.name} serves {network}\n"
        for endpoint in local.endpoints.values()
        for network in endpoint.networks()
    )
    asynchronous = f"\nAsynchronous invocations, of NAME-async, write to {places.output}.\n" if places else ""
    return f"""
The SageMaker Runtime is at {local.url}, with {", ".join(local.endpoints)}. Ctrl-C stops it.
{serving}{asynchronous}
{exports}

{calls}

{samples[0][0].boto3()}
"""
