"""Serve endpoints on this machine behind the SageMaker Runtime API, until Ctrl-C.

boto3 and the SageMaker SDK talk to them unchanged once the printed variables are set.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

from pixelserve import features
from pixelserve.local import AsyncPlaces, LocalRuntime, Source, open_source, running, state
from pixelserve.processes import Stop, Stopped
from pixelserve.storage import place
from pixelserve_deploy import console
from pixelserve_deploy.errors import UsageError

EXAMPLES = """\
  pixelserve up                                 all features
  pixelserve up image-super-resolution          one feature
  pixelserve up ./my_model --model-dir ./weights
  pixelserve up my-model=./model.tar.gz         what SageMaker would unpack
  pixelserve up a=./first b=image-similarity --port 9000
  pixelserve up --async-output s3://my-bucket/results --async-input s3://my-bucket/photos
"""
PORT = 8000
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
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument(
        "--model-dir",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="folder with the weights of an endpoint (of a single one: DIR)",
    )
    parser.add_argument(
        "--async-output",
        metavar="PLACE",
        help="take asynchronous invocations too, and write what comes of them to s3://BUCKET/PREFIX or a folder",
    )
    parser.add_argument(
        "--async-input",
        action="append",
        default=[],
        metavar="PLACE",
        help="where inputs of asynchronous invocations may lie, beside --async-output",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="show all that endpoints log, not only warnings")


def _choose_sources(found: Iterable[Source], model_dirs: list[str]) -> list[Source]:
    """The sources with their weights. Raises UsageError for a --model-dir of none, NotFound for a missing folder."""
    given = list(found)
    sources = {source.name: source for source in given}
    if len(sources) < len(given):
        raise UsageError("two endpoints have the same name: choose another for one with NAME=FOLDER")
    for text in model_dirs:
        name, equals, folder = text.partition("=")
        if not equals and len(sources) == 1:
            name, folder = next(iter(sources)), text
        if name not in sources:
            raise UsageError(f"--model-dir {text}: write NAME=DIR, with NAME one of {', '.join(sources)}")
        sources[name] = sources[name].with_weights(Path(folder))
    return list(sources.values())


def _read_places(arguments: argparse.Namespace) -> AsyncPlaces | None:
    if arguments.async_output is None:
        if arguments.async_input:
            raise UsageError("--async-input goes with --async-output")
        return None
    return AsyncPlaces(place(arguments.async_output), [place(text) for text in arguments.async_input])


def run(arguments: argparse.Namespace, stop: Stop) -> int:
    names = arguments.endpoints or [feature.endpoint for feature in features.FEATURES]
    with ExitStack() as archives:
        sources = _choose_sources([archives.enter_context(open_source(name)) for name in names], arguments.model_dir)
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
            log=show_log,
            progress=console.show_starting,
            places=places,
            stop=stop,
        ) as local,
        state.announce(local.url),
    ):
        print(_explain_use(local, places), flush=True)
        while not stop.wait(LOOK_SECONDS):
            for endpoint in local.endpoints.values():
                endpoint.check_alive()


def _explain_use(local: LocalRuntime, places: AsyncPlaces | None) -> str:
    exports = "\n".join(f"export {name}={value}" for name, value in local.environment().items())
    name = next(iter(local.endpoints))
    asynchronous = f"\nAsynchronous invocations write to {places.output}.\n" if places else ""
    return f"""
The SageMaker Runtime is at {local.url}, with {", ".join(local.endpoints)}. Ctrl-C stops it.
{asynchronous}
{exports}

curl {local.url}/endpoints/{name}/invocations -H 'Content-Type: image/jpeg' --data-binary @photo.jpg -o result.png

import boto3
runtime = boto3.client("sagemaker-runtime")
answer = runtime.invoke_endpoint(EndpointName="{name}", ContentType="image/jpeg", Body=open("photo.jpg", "rb"))
open("result.png", "wb").write(answer["Body"].read())
"""
