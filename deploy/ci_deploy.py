#!/usr/bin/env python3
"""Deploy from any CI: what a change would do and cost as Markdown, deploying with a smoke test, promoting one image.

  plan      what would change and cost, for a comment; changes nothing
  deploy    make or update an endpoint, then call it by the SageMaker SDK's Predictor
  promote   the same with an image that is named by its digest, as `deploy` printed it
  comment   put Markdown on a pull request of GitHub: one comment, edited from then on

Standard output is Markdown, or with --json one object; steps go to standard error. Options that are not listed are
those of `pixelserve deploy`, and come after NAME: -f FILE, --region, --profile, --cfn-role, fields of an endpoint.
Exit codes are its, too: 0 done or nothing to do, 1 failed and undone, 2 command line, 3 refused before any change,
4 somebody has to look (also after a smoke test that failed), 5 still running, 10 a plan has changes.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import os
import struct
import sys
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from pixelserve.features import find
from pixelserve.imaging import read_size
from pixelserve_deploy import cli
from pixelserve_deploy.deployment import Progress, Status, Teller, write_markdown

MARK = "<!-- pixelserve: plan -->"
"""By which the comment is found again."""
EXAMPLES = """\
examples:
  ci_deploy.py plan upscaler-staging upscaler > plan.md
  ci_deploy.py deploy upscaler-staging --json > deployed.json
  ci_deploy.py promote upscaler --image "$(jq -r .image deployed.json)"
  GITHUB_TOKEN=... ci_deploy.py comment plan.md --repository owner/name --pull 12
"""
REST = "All other options, after NAME, are those of `pixelserve deploy`: --file FILE, --region, --profile, --image, ..."
CALLED = ("realtime", "serverless")
"""Modes whose endpoints a Predictor calls."""
SIDE = 32
NO_TELEMETRY = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}
"""The SDK's own configuration."""

End = dict[str, Any]


class Steps(io.TextIOBase):
    """Standard output of `pixelserve deploy --json`: shows each step as it comes, and keeps the end."""

    def __init__(self, teller: Teller) -> None:
        self.end: End = {}
        self._teller = teller
        self._line = ""

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            fields = json.loads(line)
            if "source" in fields:
                self._teller.show(Progress(**fields))
            else:
                self.end = fields
        return len(text)


def run_deploy(name: str, *options: str) -> tuple[int, End]:
    """Runs `pixelserve deploy NAME --json`: its exit code and its last object, empty where it did not come so far."""
    steps = Steps(Teller("ci_deploy.py", name, as_json=False))
    with contextlib.redirect_stdout(steps):
        code = cli.main(["deploy", name, "--json", *options])
    return code, steps.end


def plan(arguments: argparse.Namespace, options: Sequence[str]) -> int:
    """Plans each endpoint. The exit code is the first that is neither 0 nor 10, else 10 if anything changes."""
    found = [run_deploy(name, "--plan", *options) for name in arguments.names]
    codes = [code for code, _ in found]
    ends = [end for _, end in found if end]
    print(json.dumps(ends) if arguments.json else write_comment(ends))
    failed = [code for code in codes if code not in (Status.DONE, Status.CHANGES)]
    return failed[0] if failed else max(codes)


def deploy(arguments: argparse.Namespace, options: Sequence[str]) -> int:
    """Deploys one endpoint and calls it."""
    code, end = run_deploy(arguments.name, "--yes", *options)
    if code == Status.DONE and not arguments.no_smoke:
        code = smoke(arguments, end, options)
    if end:
        print(json.dumps(end) if arguments.json else write_markdown(end))
    return code


def promote(arguments: argparse.Namespace, options: Sequence[str]) -> int:
    """Deploys exactly what was tried: a tag may have moved since."""
    if "@sha256:" not in arguments.image:
        print(f"ci_deploy.py: {arguments.image} is no digest: give the image that `deploy` printed.", file=sys.stderr)
        return 2
    return deploy(arguments, [*options, "--image", arguments.image])


def smoke(arguments: argparse.Namespace, end: End, options: Sequence[str]) -> int:
    """Calls the endpoint; what came of it goes into `end`. Returns the exit code."""
    if end["mode"] not in CALLED:
        end["smoke"] = f"not called: a Predictor does not call {end['mode']} endpoints."
        return Status.DONE
    profile = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    profile.add_argument("--profile")
    try:
        photo = arguments.photo.read_bytes() if arguments.photo else draw_picture()
        name = profile.parse_known_args(options)[0].profile
        end["smoke"] = " ".join(
            judge(predict(end, name, photo, accept, model), accept)
            for model, accept in list_calls(end, arguments.accept)
        )
    except Exception as error:  # noqa: BLE001  # whatever the SDK raises is what the test is for
        end |= {
            "status": Status.NEEDS_PERSON.name.lower(),
            "cause": f"The endpoint is there, but the smoke test failed: {error}",
            "next": f"It stays as it is. Look at `pixelserve logs {end['name']}`; then deploy again, or destroy it.",
        }
        return Status.NEEDS_PERSON
    return Status.DONE


def list_calls(end: End, accept: str) -> list[tuple[str | None, str]]:
    """TargetModel and type of the answer for each call: one, or of several features each, with what it answers."""
    if len(end["features"]) < 2:
        return [(None, accept)]
    found = [feature for feature in map(find, end["features"]) if feature is not None]
    return [(f"{feature.endpoint}.tar.gz", feature.answer) for feature in found]


