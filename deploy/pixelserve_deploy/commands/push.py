"""Push an image to Amazon ECR, and check that SageMaker can take it.

The repository is made where there is none: scanned on push, its tags immutable. A tag that is there already is left.
"""

from __future__ import annotations

import argparse
import json
import sys

from pixelserve_deploy import console
from pixelserve_deploy.aws import Registry, make_client
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.image import check_deployable, connect, find_local, push

EXAMPLES = """\
  pixelserve push pixelserve:0.1.0-1a2b3c4d
  pixelserve push pixelserve:0.1.0-1a2b3c4d --repository team/upscaler --region eu-west-1 --profile work
  pixelserve push pixelserve:0.1.0-1a2b3c4d --dry-run
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tag", metavar="NAME:TAG", help="a local image, as `pixelserve build` printed it")
    parser.add_argument("--repository", help="repository of ECR (default: the image's name)")
    parser.add_argument("--region", help="its region")
    parser.add_argument("--profile", help="profile of your AWS configuration")
    parser.add_argument("--dry-run", action="store_true", help="print what would be done")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(arguments: argparse.Namespace) -> int:
    name, colon, version = arguments.tag.rpartition(":")
    if not colon or not name or "/" in version:
        raise UsageError(f"{arguments.tag}: write NAME:TAG")
    if "dirty" in version.split("-"):
        print("This image was built from files that are not committed.", file=sys.stderr)
    registry = Registry(make_client("ecr", arguments.region, arguments.profile))
    repository = arguments.repository or name
    uri = registry.find(repository)
    if arguments.dry_run:
        made = uri or f"a new repository {repository} (scanned on push, immutable tags)"
        print(f"Would push {arguments.tag} to {made}.")
        return 0
    pushed = _push(registry, repository, uri, arguments.tag, version)
    print(json.dumps({"image": pushed}) if arguments.json else pushed)
    return 0


def _push(registry: Registry, repository: str, uri: str | None, tag: str, version: str) -> str:
    """The reference of the image in the registry, pushed unless it is there, and checked."""
    with connect() as client:
        find_local(client, tag)
        uri = uri or registry.create(repository)
        auth = registry.login()
        if registry.has(repository, version):
            print(f"{uri}:{version} is there already; tags are immutable.", file=sys.stderr)
            check_deployable(client, f"{uri}:{version}", auth)
            return f"{uri}:{version}"
        with console.show_lines(f"Pushing {uri}:{version}") as show:
            return push(client, tag, uri, auth, show)
