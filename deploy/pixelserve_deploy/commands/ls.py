"""List the endpoints of a region, ours and others', with what they cost and when they were last called.

Ours are those with a stack of the name pixelserve-NAME. Costs are those of the instances that run now, by our own
price book; what serverless endpoints and Lambda functions cost depends on their calls.
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime

from pixelserve_deploy import console
from pixelserve_deploy.aws import Session
from pixelserve_deploy.deployment import list_entries, listing
from pixelserve_deploy.options import add_site

EXAMPLES = """\
  pixelserve ls --cost
  pixelserve ls --cost --region eu-west-1
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cost", action="store_true", help="with what they cost and when they were last called")
    parser.add_argument("--json", action="store_true", help="print the list as JSON")
    add_site(parser)


def run(arguments: argparse.Namespace) -> int:
    session = Session(arguments.region, arguments.profile)
    entries = list_entries(session, with_calls=arguments.cost or arguments.json)
    now = datetime.now(UTC)
    if arguments.json:
        print(json.dumps([listing.entry_to_json(entry, now) for entry in entries], indent=2))
        return 0
    if not entries:
        print(f"There are no endpoints in {session.region}.")
        return 0
    headers, rows = listing.list_columns(entries, now, cost=arguments.cost)
    console.print_table(headers, rows, right=listing.MONEY)
    if arguments.cost:
        print(listing.sum_up(entries))
    return 0
