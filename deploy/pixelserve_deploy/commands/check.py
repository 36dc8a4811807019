"""Run a handler against the contract, in a process of its own, and say what to change; or, with --image, an image.

Any image will do, ours or not: it is run as SageMaker does, and the lines of the contract that show from outside are
tried (docs/contract.md).

One line a check: ok, note (worth knowing), PROBLEM (fails in production) or "not checked" (a step that never ran). The
exit code is 1 when there is a problem, and when something could not be checked.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from pixelserve.errors import NotFound
from pixelserve.local import open_source
from pixelserve.media_types import content_type_of
from pixelserve.processes import Stop
from pixelserve_deploy import console
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.handlers import Finding, check_handler
from pixelserve_deploy.options import parse_number, read_input

EXAMPLES = """\
  pixelserve check my_model
  pixelserve check my_model --body photo.jpg --accept image/png
  pixelserve check model.tar.gz --body request.json
  pixelserve check --image my-image:1 --body photo.jpg --model-dir ./model
  pixelserve check my_model --body a.csv --body b.csv --model-dir weights
"""
LABELS = {"ok": "ok      ", "note": "note    ", "problem": "PROBLEM ", "unchecked": "not checked"}
STYLES = {"ok": "green", "note": "yellow", "problem": "bold red", "unchecked": "bold red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", nargs="?", help="a handler's folder, in SageMaker's layout too, a model.tar.gz or a feature"
    )
    parser.add_argument("--image", metavar="IMAGE", help="an image of the Docker Engine in place of a handler")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="with --image: a variable")
    parser.add_argument("--start-seconds", type=parse_number, metavar="S",
                        help="with --image: the most that it takes to become healthy (default 300)")  # fmt: skip
    parser.add_argument(
        "--body",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a request's body (default: JSON with a small image); more of them are run beside each other",
    )
    parser.add_argument("--content-type", help="of the bodies (default: by each one's content and name)")
    parser.add_argument("--accept", default="*/*", help="what the caller accepts (default */*)")
    parser.add_argument(
        "--model-dir", type=Path, metavar="DIR", help="folder with the weights (default: beside the handler)"
    )
    parser.add_argument("--json", action="store_true", help="print what was found as JSON (docs/scripts.md)")


def run(arguments: argparse.Namespace, stop: Stop) -> int:
    if arguments.content_type and not arguments.body:
        raise UsageError("--content-type goes with --body")
    if (arguments.folder is None) == (arguments.image is None):
        raise UsageError("give a handler's FOLDER, or --image IMAGE")
    if arguments.image is None and (arguments.env or arguments.start_seconds is not None):
        raise UsageError("--env and --start-seconds go with --image")
    if arguments.start_seconds == 0:
        raise UsageError("--start-seconds is above 0")
    with _open_findings(arguments, stop) as (name, findings):
        return _tell(name, findings, arguments.json)


@contextlib.contextmanager
def _open_findings(arguments: argparse.Namespace, stop: Stop) -> Iterator[tuple[str, Iterable[Finding]]]:
    """What is checked, and what is found as it is found."""
    if arguments.image is not None:
        yield arguments.image, _check_image(arguments, stop)
        return
    if "/" in arguments.folder and not os.path.exists(arguments.folder):
        raise NotFound(f"There is no folder {arguments.folder}. `pixelserve new NAME` writes one to start from.")
    bodies = [(path, arguments.content_type or content_type_of(read_input(path), path.name)) for path in arguments.body]
    with open_source(arguments.folder) as found:
        source = found if arguments.model_dir is None else found.with_weights(arguments.model_dir)
        with contextlib.closing(check_handler(source, stop, bodies=bodies, accept=arguments.accept)) as findings:
            yield found.name, findings


def _check_image(arguments: argparse.Namespace, stop: Stop) -> Iterator[Finding]:
    from pixelserve_deploy.conformance import Trial, check_image  # needs the extra `deploy`
    from pixelserve_deploy.image import connect

    if len(arguments.body) > 1:
        raise UsageError("--image takes one --body")
    if arguments.model_dir is not None and not arguments.model_dir.is_dir():
        raise NotFound(f"There is no folder {arguments.model_dir}.")
    body = read_input(arguments.body[0]) if arguments.body else None
    kind = arguments.content_type or (content_type_of(body, arguments.body[0].name) if body else "application/json")
    pairs = [text.partition("=") for text in arguments.env]
    if not all(name and equals for name, equals, _ in pairs):
        raise UsageError("--env: write NAME=VALUE")
    trial = Trial(
        arguments.image,
        body,
        {"Content-Type": kind, "Accept": arguments.accept},
        arguments.model_dir and arguments.model_dir.resolve(),
        {name: value for name, _, value in pairs},
        float(arguments.start_seconds or Trial.start_seconds),
    )
    with connect() as client:
        yield from check_image(client, trial, stop)


def _tell(name: str, findings: Iterable[Finding], as_json: bool) -> int:
    """Shows the findings, or prints them as JSON; the exit code."""
    counts: Counter[str] = Counter()
    printed, told = [], []
    for finding in findings:
        counts[finding.kind] += 1
        if finding.kind == "printed":
            printed.append(finding.text)
        elif as_json:
            told.append(vars(finding))
        else:
            _show(finding)
    problems, unchecked = counts["problem"], counts["unchecked"]
    if as_json:
        head = {"checked": name, "problems": problems, "unchecked": unchecked}
        print(json.dumps({**head, "findings": told, "printed": printed}))
        return 1 if problems or unchecked else 0
    print(f"{problems} problem{'' if problems == 1 else 's'}{f', {unchecked} not checked' if unchecked else ''}.")
    for line in printed:
        print(f"{name} | {line}", file=sys.stderr)
    return 1 if problems or unchecked else 0


def _show(finding: Finding) -> None:
    text = f"{finding.check}: {finding.text}"
    console.print_labelled(LABELS[finding.kind], text, STYLES[finding.kind], sys.stdout)
