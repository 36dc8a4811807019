"""Send a file, or two images to compare, to an endpoint and write its answer; or many files and folders, with -o a
folder for the answers.

An image goes as it is, or in JSON where JSON is to be answered; with --content-type, and anything else, always as it
is. It goes to a running `pixelserve up` that has the endpoint; without one, the endpoint is started for this call. AWS
is called only with --aws.

Many images go a few at a time. Answers that are there already are kept; what fails is in OUT/_pixelserve, and the exit
code is 1 then.

On AWS files go in real time, asynchronously or as a batch job: which, why and at what cost is said beforehand.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pixelserve import features
from pixelserve.errors import BadRequest, HandlerError, PixelserveError, UnsupportedMediaType
from pixelserve.media_types import JSON, essence, is_json
from pixelserve.processes import Stop
from pixelserve_deploy import batch, console
from pixelserve_deploy.aws import Session
from pixelserve_deploy.calls import (
    ACCEPTS,
    AT_ONCE,
    ENDINGS,
    Described,
    InvocationFailed,
    Way,
    accept_of,
    build_body,
    choose_accept,
    choose_type,
    choose_way,
    describe_choice,
    load_of,
    look_up,
    send_here,
    send_realtime,
)
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.options import (
    add_request_fields,
    add_site,
    add_weights,
    check_media_type,
    choose_weights,
    parse_count,
    read_input,
    read_request_fields,
)
from pixelserve_deploy.outputs import check_output, write_whole

EXAMPLES = """\
  pixelserve invoke image-super-resolution photo.jpg --scale 4 -o large.png
  pixelserve invoke image-super-resolution photo.jpg --set target=4k --set quality=80 -o large.webp
  pixelserve invoke my-model request.json       the answer is printed where it is text
  pixelserve invoke ./my_model rows.csv --weights folder --accept text/csv -o -
  pixelserve invoke my-model photo.jpg --content-type image/jpeg --accept application/json
  pixelserve invoke my-endpoint photo.jpg --aws --region eu-west-1 --profile work
  pixelserve invoke my-endpoint photos/ -o large/ --accept image/webp --aws
"""
STANDARD_OUTPUT = Path("-")
OF_THE_MODEL = (HandlerError.code, UnsupportedMediaType.code, PixelserveError.code)
"""What a container answers where the model raised: ours, or another one."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("endpoint", help="its name; without a running `up` also what `up` takes")
    parser.add_argument("files", nargs="+", metavar="FILE", type=Path,
                        help="a request's body, two images to compare, or more files and folders")  # fmt: skip
    parser.add_argument("--content-type", help="of the body (default: by its content and name)")
    add_request_fields(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="OUT",
        help=f"file to write: {', '.join(ACCEPTS)}; - prints it. Of many: a folder",
    )
    parser.add_argument(
        "--accept", help="content type to ask for (default: by OUT's ending, else what the feature gives)"
    )
    parser.add_argument("--json", action="store_true", help="print what came of it as JSON (docs/scripts.md)")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="of one file: say which weights answered, and what ran them"
    )
    add_weights(parser)
    many = parser.add_argument_group("many files")
    many.add_argument("--concurrency", type=parse_count, metavar="N",
                      help=f"requests at once (default {AT_ONCE})")  # fmt: skip
    many.add_argument("--overwrite", action="store_true", help="send again what has its answer already")
    site = add_site(parser)
    site.add_argument("--aws", action="store_true", help="call the endpoint on AWS")
    site.add_argument("--way", choices=("realtime", "async", "batch"),
                      help="default: by the sizes of the files and the seconds they take")  # fmt: skip
    site.add_argument("--target-model", default="", metavar="NAME",
                      help="of an endpoint of several features: FEATURE.tar.gz")  # fmt: skip
    site.add_argument("--s3", metavar="S3",
                      help="s3://BUCKET/PREFIX/ for what goes asynchronously or as a batch job (default: of an "
                      "asynchronous endpoint that `deploy` made, its own place)")  # fmt: skip
    site.add_argument("--seconds", type=float, metavar="S", help="that one image takes (default: what is documented)")
    site.add_argument("--poll", type=float, metavar="SECONDS", help=argparse.SUPPRESS)
    site.add_argument("--yes", action="store_true", help="start a batch job without asking")


