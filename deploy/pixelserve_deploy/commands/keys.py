"""Make, list and revoke the API keys of a gateway. A key is shown once; the gateway keeps its hash.

The store is the one that PIXELSERVE_GATEWAY_STATE or PIXELSERVE_GATEWAY_TABLE names, as for the gateway itself.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from pixelserve.features import feature
from pixelserve_deploy import console
from pixelserve_deploy.errors import UsageError

if TYPE_CHECKING:
    from pixelserve_gateway.jobs import ApiKey, JobStore, RateLimit

EXAMPLES = """\
  pixelserve keys make alice
  pixelserve keys make ci --feature super-resolution --per-second 2 --burst 10
  pixelserve keys list
  pixelserve keys revoke 3f2a91c0b7de
"""
COLUMNS = ("ID", "TENANT", "FEATURES", "LIMIT", "MADE", "REVOKED")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("make", "list", "revoke"))
    parser.add_argument("name", nargs="?", metavar="TENANT|ID", help="make: whose key; revoke: its id, as `list` shows")
    parser.add_argument("--feature", action="append", default=[], help="a feature that the key is for (default: all)")
    parser.add_argument("--per-second", type=float, metavar="N", help="calls a second on average (default: no limit)")
    parser.add_argument("--burst", type=int, metavar="N", help="calls at once, with --per-second (default: 10)")
    parser.add_argument("--state", metavar="DIR", help="folder of the gateway's state")


def run(arguments: argparse.Namespace) -> int:
    if (arguments.name is None) != (arguments.action == "list"):
        raise UsageError("list takes no name; make takes a tenant, revoke an id")
    if arguments.action != "make" and (arguments.feature or arguments.per_second or arguments.burst):
        raise UsageError("--feature, --per-second and --burst go with make")
    from pixelserve_gateway.jobs import ApiKeys

    limit = _read_limit(arguments)
    scopes = [feature(name).name for name in arguments.feature]
    with _opened_store(arguments.state) as store:
        keys = ApiKeys(store)
        if arguments.action == "make":
            _print_key(*keys.make(arguments.name, scopes, time.time(), limit), store)
        elif arguments.action == "revoke":
            revoked = keys.revoke(arguments.name, time.time())
            print(f"{revoked.id} of {revoked.tenant} opens nothing any more.")
        else:
            console.print_table(COLUMNS, [_row(key) for key in keys.list_keys()])
    return 0


def _read_limit(arguments: argparse.Namespace) -> RateLimit | None:
    from pixelserve_gateway.jobs import RateLimit

    if arguments.per_second is None:
        if arguments.burst is not None:
            raise UsageError("--burst goes with --per-second")
        return None
    burst = 10 if arguments.burst is None else arguments.burst
    if not 0 < arguments.per_second < float("inf") or burst < 1:
        raise UsageError("--per-second is above 0, --burst at least 1")
    return RateLimit(arguments.per_second, burst)


@contextlib.contextmanager
def _opened_store(folder: str | None) -> Iterator[JobStore]:
    from pixelserve_gateway import GatewaySettings
    from pixelserve_gateway.jobs import open_store

    settings = GatewaySettings.from_env()
    store = open_store(replace(settings, state=folder) if folder else settings)
    with contextlib.closing(store):
        yield store


def _print_key(text: str, key: ApiKey, store: JobStore) -> None:
    """The key alone goes to standard output, so that a script can keep it."""
    from pixelserve_gateway.jobs import access_key_id, secret_access_key

    name = access_key_id(key)
    print(
        f"Key {key.id} of {key.tenant}. It is shown this once. Send it as `Authorization: Bearer KEY` or `x-api-key`.\n"
        f"For Signature Version 4: AWS_ACCESS_KEY_ID={name} AWS_SECRET_ACCESS_KEY={secret_access_key(store, name)}",
        file=sys.stderr,
    )
    print(text)


def _row(key: ApiKey) -> tuple[str, ...]:
    limit = "-" if key.limit is None else f"{key.limit.per_second:g}/s, {key.limit.burst} at once"
    revoked = "-" if key.revoked is None else _date(key.revoked)
    return key.id, key.tenant, ", ".join(key.scopes) or "all", limit, _date(key.created), revoked


def _date(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M")
