"""The options that describe an endpoint to deploy: one for each field of `EndpointSpec`."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pixelserve_deploy.deployment import FILE, EndpointSpec, SpecError, make_spec, read_specs
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.options.site import parse_duration

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
OPTIONS = {"ttl_hours": "--ttl"}
"""Those that are not named as their field."""


def add_endpoint(parser: argparse.ArgumentParser) -> None:
    """NAME, -f and an option for each field; what is not given is None."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="of the endpoint (default: the only one of FILE)")
    add_fields(parser, GROUPS)


def add_fields(
    parser: argparse.ArgumentParser,
    groups: Mapping[str, Sequence[str]],
    texts: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """-f and an option for each of the fields, under titles; what is not given is None.

    `texts` are of fields that mean something else to a command.
    """
    parser.add_argument("-f", "--file", type=Path, metavar="FILE",
                        help=f"endpoints as tables (default: {FILE}, if there); options beside it win")  # fmt: skip
    for title, names in groups.items():
        group = parser.add_argument_group(title)
        for name in names:
            add_field(group, name, EndpointSpec.model_fields[name], texts.get(name))


def add_field(group: Any, name: str, field: FieldInfo, text: str | None = None) -> None:
    """The option for a field of a spec, with another text than the field's if given; what is not given is None."""
    option = OPTIONS.get(name) or f"--{name.replace('_', '-')}"
    text = (text or field.description or "").replace("\n", " ").replace("`", "").replace("%", "%%").rstrip(".")
    kind = _find_kind(field.annotation)
    if kind is bool:
        group.add_argument(option, action=argparse.BooleanOptionalAction, default=None, help=text)
    elif kind is dict:
        group.add_argument(option, action="append", metavar="KEY=VALUE", help=f"{text}; give it again for more")
    elif name == "ttl_hours":
        group.add_argument(option, dest=name, type=parse_hours, metavar="TIME", help=f"{text}: e.g. 8h or 2d")
    elif kind is tuple:
        group.add_argument(option, metavar="A,B", help=text)
    else:
        choices = [str(choice) for choice in kind] if hasattr(kind, "__members__") else None
        metavar = None if choices else "N" if kind in (int, float) else "TEXT"
        group.add_argument(option, choices=choices, metavar=metavar, help=text)


def parse_hours(text: str) -> float:
    """Hours of 90m, 8h or 2d."""
    return parse_duration(text).total_seconds() / 3600


def _find_kind(annotation: Any) -> Any:
    """The type of a field: of `X | None` it is X."""
    if get_origin(annotation) in (Union, UnionType):
        return _find_kind(next(kind for kind in get_args(annotation) if kind is not type(None)))
    if hasattr(annotation, "__metadata__"):
        return _find_kind(get_args(annotation)[0])
    return get_origin(annotation) or annotation


def read_endpoint(arguments: argparse.Namespace) -> EndpointSpec:
    """The spec of a command line. Raises UsageError without a name, and SpecError for what a field cannot be."""
    return make_spec(read_fields(arguments))


def read_fields(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields that the file's table has, and over it the options that are given.

    Raises UsageError without a name, and SpecError for what the file cannot be.
    """
    file = arguments.file or (Path(FILE) if Path(FILE).is_file() else None)
    fields = find_table(file, arguments.name) if file is not None else {"name": arguments.name}
    if file is not None and fields.keys() == {"name"} and not arguments.image:
        raise SpecError([f"{file} has no [endpoints.{arguments.name}]. Write one, or give --image."])
    if fields["name"] is None:
        raise UsageError(f"name the endpoint, or describe it in {FILE}")
    fields |= read_given(arguments, EndpointSpec, [name for name in EndpointSpec.model_fields if name in arguments])
    return fields


def find_table(file: Path, name: str | None) -> dict[str, Any]:
    """The fields of an endpoint in a file: those of the name, or of the only one there; of another name it alone.

    Raises UsageError where the file has several and none is named, and SpecError.
    """
    specs = read_specs(file)
    if name is None and len(specs) != 1:
        raise UsageError(f"{file} has {', '.join(specs) or 'no endpoints'}: name one")
    found = specs.get(name or next(iter(specs)))
    return {"name": name} if found is None else {"name": found.name, **found.model_dump(exclude_unset=True)}


def read_given(arguments: argparse.Namespace, spec: type[BaseModel], names: Iterable[str]) -> dict[str, Any]:
    """Those of the fields that are given. Raises UsageError."""
    return {
        name: _convert(name, spec.model_fields[name], value)
        for name in names
        if (value := getattr(arguments, name)) is not None
    }


def _convert(name: str, field: FieldInfo, value: Any) -> Any:
    kind = _find_kind(field.annotation)
    if kind is tuple:
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if kind is dict:
        pairs = [pair.partition("=") for pair in value]
        wrong = next((key for key, equals, _ in pairs if not (key and equals)), None)
        if wrong is not None:
            raise UsageError(f"--{name} {wrong}: write KEY=VALUE")
        return {key: text for key, _, text in pairs}
    return value
