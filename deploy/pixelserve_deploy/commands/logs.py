"""Print what an endpoint's containers wrote, and with --follow what they write.

The groups are /aws/sagemaker/Endpoints/NAME and, of a Lambda function, /aws/lambda/NAME; both are read.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime, timedelta

from pixelserve.errors import NotFound
from pixelserve.processes import Stop
from pixelserve_deploy import console
from pixelserve_deploy.aws import Session
from pixelserve_deploy.deployment import listing, logs
from pixelserve_deploy.options import add_site, parse_duration

EXAMPLES = """\
  pixelserve logs upscaler
  pixelserve logs upscaler --since 15m --follow
  pixelserve logs upscaler --errors --json
"""
POLL_SECONDS = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the endpoint")
    parser.add_argument(
        "--since",
        type=parse_duration,
        default=timedelta(hours=1),
        metavar="AGO",
        help="e.g. 15m, 24h or 7d (default 1h)",
    )
    parser.add_argument("--follow", "-f", action="store_true", help="go on until Ctrl-C")
    parser.add_argument("--errors", action="store_true", help="only errors, and what is no line of the server's own")
    parser.add_argument("--json", action="store_true", help="print one object a line")
    parser.add_argument("--poll", type=float, default=POLL_SECONDS, metavar="SECONDS", help=argparse.SUPPRESS)
    add_site(parser)


def run(arguments: argparse.Namespace, stop: Stop) -> int:
    session = Session(arguments.region, arguments.profile)
    client = session.client("logs")
    since = datetime.now(UTC) - arguments.since
    groups = logs.list_groups(arguments.name)
    there = [group for group in groups if logs.find_group(client, group)]
    if not there and not arguments.follow:
        raise NotFound(
            f"There is no log group {' or '.join(groups)} in {session.region}. `pixelserve ls` lists what is there."
        )
    readers = [logs.ContainerLog(client, group, since) for group in (groups if arguments.follow else there)]
    shown = 0
    while True:
        lines = sorted((line for reader in readers for line in reader.read()), key=lambda line: line.time)
        for line in lines:
            if line.line.is_error or not arguments.errors:
                _print(line, arguments.json)
                shown += 1
        if not arguments.follow:
            break
        if stop.wait(arguments.poll):
            return 0
    if not shown and not arguments.json:
        print(f"No lines in the last {listing.describe_span(arguments.since)}. --since 7d looks further back.")
    return 0


def _print(line: logs.Line, as_json: bool) -> None:
    moment = datetime.fromtimestamp(line.time / 1000, UTC)
    if as_json:
        fields = {"time": moment.isoformat(), "stream": line.stream, "level": line.line.level, "text": line.line.text}
        print(json.dumps(fields), flush=True)
    else:
        console.print_labelled(f"{moment:%m-%d %H:%M:%S}", line.line.text, "dim", sys.stdout)
