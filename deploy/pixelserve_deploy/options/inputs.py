"""Files that a command line names as input, and their types."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from pixelserve.errors import BadRequest, NotFound
from pixelserve_deploy.errors import UsageError


def read_input(path: Path) -> bytes:
    """The file's bytes. Raises NotFound or BadRequest where there are none to read."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"There is no file {path}.") from None
    except OSError as error:
        raise BadRequest(f"Cannot read {path}: {error.strerror}.") from None
    if not data:
        raise BadRequest(f"{path} is empty.")
    return data


def add_request_fields(parser: argparse.ArgumentParser) -> None:
    """--scale and --set."""
    parser.add_argument("--scale", type=int, choices=(2, 4), help="factor of both edges, for super-resolution")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="another field of the request")


def read_request_fields(arguments: argparse.Namespace) -> dict[str, Any]:
    """What they say; values are JSON where they can be. Raises UsageError for what is no KEY=VALUE."""
    found: dict[str, Any] = {} if arguments.scale is None else {"scale": arguments.scale}
    for text in arguments.set:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise UsageError(f"--set {text}: write KEY=VALUE")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found


def check_media_type(text: str) -> None:
    """Raises UsageError for what cannot stand in a header."""
    if not (text.isascii() and text.isprintable()):
        raise UsageError(f"{text!r} is no content type: write one such as image/png")
