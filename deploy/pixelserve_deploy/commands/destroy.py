"""Remove an endpoint that pixelserve made, with every trace of it.

It says what there is and asks; then its own buckets are emptied, the stack is deleted with all in it, and models and
configurations that updates left behind too, and last its logs. Ctrl-C leaves AWS to finish: the same command follows it
again.
"""

from __future__ import annotations

import argparse

from pixelserve.processes import Stop
from pixelserve_deploy.aws import Session
from pixelserve_deploy.deployment import POLL_SECONDS, Outcome, Teller, Work, attempt, logs, take_away
from pixelserve_deploy.options import add_site

EXAMPLES = """\
  pixelserve destroy upscaler
  pixelserve destroy upscaler --keep-logs
  pixelserve destroy upscaler --yes --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the endpoint, as `pixelserve ls` shows it")
    parser.add_argument("--dry-run", action="store_true", help="print what would be removed")
    parser.add_argument(
        "--keep-logs", action="store_true", help=f"leave the logs, for {logs.KEPT_DAYS} more days at most"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="print each step and the end as JSON, one object a line")
    parser.add_argument("--cfn-role", default="", metavar="ARN", help="role that CloudFormation takes on")
    parser.add_argument("--poll", type=float, default=POLL_SECONDS, metavar="SECONDS", help=argparse.SUPPRESS)
    add_site(parser)


def run(arguments: argparse.Namespace, stop: Stop) -> int:
    teller = Teller("pixelserve destroy", arguments.name, arguments.json)
    outcome = attempt(lambda: _destroy(arguments, stop, teller))
    return teller.end(outcome, {})


def _destroy(arguments: argparse.Namespace, stop: Stop, teller: Teller) -> Outcome:
    session = Session(arguments.region, arguments.profile)
    again = f"`pixelserve destroy {arguments.name}`"
    work = Work(session, arguments.name, teller.show, stop, again, arguments.poll, arguments.cfn_role)
    return take_away(work, teller, keep_logs=arguments.keep_logs, dry_run=arguments.dry_run, yes=arguments.yes)
