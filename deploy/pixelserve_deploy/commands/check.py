"""Run a handler against the contract, in a process of its own, and say what to change.

One line a check: ok, note (worth knowing) or PROBLEM (fails in production). The exit code is 1 when there is a problem.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path

from pixelserve.errors import NotFound
from pixelserve_deploy import console
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.handlers import check_handler

EXAMPLES = """\
  pixelserve check my_model
  pixelserve check my_model --body photo.jpg --content-type image/jpeg --accept image/png
  pixelserve check my_model --body request.json --model-dir weights
"""
LABELS = {"ok": "ok      ", "note": "note    ", "problem": "PROBLEM "}
STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="folder with the inference.py")
    parser.add_argument("--body", type=Path, metavar="FILE", help="a request's body (default: JSON with a small image)")
    parser.add_argument("--content-type", help="the body's content type (default application/json)")
    parser.add_argument("--accept", default="*/*", help="what the caller accepts (default */*)")
    parser.add_argument("--model-dir", type=Path, metavar="DIR", help="folder with the weights (default: an empty one)")


def run(arguments: argparse.Namespace) -> int:
    if arguments.content_type and not arguments.body:
        raise UsageError("--content-type goes with --body")
    if not arguments.folder.is_dir():
        raise NotFound(f"There is no folder {arguments.folder}. `pixelserve new NAME` writes one to start from.")
    for path in filter(None, (arguments.body, arguments.model_dir)):
        if not path.exists():
            raise NotFound(f"There is no {path}.")
    problems = 0
    with contextlib.closing(
        check_handler(
            arguments.folder,
            body=arguments.body,
            content_type=arguments.content_type or "application/json",
            accept=arguments.accept,
            model_dir=arguments.model_dir,
        )
    ) as findings:
        for finding in findings:
            problems += finding.kind == "problem"
            text = f"{finding.check}: {finding.text}"
            console.print_labelled(LABELS[finding.kind], text, STYLES[finding.kind], sys.stdout)
    print(f"{problems} problem{'' if problems == 1 else 's'}.")
    return 1 if problems else 0
