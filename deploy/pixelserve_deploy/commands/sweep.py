"""Find endpoints that nobody has called for a while, and remove those that pixelserve made.

Others' are listed with what they cost, and never touched. Nothing is removed before you agree.
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime, timedelta

from pixelserve.processes import Stop
from pixelserve_deploy import console
from pixelserve_deploy.aws import Session
from pixelserve_deploy.deployment import (
    KEPT,
    POLL_SECONDS,
    WINDOW,
    Entry,
    Outcome,
    Remains,
    Status,
    Teller,
    Work,
    attempt,
    destroying,
    list_entries,
    listing,
    select_idle,
)
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.options import add_site, parse_duration

EXAMPLES = """\
  pixelserve sweep --dry-run
  pixelserve sweep --idle 24h --older-than 7d
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--idle", type=parse_duration, default=timedelta(hours=24), metavar="TIME",
                        help="not called for so long, e.g. 90m, 24h or 7d (default 24h)")  # fmt: skip
    parser.add_argument("--older-than", type=parse_duration, default=timedelta(0), metavar="TIME",
                        help="made so long ago at least (default: any age)")  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="remove nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="print each step and the ends as JSON, one object a line")
    parser.add_argument("--poll", type=float, default=POLL_SECONDS, metavar="SECONDS", help=argparse.SUPPRESS)
    add_site(parser)


def run(arguments: argparse.Namespace, stop: Stop) -> int:
    if arguments.idle > KEPT:
        raise UsageError(f"--idle is {KEPT.days}d at most: CloudWatch knows of no calls before that")
    session = Session(arguments.region, arguments.profile)
    now = datetime.now(UTC)
    entries = list_entries(session, window=max(WINDOW, arguments.idle))
    idle = select_idle(entries, arguments.idle, arguments.older_than, now)
    ours = [entry for entry in idle if entry.is_ours and not entry.api]
    _show(arguments, session, idle, now)
    if arguments.dry_run or not ours:
        return 0
    tellers = [Teller("pixelserve sweep", entry.name, arguments.json) for entry in ours]
    works = [
        Work(session, one.name, one.show, stop, f"`pixelserve destroy {one.name}`", arguments.poll) for one in tellers
    ]
    remains = [destroying.find_remains(work) for work in works]
    for teller, found in zip(tellers, remains, strict=True):
        for bucket, count in found.buckets.items():
            teller.note(f"{count:,} objects in the bucket {bucket} of {teller.name}")
    names = ", ".join(entry.name for entry in ours)
    if not (arguments.yes or console.confirm(f"Remove {names} with every trace?", stop)):
        return int(Status.REFUSED)
    worst = 0
    for teller, work, found in zip(tellers, works, remains, strict=True):
        stop.check()
        worst = max(worst, _remove(teller, work, found))
    return worst


def _show(arguments: argparse.Namespace, session: Session, idle: list[Entry], now: datetime) -> None:
    if arguments.json:
        print(json.dumps({"idle": [listing.entry_to_json(entry, now) for entry in idle]}), flush=True)
        return
    if not idle:
        print(f"Every endpoint in {session.region} is in use, or younger than you asked for.")
        return
    headers, rows = listing.list_columns(idle, now, cost=True)
    console.print_table(headers, rows, right=listing.MONEY)
    print(listing.sum_up(idle))
    for api in sorted({entry.api for entry in idle if entry.api}):
        print(f"Endpoints of the API {api} go by its switches: pixelserve stack deploy {api} FEATURE=no.")
    if not all(entry.is_ours for entry in idle):
        print("Those made by others stay: ask whoever made them, then `aws sagemaker delete-endpoint`.")


def _remove(teller: Teller, work: Work, remains: Remains) -> int:
    def destroy() -> Outcome:
        outcome = destroying.carry_out(work, remains)
        if outcome.status is Status.DONE:
            teller.note(f"{work.name} is gone.")
        return outcome

    return teller.end(attempt(destroy), {})
