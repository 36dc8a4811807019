"""Send a file, or two images to compare, to an endpoint and write its answer.

An image goes as it is, or in JSON where JSON is to be answered; with --content-type, and anything else, always as it
is.

It goes to a running `pixelserve up` that has the endpoint; without one, the endpoint is started for this call. AWS is
called only with --aws.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from pixelserve import features
from pixelserve.errors import BadRequest, PixelserveError, Unavailable
from pixelserve.local import check_name, state
from pixelserve.media_types import JSON, content_type_of, essence, is_json
from pixelserve.processes import Stop
from pixelserve.wire import ATTRIBUTES, read_error
from pixelserve_deploy import console
from pixelserve_deploy.aws import make_client
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.options import add_weights, check_media_type, choose_weights, read_input

EXAMPLES = """\
  pixelserve invoke image-super-resolution photo.jpg --scale 4 -o large.png
  pixelserve invoke image-super-resolution photo.jpg --set target=4k --set quality=80 -o large.webp
  pixelserve invoke my-model request.json       the answer is printed where it is text
  pixelserve invoke ./my_model rows.csv --weights folder --accept text/csv -o -
  pixelserve invoke my-model photo.jpg --content-type image/jpeg --accept application/json
  pixelserve invoke my-endpoint photo.jpg --aws --region eu-west-1 --profile work
"""
SECONDS = 70.0
"""A little more than the runtime gives an invocation."""
ACCEPTS = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".npy": "application/x-npy",
    ".json": JSON,
    ".jsonl": "application/jsonlines",
    ".csv": "text/csv",
}
STANDARD_OUTPUT = Path("-")
ENDINGS = {accept: ending for ending, accept in ACCEPTS.items() if ending != ".jpeg"}

ModelAnswer = tuple[bytes, str]
"""The answer's body and content type."""
Send = Callable[[bytes, dict[str, str]], ModelAnswer]
"""Takes the body and the headers Content-Type, Accept and the custom attributes."""


class InvocationFailed(PixelserveError):
    """The endpoint answered an error; the message is its own."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("endpoint", help="its name; without a running `up` also what `up` takes")
    parser.add_argument("files", nargs="+", metavar="FILE", type=Path, help="a request's body, or two images")
    parser.add_argument("--content-type", help="of the body (default: by its content and name)")
    parser.add_argument("--scale", type=int, choices=(2, 4), help="factor of both edges, for super-resolution")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="another field of the request")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="OUT", help=f"file to write: {', '.join(ACCEPTS)}; - prints it"
    )
    parser.add_argument(
        "--accept", help="content type to ask for (default: by OUT's ending, else what the feature gives)"
    )
    add_weights(parser)
    parser.add_argument("--aws", action="store_true", help="call the endpoint on AWS")
    parser.add_argument("--region", help="with --aws: its region")
    parser.add_argument("--profile", help="with --aws: the profile of your AWS configuration")


def run(arguments: argparse.Namespace, stop: Stop) -> int:
    options = _read_options(arguments)
    files = [read_input(path) for path in arguments.files]
    content_type = arguments.content_type or content_type_of(files[0], arguments.files[0].name)
    is_picture = content_type.startswith("image/")
    accept = _choose_accept(arguments, is_picture)
    sent, sent_type = files, content_type
    if len(files) == 2 or (is_picture and is_json(accept) and not arguments.content_type):
        sent, sent_type = [_encode_pictures(files)], JSON
    body, headers = _build_request(sent, sent_type, options, accept)
    with ExitStack() as stack:
        send = _send_to_aws(arguments) if arguments.aws else _send_here(arguments, stack, stop)
        started = time.perf_counter()
        answer, answered_type = stop.run_aside(lambda: send(body, headers))
        seconds = time.perf_counter() - started
    kind = essence(answered_type)
    if arguments.output is None and (kind in (JSON, ACCEPTS[".jsonl"]) or kind.startswith("text/")):
        print(answer.decode(errors="replace").removesuffix("\n"))
        return 0
    if arguments.output == STANDARD_OUTPUT:
        sys.stdout.buffer.write(answer)
        sys.stdout.buffer.flush()
        return 0
    output = arguments.output or _name_output(arguments.files[0], files[0], answer, kind)
    try:
        output.write_bytes(answer)
    except OSError as error:
        raise BadRequest(f"Cannot write {output}: {error.strerror}.") from None
    described = " and ".join(map(_describe, arguments.files, files))
    print(f"{described} -> {_describe(output, answer)}, {seconds:.2f} s")
    return 0


def _read_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The request's fields beside the file's. Raises UsageError where the command line contradicts itself."""
    if len(arguments.files) > 2:
        raise UsageError("one file, or two images to compare")
    if len(arguments.files) == 2 and arguments.content_type:
        raise UsageError("--content-type goes with one file")
    if arguments.weights and arguments.aws:
        raise UsageError("--weights goes with an endpoint that is started here")
    for header in filter(None, (arguments.content_type, arguments.accept)):
        check_media_type(header)
    if (arguments.region or arguments.profile) and not arguments.aws:
        raise UsageError("--region and --profile go with --aws")
    if arguments.output and arguments.output.resolve() in [path.resolve() for path in arguments.files]:
        raise UsageError(f"-o {arguments.output} is the input; choose another name")
    options: dict[str, Any] = {} if arguments.scale is None else {"scale": arguments.scale}
    for text in arguments.set:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise UsageError(f"--set {text}: write KEY=VALUE")
        try:
            options[key] = json.loads(value)
        except ValueError:
            options[key] = value
    return options