def predict(end: End, profile: str | None, photo: bytes, accept: str, model: str | None = None) -> bytes:
    """The endpoint's answer to a picture, by `sagemaker.Predictor`; `model` is the TargetModel."""
    os.environ.setdefault("SAGEMAKER_SUPPRESS_V2_WARNING", "1")
    logging.getLogger("sagemaker.config").setLevel(logging.WARNING)  # it speaks on standard output
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what the SDK imports
        import boto3
        from sagemaker import Session
        from sagemaker.deserializers import BytesDeserializer
        from sagemaker.predictor import Predictor
        from sagemaker.serializers import IdentitySerializer

        session = Session(
            boto3.Session(profile_name=profile, region_name=end["region"]),
            default_bucket="not-used",
            sagemaker_config=NO_TELEMETRY,
        )
        predictor = Predictor(end["name"], session, IdentitySerializer("image/png"), BytesDeserializer(accept))
        return bytes(predictor.predict(photo, target_model=model))


def judge(answer: bytes, accept: str) -> str:
    """What was answered. Raises ValueError for what is not of the type that was asked for."""
    if accept == "application/json":
        return f"answered JSON with {', '.join(json.loads(answer))}."
    size = read_size(answer)
    if size is None:
        raise ValueError(f"the answer of {len(answer):,} bytes is no picture: {answer[:200]!r}")
    return f"answered a picture of {size[0]} x {size[1]} pixels."


def draw_picture() -> bytes:
    """A PNG of 32 x 32 pixels that get redder to the right and greener downwards."""
    rows = (bytes([0, *(v for x in range(SIDE) for v in (8 * x, 8 * y, 128))]) for y in range(SIDE))
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def write_comment(ends: Sequence[End]) -> str:
    """The plans of all endpoints as one comment."""
    return "\n\n".join([MARK, *map(write_markdown, ends)])


def comment(arguments: argparse.Namespace) -> int:
    """Makes the comment, or edits the one that is there: `Issue comments`, GitHub's REST API."""
    token = os.environ.get("GITHUB_TOKEN")
    if not token:
        print("ci_deploy.py: GITHUB_TOKEN is not set: it needs the right pull-requests: write.", file=sys.stderr)
        return 2
    text = arguments.file.read_text() if arguments.file else sys.stdin.read()
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"}
    base = f"{os.environ.get('GITHUB_API_URL', 'https://api.github.com')}/repos/{arguments.repository}/issues"
    with httpx.Client(headers=headers, timeout=60) as client:
        try:
            old = find_comment(client, f"{base}/{arguments.pull}/comments?per_page=100", arguments.author)
            method, url = ("PATCH", f"{base}/comments/{old}") if old else ("POST", f"{base}/{arguments.pull}/comments")
            answer = client.request(method, url, json={"body": text if MARK in text else f"{MARK}\n\n{text}"})
            answer.raise_for_status()
        except httpx.HTTPError as error:
            print(f"ci_deploy.py: GitHub: {error}", file=sys.stderr)
            return 1
    print(answer.json()["html_url"])
    return 0


def find_comment(client: httpx.Client, url: str | None, author: str) -> int | None:
    """The id of our comment on a pull request, read page by page. Others may write one that begins like it."""
    while url:
        answer = client.get(url).raise_for_status()
        for found in answer.json():
            if found["body"].startswith(MARK) and (found["user"] or {}).get("login") == author:
                return int(found["id"])
        url = answer.links.get("next", {}).get("url")
    return None


def parse(words: Sequence[str] | None = None) -> tuple[argparse.Namespace, list[str]]:
    """The command line, and what of it is for `pixelserve deploy`."""
    parser = argparse.ArgumentParser(
        "ci_deploy.py",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parsers = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    planning = parsers.add_parser("plan", allow_abbrev=False, epilog=REST, help="what would change and cost")
    planning.add_argument("names", nargs="+", metavar="NAME", help="of endpoints in the file")
    planning.add_argument("--json", action="store_true", help="print a list of objects, not Markdown")
    for action, text in (("deploy", "deploy an endpoint and call it"), ("promote", "the same, by digest only")):
        deploying = parsers.add_parser(action, allow_abbrev=False, epilog=REST, help=text)
        deploying.add_argument("name", metavar="NAME", help="of an endpoint in the file")
        if action == "promote":
            deploying.add_argument("--image", required=True, metavar="URI@DIGEST", help="as `deploy` printed it")
        deploying.add_argument("--photo", type=Path, metavar="FILE",
                               help="PNG for the smoke test (default: a small one that is drawn)")  # fmt: skip
        deploying.add_argument("--accept", default="image/png", metavar="TYPE",
                               help="of the answer: a picture or application/json (default: %(default)s)")  # fmt: skip
        deploying.add_argument("--no-smoke", action="store_true", help="do not call the endpoint")
        deploying.add_argument("--json", action="store_true", help="print one object, not Markdown")
    commenting = parsers.add_parser("comment", allow_abbrev=False, help="comment on a pull request of GitHub")
    commenting.add_argument("file", nargs="?", type=Path, metavar="FILE", help="Markdown (default: standard input)")
    commenting.add_argument("--repository", required=True, metavar="OWNER/NAME")
    commenting.add_argument("--pull", required=True, type=int, metavar="NUMBER", help="of the pull request")
    commenting.add_argument("--author", default="github-actions[bot]", metavar="LOGIN",
                            help="whose comment is edited: the token's user (default: %(default)s)")  # fmt: skip
    arguments, options = parser.parse_known_args(words)
    if arguments.action == "comment" and options:
        commenting.error(f"unrecognized arguments: {' '.join(options)}")
    return arguments, options


def main(words: Sequence[str] | None = None) -> int:
    arguments, options = parse(words)
    if arguments.action == "comment":
        return comment(arguments)
    act = {"plan": plan, "deploy": deploy, "promote": promote}[arguments.action]
    return int(act(arguments, options))


if __name__ == "__main__":
    sys.exit(main())