def run(arguments: argparse.Namespace, stop: Stop) -> int:
    options = _read_options(arguments)
    if _is_many(arguments):
        return batch.send_files(arguments, options, lambda source: choose_weights(source, arguments.weights), stop)
    files = [read_input(path) for path in arguments.files]
    if arguments.output != STANDARD_OUTPUT:
        check_output(arguments.output or arguments.files[0].with_suffix(".result"))
    content_type = choose_type(arguments.content_type, files[0], arguments.files[0].name)
    session = Session(arguments.region, arguments.profile) if arguments.aws else None
    found = look_up(session, arguments.endpoint, console.say, arguments.target_model) if session else None
    feature = (found and found.feature) or arguments.endpoint
    accept = _choose_accept(arguments, feature, content_type)
    body, headers = build_body(files, content_type, options, accept, as_it_is=bool(arguments.content_type))
    tell = _tell_attributes if arguments.verbose else lambda attributes: None
    with ExitStack() as stack:
        if session and found:
            _choose_realtime(found, len(body), arguments.seconds, session.region)
            target = arguments.target_model
            send = send_realtime(arguments.endpoint, arguments.region, arguments.profile, target=target, told=tell)
        else:
            send = send_here(
                arguments.endpoint,
                lambda source: choose_weights(source, arguments.weights),
                stack,
                stop,
                anew=bool(arguments.weights),
                told=tell,
            )
        started = time.perf_counter()
        try:
            answer, answered_type = stop.run_aside(lambda: send(body, headers))
        except InvocationFailed as failure:
            is_wrapped = content_type.startswith("image/") and is_json(headers["Content-Type"])
            if is_wrapped and not options and len(files) == 1 and _is_refused_by_own(feature, failure):
                remedy = f" If it takes pictures alone, --content-type {content_type} sends it as it is."
                raise InvocationFailed(f"{failure.message} The picture was sent as `img` in JSON.{remedy}") from None
            raise
        seconds = time.perf_counter() - started
    kind = essence(answered_type)
    told: dict[str, Any] = {
        "endpoint": arguments.endpoint,
        "content_type": answered_type,
        "bytes": len(answer),
        "seconds": round(seconds, 4),
    }
    if arguments.json and arguments.output is None and is_json(kind):
        print(json.dumps({**told, "output": None, "answer": json.loads(answer)}))
        return 0
    if (
        not arguments.json
        and arguments.output is None
        and (kind in (JSON, ACCEPTS[".jsonl"]) or kind.startswith("text/"))
    ):
        print(answer.decode(errors="replace").removesuffix("\n"))
        return 0
    if arguments.output == STANDARD_OUTPUT:
        sys.stdout.buffer.write(answer)
        sys.stdout.buffer.flush()
        return 0
    output = arguments.output or _name_output(arguments.files[0], files[0], answer, kind)
    write_whole(output, answer)
    if arguments.json:
        print(json.dumps({**told, "output": str(output), "answer": None}))
        return 0
    described = " and ".join(map(_describe, arguments.files, files))
    print(f"{described} -> {_describe(output, answer)}, {seconds:.2f} s")
    return 0


def _is_refused_by_own(feature: str, failure: InvocationFailed) -> bool:
    """Whether a model of the caller's own raised, as it does on what it does not expect."""
    return features.find(feature) is None and failure.reason in OF_THE_MODEL


def _tell_attributes(attributes: str) -> None:
    """What the endpoint says of its answer: which weights, what ran them, in which type."""
    for attribute in filter(None, attributes.split(";")):
        name, _, value = attribute.partition("=")
        print(f"{name}: {unquote(value)}", file=sys.stderr)


def _is_many(arguments: argparse.Namespace) -> bool:
    """Whether answers go to a folder: many files, or what goes by way of S3."""
    is_by_s3 = bool(arguments.way or arguments.s3)
    return len(arguments.files) > 2 or is_by_s3 or any(path.is_dir() for path in arguments.files)


def _read_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The request's fields beside the file's. Raises UsageError where the command line contradicts itself."""
    if _is_many(arguments):
        _check_many(arguments)
    else:
        _check_one(arguments)
    if arguments.weights and arguments.aws:
        raise UsageError("--weights goes with an endpoint that is started here")
    for header in filter(None, (arguments.content_type, arguments.accept)):
        check_media_type(header)
    of_aws = (arguments.region, arguments.profile, arguments.target_model, arguments.way, arguments.s3)
    is_timed = arguments.seconds is not None or arguments.poll is not None
    if not arguments.aws and (is_timed or arguments.yes or any(of_aws)):
        raise UsageError("--region, --profile, --target-model, --way, --s3, --seconds, --poll and --yes go with --aws")
    if arguments.json and arguments.output == STANDARD_OUTPUT:
        raise UsageError("--json or -o -, not both: each is what is printed")
    if arguments.output and arguments.output.resolve() in [path.resolve() for path in arguments.files]:
        raise UsageError(f"-o {arguments.output} is the input; choose another name")
    return read_request_fields(arguments)


def _check_one(arguments: argparse.Namespace) -> None:
    """Raises UsageError for options of many files, and of a way that one does not go."""
    if len(arguments.files) == 2 and arguments.content_type:
        raise UsageError("--content-type goes with one file")
    if arguments.concurrency or arguments.overwrite:
        raise UsageError("--concurrency and --overwrite go with many files: a folder, or more than two")
    if arguments.yes and arguments.aws:
        raise UsageError("--yes goes with what may be a batch job: many files, --way or --s3")


def _check_many(arguments: argparse.Namespace) -> None:
    """Raises UsageError unless the answers have a folder, apart from the images'."""
    output = arguments.output
    if output is None or output == STANDARD_OUTPUT or (output.suffix in ACCEPTS and not output.is_dir()):
        raise UsageError("folders, more than two files, --way and --s3: give -o FOLDER for the answers")
    if arguments.verbose:
        raise UsageError("--verbose goes with one file")
    inside = [path for path in arguments.files if path.is_dir() and output.resolve().is_relative_to(path.resolve())]
    if inside:
        raise UsageError(f"-o {output} lies in {inside[0]}: the answers would be sent the next time. Choose another")


def _choose_realtime(found: Described, size: int, seconds: float | None, region: str) -> None:
    """Says how one request goes and at what price. Raises BadRequest, with the way out, where not in real time."""
    choice = choose_way(load_of([size], found.feature, seconds), found.mode, has_store=False)
    if choice.way is not Way.REALTIME:
        raise BadRequest(f"{found.name} is asynchronous: give --way async, and -o FOLDER for the answer.")
    for line in describe_choice(choice, found, region):
        console.say(line)


def _choose_accept(arguments: argparse.Namespace, endpoint: str, content_type: str) -> str:
    if arguments.accept:
        return str(arguments.accept)
    if arguments.output not in (None, STANDARD_OUTPUT):
        return accept_of(arguments.output)
    return JSON if len(arguments.files) == 2 else choose_accept(endpoint, content_type.startswith("image/"))


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
