"""Run a handler against the contract, in a process of its own, and say what to change.

One line a check: ok, note (worth knowing), PROBLEM (fails in production) or "not checked" (a step that never ran). The
exit code is 1 when there is a problem, and when something could not be checked.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections import Counter
from pathlib import Path

from pixelserve.errors import NotFound
from pixelserve.local import open_source
from pixelserve.media_types import content_type_of
from pixelserve.processes import Stop
from pixelserve_deploy import console
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.handlers import Finding, check_handler
from pixelserve_deploy.options import read_input

EXAMPLES = """\
  pixelserve check my_model
  pixelserve check my_model --body photo.jpg --accept image/png
  pixelserve check model.tar.gz --body request.json
  pixelserve check my_model --body a.csv --body b.csv --model-dir weights
"""
LABELS = {"ok": "ok      ", "note": "note    ", "problem": "PROBLEM ", "unchecked": "not checked"}
STYLES = {"ok": "green", "note": "yellow", "problem": "bold red", "unchecked": "bold red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", help="a handler's folder, in SageMaker's layout too, a model.tar.gz or a feature")
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


def run(arguments: argparse.Namespace, stop: Stop) -> int:
    if arguments.content_type and not arguments.body:
        raise UsageError("--content-type goes with --body")
    if "/" in arguments.folder and not os.path.exists(arguments.folder):
        raise NotFound(f"There is no folder {arguments.folder}. `pixelserve new NAME` writes one to start from.")
    bodies = [(path, arguments.content_type or content_type_of(read_input(path), path.name)) for path in arguments.body]
    counts: Counter[str] = Counter()
    printed = []
    with open_source(arguments.folder) as found:
        source = found if arguments.model_dir is None else found.with_weights(arguments.model_dir)
        with contextlib.closing(check_handler(source, stop, bodies=bodies, accept=arguments.accept)) as findings:
            for finding in findings:
                counts[finding.kind] += 1
                if finding.kind == "printed":
                    printed.append(finding.text)
                else:
                    _show(finding)
    problems, unchecked = counts["problem"], counts["unchecked"]
    print(f"{problems} problem{'' if problems == 1 else 's'}{f', {unchecked} not checked' if unchecked else ''}.")
    for line in printed:
        print(f"{found.name} | {line}", file=sys.stderr)
    return 1 if problems or unchecked else 0


def _show(finding: Finding) -> None:
    text = f"{finding.check}: {finding.text}"
    console.print_labelled(LABELS[finding.kind], text, STYLES[finding.kind], sys.stdout)
