"""Send one or two images to an endpoint and write its answer.

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
from pixelserve.errors import BadRequest, NotFound, PixelserveError, Unavailable
from pixelserve.local import state
from pixelserve.media_types import JSON, content_type_of
from pixelserve.processes import Stop
from pixelserve.wire import ATTRIBUTES, read_error
from pixelserve_deploy import console
from pixelserve_deploy.aws import make_client
from pixelserve_deploy.errors import UsageError

EXAMPLES = """\
  pixelserve invoke image-super-resolution photo.jpg --scale 4 -o large.png
  pixelserve invoke image-super-resolution photo.jpg --set target=4k --set quality=80 -o large.webp
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
}
ENDINGS = {accept: ending for ending, accept in ACCEPTS.items() if ending != ".jpeg"}

ModelAnswer = tuple[bytes, str]
"""The answer's body and content type."""
Send = Callable[[bytes, dict[str, str]], ModelAnswer]
"""Takes the body and the headers Content-Type, Accept and the custom attributes."""


class InvocationFailed(PixelserveError):
    """The endpoint answered an error; the message is its own."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("endpoint", help="its name; without a running `up` also a handler's folder or NAME=FOLDER")
    parser.add_argument("images", nargs="+", metavar="IMAGE", type=Path, help="one file, or two for a comparison")
    parser.add_argument("--scale", type=int, choices=(2, 4), help="factor of both edges, for super-resolution")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="another field of the request")
    parser.add_argument("-o", "--output", type=Path, metavar="OUT", help=f"file to write: {', '.join(ACCEPTS)}")
    parser.add_argument(
        "--accept", help="content type to ask for (default: by OUT's ending, else what the feature gives)"
    )
    parser.add_argument("--aws", action="store_true", help="call the endpoint on AWS")
    parser.add_argument("--region", help="with --aws: its region")
    parser.add_argument("--profile", help="with --aws: the profile of your AWS configuration")


def run(arguments: argparse.Namespace, stop: Stop) -> int:
    options = _read_options(arguments)
    images = [_read(path) for path in arguments.images]
    accept = _choose_accept(arguments)
    body, headers = _build_request(images, options, accept)
    with ExitStack() as stack:
        send = _send_to_aws(arguments) if arguments.aws else _send_here(arguments.endpoint, stack, stop)
        started = time.perf_counter()
        answer, content_type = stop.run_aside(lambda: send(body, headers))
        seconds = time.perf_counter() - started
    output = arguments.output
    if output is None and content_type == JSON:
        print(answer.decode())
        return 0
    output = output or _name_output(arguments.images[0], images[0], answer, content_type)
    try:
        output.write_bytes(answer)
    except OSError as error:
        raise BadRequest(f"Cannot write {output}: {error.strerror}.") from None
    sent = " and ".join(map(_describe, arguments.images, images))
    print(f"{sent} -> {_describe(output, answer)}, {seconds:.2f} s")
    return 0


def _read_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The request's fields beside the images."""
    if len(arguments.images) > 2:
        raise UsageError("one image, or two to compare")
    if (arguments.region or arguments.profile) and not arguments.aws:
        raise UsageError("--region and --profile go with --aws")
    if arguments.output and arguments.output.resolve() in [image.resolve() for image in arguments.images]:
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


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"There is no file {path}.") from None
    except OSError as error:
        raise BadRequest(f"Cannot read {path}: {error.strerror}.") from None
    if not data:
        raise BadRequest(f"{path} is empty.")
    return data


def _choose_accept(arguments: argparse.Namespace) -> str:
    if arguments.accept:
        return str(arguments.accept)
    if arguments.output is None:
        known = features.find(arguments.endpoint)
        return JSON if len(arguments.images) == 2 else known.answer if known else "image/png"
    try:
        return ACCEPTS[arguments.output.suffix.lower()]
    except KeyError:
        raise UsageError(f"-o {arguments.output}: name one of {', '.join(ACCEPTS)}, or give --accept") from None


def _build_request(images: list[bytes], options: dict[str, Any], accept: str) -> tuple[bytes, dict[str, str]]:
    """One image for an image: its bytes, the options as attributes. Otherwise JSON with Base64 in it."""
    if len(images) == 1 and accept != JSON:
        attributes = ";".join(f"{key}={json.dumps(v) if not isinstance(v, str) else v}" for key, v in options.items())
        if not attributes.isascii():
            raise UsageError("--set with letters beyond ASCII needs a JSON answer: -o OUT.json")
        headers = {"Content-Type": content_type_of(images[0]), "Accept": accept}
        return images[0], headers | ({ATTRIBUTES: attributes} if attributes else {})
    fields = ["img"] if len(images) == 1 else ["img_1", "img_2"]
    encoded = {field: base64.b64encode(image).decode() for field, image in zip(fields, images, strict=True)}
    return json.dumps(encoded | options).encode(), {"Content-Type": JSON, "Accept": accept}


def _send_here(endpoint: str, stack: ExitStack, stop: Stop) -> Send:
    """Sends to a running `up`, else to an endpoint started for as long as the stack is open."""
    name = endpoint.replace("_", "-")
    url = state.find(name)
    if url is None:
        from pixelserve.local import Source, running

        source = Source.parse(endpoint)
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
    client = make_client("sagemaker-runtime", arguments.region, arguments.profile, once)

    def send(body: bytes, headers: dict[str, str]) -> ModelAnswer:
        attributes = {"CustomAttributes": headers[ATTRIBUTES]} if ATTRIBUTES in headers else {}
        try:
            answer = client.invoke_endpoint(
                EndpointName=arguments.endpoint,
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
        return answer["Body"].read(), answer["ContentType"]

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
