"""Serve endpoints on this machine behind the SageMaker Runtime API, until Ctrl-C.

boto3 and the SageMaker SDK talk to them unchanged once the printed variables are set.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from typing import Any

from pixelserve import features
from pixelserve.features import Feature
from pixelserve.local import AsyncPlaces, LocalRuntime, Source, find_archive, open_source, running, state
from pixelserve.models import manifest
from pixelserve.observe import LogLine
from pixelserve.processes import ServerFailed, Stop, Stopped
from pixelserve.storage import place
from pixelserve_deploy import console, download, gateway
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.options import choose_all_weights, find_feature, parse_port
from pixelserve_deploy.reloading import AskChanged, watch_sources
from pixelserve_deploy.samples import Sample

EXAMPLES = """\
  pixelserve up                                 all features
  pixelserve up image-super-resolution          one feature
  pixelserve up ./my_model --weights ./weights
  pixelserve up --weights embedded              without weights that were fetched
  pixelserve up ./my_model --reload             anew whenever you save
  pixelserve up my-model=./model.tar.gz         what SageMaker would unpack
  pixelserve up a=./first b=image-similarity --port 9000
  pixelserve up --async-output s3://my-bucket/results --async-input s3://my-bucket/photos
"""
PORT = 8000
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
    parser.add_argument(
        "--port", type=parse_port, default=PORT, help=f"port of the runtime, 0: a free one (default {PORT})"
    )
    parser.add_argument(
        "--gateway-port",
        type=parse_port,
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
        help="weights of an endpoint: published ones by name, embedded, or their folder; may be repeated, for one "
        "endpoint too (default: the recommended ones once they are fetched)",
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
    parser.add_argument("--reload", action="store_true",
                        help="restart an endpoint when files in its folder change, and keep the others")  # fmt: skip
    parser.add_argument("--json", action="store_true",
                        help="print the addresses as a line of JSON when all are ready (docs/scripts.md)")  # fmt: skip
    parser.add_argument("-v", "--verbose", action="store_true", help="show all that endpoints log, not only warnings")


def _read_places(arguments: argparse.Namespace) -> AsyncPlaces | None:
    if arguments.async_output is None:
        if arguments.async_input:
            raise UsageError("--async-input goes with --async-output")
        return None
    return AsyncPlaces(place(arguments.async_output), [place(text) for text in arguments.async_input])


def run(arguments: argparse.Namespace, stop: Stop) -> int:
    if arguments.no_gateway and (arguments.gateway_port is not None or arguments.gateway_tls):
        raise UsageError("--no-gateway leaves nothing for --gateway-port and --gateway-tls: leave out one")
    state.check_folder()
    archive = next(filter(None, map(find_archive, arguments.endpoints)), None)
    if arguments.reload and archive:
        raise UsageError(f"--reload watches folders, and {archive} is a file: unpack it, and give its folder")
    names = arguments.endpoints or [feature.endpoint for feature in features.FEATURES]
    with ExitStack() as scratch:
        opened = [scratch.enter_context(open_source(name)) for name in names]
        sources = choose_all_weights(opened, arguments.weights, scratch)
        with suppress(Stopped):  # while the endpoints started
            try:
                _serve(sources, _read_places(arguments), arguments, stop)
            except ServerFailed as failure:
                raise failure.without_last_words() from None  # they were shown as they came
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
        _open_gateway(sources, local, places, arguments, partial(show_log, "gateway"), stop) as beside,
        watch_sources(sources) if arguments.reload else nullcontext(list) as ask_changed,
    ):
        if arguments.json:
            print(json.dumps(_describe(local, beside, sources, places)), flush=True)
        else:
            _explain(local, beside, sources, places, arguments)
        while not stop.wait(LOOK_SECONDS):
            _restart_changed(local, ask_changed, stop)
            for endpoint in local.endpoints.values():
                endpoint.check_alive()
            if beside is not None:
                beside.server.check_alive()


def _restart_changed(local: LocalRuntime, ask_changed: AskChanged, stop: Stop) -> None:
    """Puts a new server in the place of each whose folder has changed; the old one stays where that fails."""
    for source in ask_changed():
        console.print_labelled(f"{source.name}:", "its folder has changed.", "bold", sys.stderr)
        try:
            local.restart(source, console.show_starting, stop)
        except ServerFailed as failure:
            console.print_error(source.name, f"{failure.reason} The one before goes on. Correct it, and save again.")


@contextmanager
def _open_gateway(
    sources: list[Source],
    local: LocalRuntime,
    places: AsyncPlaces | None,
    arguments: argparse.Namespace,
    log: Callable[[LogLine], None],
    stop: Stop,
) -> Iterator[gateway.Gateway | None]:
    """The gateway of the features among the sources; None where there are none, or it is not wanted or installed."""
    names = _name_features(sources)
    if arguments.no_gateway or not names or not gateway.is_installed():
        yield None
        return
    port = arguments.gateway_port
    if port is None:
        port = arguments.port + 1 if arguments.port else 0
    host, secure = arguments.host, arguments.gateway_tls
    with gateway.start_gateway(local.url, names, places, host, port, log, stop, is_secure=secure) as beside:
        yield beside


def _list_samples(sources: list[Source]) -> list[tuple[Sample, Feature | None]]:
    """A sample for each source, and the feature that it serves."""
    served = {name: features.feature(feature) for feature, name in _name_features(sources).items()}
    return [(Sample.of(source, served.get(source.name)), served.get(source.name)) for source in sources]


def _name_features(sources: list[Source]) -> dict[str, str]:
    """The names of endpoints by the feature that they serve: under its own name, or its handler under any."""
    return {
        feature.name: source.name
        for feature in features.FEATURES
        for source in sources
        if source.name == feature.endpoint or source.folder == features.handler_folder(feature)
    }


def _describe(
    local: LocalRuntime, beside: gateway.Gateway | None, sources: list[Source], places: AsyncPlaces | None
) -> dict[str, Any]:
    """What serves where, for a script."""
    return {
        "runtime": local.url,
        "environment": local.environment(),
        "gateway": beside and {"url": beside.url, "key": beside.key or None, "authority": _text(beside.authority)},
        "endpoints": [
            {
                "name": source.name,
                "invocations": f"{local.url}/endpoints/{source.name}/invocations",
                "asynchronous": f"{source.name}-async" if places else None,
                "content_type": sample.content_type,
                "networks": [str(network) for network in local.endpoints[source.name].networks()],
                "weights": _text(source.model_dir),
            }
            for source, (sample, _) in zip(sources, _list_samples(sources), strict=True)
        ],
        "async_output": _text(places and places.output),
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _explain(
    local: LocalRuntime,
    beside: gateway.Gateway | None,
    sources: list[Source],
    places: AsyncPlaces | None,
    arguments: argparse.Namespace,
) -> None:
    """Prints what serves where, and commands that call it."""
    samples = _list_samples(sources)
    files = " and ".join(dict.fromkeys(name for sample, _ in samples for name in sample.files))
    print(f"\nThe samples below take your {files}, from the folder where you run them.")
    if beside is not None:
        print(_explain_gateway(beside, samples) + ("" if places else JOBS_WITHOUT_PLACES))
    elif not arguments.no_gateway and _name_features(sources):
        print("The gateway needs more packages: in a clone, pip install '.[gateway]'.\n")
    print(_explain_use(local, sources, samples, places), flush=True)


def _explain_gateway(beside: gateway.Gateway, samples: list[tuple[Sample, Feature | None]]) -> str:
    key, authority = beside.key, beside.authority
    shown, options = (f"\nIt asks for a key: {key}\n", f" -H 'x-api-key: {key}'") if key else ("", "")
    if authority is not None:
        shown += f"\nexport NODE_EXTRA_CA_CERTS={authority} REQUESTS_CA_BUNDLE={authority}\n"
        options += f" --cacert {authority}"
    served = [(sample, feature) for sample, feature in samples if feature is not None]
    calls = "\n".join(sample.gateway(beside.url, feature, options) for sample, feature in served)
    return f"""
