"""Look at everything that a deployment needs, and say how to mend it. Nothing is changed.

Credentials, the image and its manifest, whether the region has the instances and the account may have them, the
weights, and the rules that a spec and its template have to keep. Exit code 3 when a deployment would be refused.
"""

from __future__ import annotations

import argparse
import json

from pixelserve_deploy.aws import AwsError, Session
from pixelserve_deploy.deployment import Status, check_all, check_without_aws, print_checks
from pixelserve_deploy.options import add_endpoint, add_site, read_endpoint

EXAMPLES = """\
  pixelserve doctor upscaler                            as pixelserve.toml describes it
  pixelserve doctor upscaler --image 123456789012.dkr.ecr.us-east-2.amazonaws.com/pixelserve:1 --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_endpoint(parser)
    parser.add_argument("--json", action="store_true", help="print the checks as JSON")
    add_site(parser)


def run(arguments: argparse.Namespace) -> int:
    spec = read_endpoint(arguments)
    session = Session(spec.region or None, arguments.profile)
    try:
        report = check_all(spec, session)
    except AwsError as error:
        report = check_without_aws(spec, session.region, error)
    if arguments.json:
        print(json.dumps([vars(check) for check in report.checks], indent=2))
    else:
        print_checks(report.checks)
    return int(Status.REFUSED) if report.failures else 0
