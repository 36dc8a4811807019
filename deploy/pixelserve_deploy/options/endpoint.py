"""The options that describe an endpoint to deploy: one for each field of `EndpointSpec`."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from pixelserve_deploy.deployment.reading import SPEC_FILE, describe_errors, read_table
from pixelserve_deploy.deployment.spec import EndpointSpec
from pixelserve_deploy.errors import UsageError

GROUPS = {
    "the endpoint": ("mode", "image", "features", "weights", "environment"),
    "its machines": (
        "instances",
        "count",
        "most",
        "concurrent",
        "ami",
        "memory_mb",
        "concurrency",
        "timeout_seconds",
        "start_seconds",
        "update",
        "ttl_hours",
        "ttl_role",
    ),
    "its rights and its network": (
        "role",
        "permissions_boundary",
        "subnets",
        "security_groups",
        "kms_key",
        "network_isolation",
        "tags",
    ),
    "its data": ("output", "capture", "capture_percent", "observability"),
}


def add_endpoint(parser: argparse.ArgumentParser) -> None:
    """NAME, -f and an option for each field; what is not given is None."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="of the endpoint; not needed where the file has one alone")
    parser.add_argument("-f", "--file", type=Path, metavar="FILE",
                        help=f"endpoints as tables (default: {SPEC_FILE} where there is one); options come before it")  # fmt: skip
    for title, names in GROUPS.items():
        group = parser.add_argument_group(title)
        for name in names:
            _add_field(group, name, EndpointSpec.model_fields[name])


def _add_field(group: Any, name: str, field: FieldInfo) -> None:
    option = f"--{name.replace('_', '-')}"
    text = (field.description or "").replace("\n", " ").replace("`", "").replace("%", "%%").rstrip(".")
    kind = _find_kind(field.annotation)
    if kind is bool:
        group.add_argument(option, action=argparse.BooleanOptionalAction, default=None, help=text)
    elif kind is dict:
        group.add_argument(option, action="append", metavar="KEY=VALUE", help=f"{text}; give it again for more")
    elif kind is tuple:
        group.add_argument(option, metavar="A,B", help=text)
    else:
        choices = [str(choice) for choice in kind] if hasattr(kind, "__members__") else None
        metavar = None if choices else "N" if kind in (int, float) else "TEXT"
        group.add_argument(option, choices=choices, metavar=metavar, help=text)


def _find_kind(annotation: Any) -> Any:
    """The type of a field: of `X | None` it is X."""
    if get_origin(annotation) is UnionType:
        return _find_kind(next(kind for kind in get_args(annotation) if kind is not type(None)))
    if hasattr(annotation, "__metadata__"):
        return _find_kind(get_args(annotation)[0])
    return get_origin(annotation) or annotation


def read_endpoint(arguments: argparse.Namespace) -> EndpointSpec:
    """The spec of a command line: the file's table, and over it the options that are given.

    Raises UsageError with a sentence for each wrong field, and what `read_table` raises.
    """
    fields: dict[str, Any] = {}
    file = arguments.file or (Path(SPEC_FILE) if Path(SPEC_FILE).is_file() else None)
    if file is not None:
        fields = read_table(file, arguments.name)
    elif arguments.name is None:
        raise UsageError(f"name the endpoint, or describe it in {SPEC_FILE}")
    if arguments.name is not None:
        fields["name"] = arguments.name
    for names in GROUPS.values():
        fields |= {name: _convert(name, value) for name in names if (value := getattr(arguments, name)) is not None}
    if arguments.region:
        fields["region"] = arguments.region
    try:
        return EndpointSpec(**fields)
    except ValidationError as error:
        raise UsageError("; ".join(describe_errors(error))) from None


def _convert(name: str, value: Any) -> Any:
    kind = _find_kind(EndpointSpec.model_fields[name].annotation)
    if kind is tuple:
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if kind is dict:
        pairs = [pair.partition("=") for pair in value]
        wrong = next((key for key, equals, _ in pairs if not (key and equals)), None)
        if wrong is not None:
            raise UsageError(f"--{name} {wrong}: write KEY=VALUE")
        return {key: text for key, _, text in pairs}
    return value