The gateway is at {beside.url}, with the REST APIs of {", ".join(feature.name for _, feature in served)};
a browser shows the playground there, and their description at {beside.url}/explorer.
{shown}
{calls}
"""


def _explain_use(
    local: LocalRuntime,
    sources: list[Source],
    samples: list[tuple[Sample, Feature | None]],
    places: AsyncPlaces | None,
) -> str:
    exports = "\n".join(f"export {name}={value}" for name, value in local.environment().items())
    calls = "\n".join(sample.curl(local.url) for sample, _ in samples)
    serving = "\n".join(line for source in sources for line in _explain_weights(local, source))
    asynchronous = f"\nAsynchronous invocations, of NAME-async, write to {places.output}.\n" if places else ""
    return f"""
The SageMaker Runtime is at {local.url}, with {", ".join(local.endpoints)}. Ctrl-C stops it.
{serving}
{asynchronous}
{exports}

{calls}

{samples[0][0].boto3()}
"""


def _explain_weights(local: LocalRuntime, source: Source) -> Iterator[str]:
    """Which weights serve an endpoint, and how those that were fetched as well would."""
    networks = local.endpoints[source.name].networks()
    for network in networks:
        yield f"{source.name} serves {network}"
    if not networks and source.model_dir not in (None, source.folder):
        yield f"{source.name} has its weights from {source.model_dir}"
    known, folder = find_feature(source), download.find_weights_folder()
    served = {path.resolve().parent for path in source.model_dir.iterdir()} if source.model_dir else set()
    for entry in [entry for entry in manifest() if known and entry.feature == known.name]:
        if download.is_fetched(entry, folder) and download.locate_weights(entry, folder).resolve() not in served:
            yield f"  {entry.name} is fetched too: pixelserve up {source.name} --weights {entry.name}"
