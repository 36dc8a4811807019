"""Remove an endpoint that pixelserve made, with every trace of it.

It says what there is and asks; then its own buckets are emptied, the stack is deleted with all in it, and models and
configurations that updates left behind too. Logs are kept for one more day. Ctrl-C leaves AWS to finish: the same
command follows it again.
"""

from __future__ import annotations

import argparse

from pixelserve.processes import Stop
from pixelserve_deploy import console
from pixelserve_deploy.aws import Session
from pixelserve_deploy.deployment import POLL_SECONDS, Outcome, Remains, Status, Teller, Work, attempt, destroying
from pixelserve_deploy.options import add_site

EXAMPLES = """\
  pixelserve destroy upscaler
  pixelserve destroy upscaler --yes --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the endpoint, as `pixelserve ls` shows it")
    parser.add_argument("--dry-run", action="store_true", help="print what would be removed")
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
    remains = destroying.find_remains(work)
    if not remains:
        teller.note(f"There is nothing of {arguments.name} in {session.region}: {work.stack.name} is no stack there.")
        return Outcome(Status.DONE)
    for line in _describe(work.stack.name, remains):
        teller.note(line)
    if arguments.dry_run:
        return Outcome(Status.DONE)
    if not (arguments.yes or console.confirm(f"Remove all this of {arguments.name}?", stop)):
        return Outcome(Status.REFUSED, "The answer was no.")
    outcome = destroying.carry_out(work, remains)
    if outcome.status is Status.DONE:
        teller.note(f"{arguments.name} is gone, and costs nothing any more.")
    return outcome


def _describe(stack: str, remains: Remains) -> list[str]:
    lines = [f"The stack {stack}:"] if remains.stack_id else []
    rows = [(kind.removeprefix("AWS::"), _shorten(name)) for kind, name in remains.resources]
    width = max((len(kind) for kind, _ in rows), default=0)
    lines += [f"  {kind:{width}}  {name}" for kind, name in rows]
    lines += [f"{count:,} objects in the bucket {bucket}" for bucket, count in remains.buckets.items()]
    if remains.left:
        lines.append(f"{len(remains.left)} models and configurations of earlier updates")
    return lines


def _shorten(physical: str) -> str:
    """A physical id; of an ARN its last part."""
    return physical.rpartition("/")[2] if physical.startswith("arn:") else physical
