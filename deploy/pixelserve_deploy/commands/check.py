"""Run a handler against the contract, in a process of its own, and say what to change.

One line a check: ok, note (worth knowing) or PROBLEM (fails in production). The exit code is 1 when there is a problem.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from pixelserve.errors import NotFound
from pixelserve_deploy.commands import UsageError

EXAMPLES = """\
  pixelserve check my_model
  pixelserve check my_model --body photo.jpg --content-type image/jpeg --accept image/png
  pixelserve check my_model --body request.json --model-dir weights
"""
LABELS = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}


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
    order = {
        "folder": str(arguments.folder.resolve()),
        "body": arguments.body and str(arguments.body),
        "content_type": arguments.content_type or "application/json",
        "accept": arguments.accept,
        "model_dir": arguments.model_dir and str(arguments.model_dir.resolve()),
    }
    problems = 0
    command = [sys.executable, "-m", "pixelserve_deploy.probe", json.dumps(order)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as probe:
        assert probe.stdout is not None
        try:
            for line in probe.stdout:
                finding = json.loads(line)
                problems += finding["kind"] == "problem"
                print(f"{LABELS[finding['kind']]}  {finding['check']}: {finding['text']}", flush=True)
        except BaseException:
            probe.kill()
            raise
    if probe.returncode:
        how = f"signal {-probe.returncode}" if probe.returncode < 0 else f"exit code {probe.returncode}"
        print(f"{LABELS['problem']}  process: the handler ended its process ({how}); nothing in it may do that")
        return 1
    print(f"{problems} problem{'' if problems == 1 else 's'}.")
    return 1 if problems else 0