def _choose_accept(arguments: argparse.Namespace, is_picture: bool) -> str:
    if arguments.accept:
        return str(arguments.accept)
    if arguments.output in (None, STANDARD_OUTPUT):
        if len(arguments.files) == 2:
            return JSON
        known = features.find(arguments.endpoint.rpartition("=")[2])
        return known.answer if known else "image/png" if is_picture else "*/*"
    try:
        return ACCEPTS[arguments.output.suffix.lower()]
    except KeyError:
        raise UsageError(f"-o {arguments.output}: name one of {', '.join(ACCEPTS)}, or give --accept") from None


def _build_request(
    files: list[bytes], content_type: str, options: dict[str, Any], accept: str
) -> tuple[bytes, dict[str, str]]:
    """A file as it is, the options in its JSON, or else as attributes."""
    (body,) = files
    headers = {"Content-Type": content_type, "Accept": accept}
    if is_json(content_type) and options:
        fields = json.loads(body)
        if not isinstance(fields, dict):
            raise UsageError("--set and --scale add fields to a JSON object, and the file holds something else")
        return json.dumps(fields | options).encode(), headers
    attributes = ";".join(f"{key}={json.dumps(v) if not isinstance(v, str) else v}" for key, v in options.items())
    if not attributes.isascii():
        raise UsageError("--set with letters beyond ASCII needs a JSON answer: -o OUT.json")
    return body, headers | ({ATTRIBUTES: attributes} if attributes else {})


def _encode_pictures(pictures: list[bytes]) -> bytes:
    """The JSON request of one picture, or of two to compare."""
    fields = ["img"] if len(pictures) == 1 else ["img_1", "img_2"]
    encoded = {field: base64.b64encode(picture).decode() for field, picture in zip(fields, pictures, strict=True)}
    return json.dumps(encoded).encode()


def _send_here(arguments: argparse.Namespace, stack: ExitStack, stop: Stop) -> Send:
    """Sends to a running `up`, else, and with weights, to an endpoint started for as long as the stack is open."""
    name = arguments.endpoint.replace("_", "-")
    url = None if arguments.weights else state.find(name)
    if url is None:
        from pixelserve.local import open_source, running

        source = choose_weights(stack.enter_context(open_source(arguments.endpoint)), arguments.weights)
        if arguments.weights:
            print(
                f"Starting {source.name} with {source.model_dir or arguments.weights} for this call.", file=sys.stderr
            )
        else:
            print(f"No `pixelserve up` has {source.name}: starting it for this call.", file=sys.stderr)
        local = stack.enter_context(running([source], progress=console.show_starting, stop=stop))
        url, name = local.url, source.name

    def send(body: bytes, headers: dict[str, str]) -> ModelAnswer:
        try:
            answer = httpx.post(
                f"{url}/endpoints/{name}/invocations",
                content=body,
                headers=headers,
                timeout=SECONDS,
                trust_env=False,
            )
        except httpx.TransportError as error:
            raise Unavailable(f"No answer from {url}: {error or type(error).__name__}.") from None
        if not answer.is_success:
            fields = answer.json()
            raise _read_failure(fields.get("OriginalStatusCode"), fields.get("OriginalMessage"), fields["Message"])
        return answer.content, answer.headers.get("content-type", "")

    return send


def _send_to_aws(arguments: argparse.Namespace) -> Send:
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    once = Config(read_timeout=SECONDS, retries={"total_max_attempts": 1})  # an invocation is not repeated unasked
    name = check_name(arguments.endpoint.replace("_", "-"))
    client = make_client("sagemaker-runtime", arguments.region, arguments.profile, once)

    def send(body: bytes, headers: dict[str, str]) -> ModelAnswer:
        attributes = {"CustomAttributes": headers[ATTRIBUTES]} if ATTRIBUTES in headers else {}
        try:
            answer = client.invoke_endpoint(
                EndpointName=name,
                Body=body,
                ContentType=headers["Content-Type"],
                Accept=headers["Accept"],
                **attributes,
            )
        except ClientError as error:
            response = error.response
            status, original = response.get("OriginalStatusCode"), response.get("OriginalMessage")
            raise _read_failure(status, original, str(error)) from None
        except BotoCoreError as error:
            raise Unavailable(str(error)) from None
        return answer["Body"].read(), answer.get("ContentType", "")

    return send


def _read_failure(status: int | None, original: str | None, message: str) -> InvocationFailed:
    """The container's own message where it answered one, else the service's."""
    if not status or not original:
        return InvocationFailed(message)
    return InvocationFailed(read_error(status, original.encode()).message)


def _name_output(path: Path, image: bytes, answer: bytes, content_type: str) -> Path:
    """`photo.x4.png` for photo.jpg enlarged 4 times, `photo.result.png` for other answers: never the image itself."""
    before, after = _measure_pixels(image), _measure_pixels(answer)
    factor = after[0] // before[0] if before and after else 1
    what = f"x{factor}" if factor > 1 else "result"
    return path.with_name(f"{path.stem}.{what}{ENDINGS.get(content_type, '.out')}")


def _describe(path: Path, data: bytes) -> str:
    size = _measure_pixels(data)
    return f"{path} ({f'{size[0]}x{size[1]}, ' if size else ''}{len(data):,} bytes)"


def _measure_pixels(data: bytes) -> tuple[int, int] | None:
    """Width and height; None for what is no image, or where the extra `server` is not there to read it."""
    try:
        from pixelserve.imaging import read_header

        header = read_header(data)
    except (ImportError, PixelserveError):
        return None
    return header.width, header.height
