"""Delete the stack of the REST API with everything in it: endpoints, functions, jobs, keys and results.

It says what there is and asks; then its bucket is emptied, the stack deleted, and last its logs. A feature alone is
taken off by its switch: `pixelserve stack deploy ImageSimilarity=no`.
"""

from __future__ import annotations

import argparse

from pixelserve.processes import Stop
from pixelserve_deploy.aws import Session
from pixelserve_deploy.deployment import POLL_SECONDS, Outcome, Status, Teller, Work, apis, attempt, logs, take_away
from pixelserve_deploy.options import NAME_OF_API, add_site

EXAMPLES = """\
  pixelserve stack delete
  pixelserve stack delete shop --yes --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", default=NAME_OF_API, metavar="NAME",
                        help=f"of the API (default: {NAME_OF_API})")  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="print what would be removed")
    parser.add_argument(
        "--keep-logs", action="store_true", help=f"leave the logs, for {logs.KEPT_DAYS} more days at most"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="print each step and the end as JSON, one object a line")
    parser.add_argument("--poll", type=float, default=POLL_SECONDS, metavar="SECONDS", help=argparse.SUPPRESS)
    add_site(parser).add_argument("--cfn-role", default="", metavar="ARN", help="role that CloudFormation takes on")


def run(arguments: argparse.Namespace, stop: Stop) -> int:
    teller = Teller("pixelserve stack delete", arguments.name, arguments.json)
    return teller.end(attempt(lambda: _delete(arguments, stop, teller)), {})


def _delete(arguments: argparse.Namespace, stop: Stop, teller: Teller) -> Outcome:
    session = Session(arguments.region, arguments.profile)
    again = f"`pixelserve stack delete {arguments.name}`"
    work = Work(
        session,
        arguments.name,
        teller.show,
        stop,
        again,
        arguments.poll,
        arguments.cfn_role,
        log_groups=apis.list_groups(arguments.name),
    )
    state = work.stack.find()
    if state is not None and not apis.is_api(state):
        advice = f"Remove it with `pixelserve destroy {arguments.name}`."
        return Outcome(Status.REFUSED, f"{work.stack.name} is the stack of an endpoint.", next=advice)
    return take_away(work, teller, keep_logs=arguments.keep_logs, dry_run=arguments.dry_run, yes=arguments.yes)
