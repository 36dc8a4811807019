"""`pixelserve.toml`: a table `[endpoints.NAME]` for each endpoint, read and written; errors are sentences."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from pixelserve.errors import BadRequest
from pixelserve.features import FEATURES
from pixelserve_deploy.deployment.api import ApiSpec
from pixelserve_deploy.deployment.spec import EndpointSpec

FILE = "pixelserve.toml"
_INSTEAD = {
    "name": "Write lower-case letters, digits and single hyphens, at most 63, such as image-super-resolution",
    "instances": 'Write one to five instance types, such as ["ml.g4dn.xlarge", "ml.g5.xlarge"]',
    "ttl_hours": "Write half an hour to a year, such as 8, or --ttl 8h",
    "gateway_image": "Write its URI in Amazon ECR, of the image's target gateway",
    "image": "Write its URI in Amazon ECR, as `pixelserve push` prints it",
}
"""What to write where pydantic's own words do not say it."""
_INSTEAD_OF_API = _INSTEAD | {"name": "Write lower-case letters, digits and single hyphens, at most 20, such as api"}


class SpecError(BadRequest):
    """What a spec cannot be; `sentences` has one for each field."""

    code = "spec"

    def __init__(self, sentences: Iterable[str]) -> None:
        self.sentences = tuple(sentences)
        super().__init__(" ".join(self.sentences))


def make_spec(fields: Mapping[str, Any]) -> EndpointSpec:
    """The spec of these fields. Raises SpecError."""
    try:
        return EndpointSpec(**fields)
    except ValidationError as error:
        raise SpecError(describe_errors(error)) from None


def make_api(fields: Mapping[str, Any]) -> ApiSpec:
    """The spec of a REST API. Raises SpecError."""
    try:
        spec = ApiSpec(**fields)
    except ValidationError as error:
        raise SpecError(describe_errors(error, _INSTEAD_OF_API)) from None
    known = [feature.endpoint for feature in FEATURES]
    unknown = [name for name in spec.asynchronous if name not in known]
    if unknown:
        raise SpecError([f"asynchronous: {', '.join(unknown)} is no feature. Write {', '.join(known)}."])
    if not spec.lambda_image and not spec.image:
        raise SpecError(["image: No feature can be served. Give --lambda-image for functions, --image for endpoints."])
    if spec.asynchronous and not spec.image:
        raise SpecError(
            ["asynchronous: Asynchronous endpoints are made from an image of the target server. Give --image."]
        )
    return spec


def read_specs(path: Path) -> dict[str, EndpointSpec]:
    """The endpoints of a file by name. Raises SpecError."""
    try:
        return parse_specs(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError([f"Cannot read {path}: {error}."]) from None


def parse_specs(text: str, source: str = FILE) -> dict[str, EndpointSpec]:
    """The endpoints of a file's text. Raises SpecError with a sentence for each wrong field of any."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecError([f"{source} is no TOML: {error}."]) from None
    endpoints = tables.pop("endpoints", None)
    if tables or not isinstance(endpoints, dict):
        also = f", not {', '.join(sorted(tables))}" if tables else ""
        raise SpecError([f"{source} has tables [endpoints.NAME]{also}."])
    specs, sentences = {}, []
    for name, fields in endpoints.items():
        try:
            specs[name] = make_spec({**_check_table(name, fields), "name": name})
        except SpecError as error:
            sentences += [f"[endpoints.{name}] {sentence}" for sentence in error.sentences]
    if sentences:
        raise SpecError(sentences)
    return specs


def _check_table(name: str, fields: object) -> dict[str, Any]:
    if not isinstance(fields, dict):
        raise SpecError([f"is {fields!r}: write a table, with `image = …` below [endpoints.{name}]."])
    if "name" in fields:
        raise SpecError(["name: The table's own name is the endpoint's. Remove it."])
    return fields


def format_specs(specs: Iterable[EndpointSpec]) -> str:
    """The text of a file: the fields that were set."""
    tables = {
        spec.name: spec.model_dump(mode="json", exclude_unset=True, exclude_none=True, exclude={"name"})
        for spec in specs
    }
    return tomli_w.dumps({"endpoints": tables})


def describe_errors(error: ValidationError, instead: Mapping[str, str] = _INSTEAD) -> list[str]:
    """One sentence a field, with what to write `instead`; a default that only awaits other fields has none."""
    found = [one for one in error.errors() if one["type"] != "default_factory_not_called"]
    return [_describe(instead, one["loc"], one["type"], one["msg"], one["input"]) for one in found]


def _describe(words: Mapping[str, str], place: tuple[int | str, ...], kind: str, message: str, value: object) -> str:
    field = str(place[0]) if place else "spec"
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(field, EndpointSpec.model_fields, 1)
        instead = f"Did you mean {near[0]}?" if near else f"Fields: {', '.join(EndpointSpec.model_fields)}."
        return f"{field}: There is no such field. {instead}"
    if kind == "missing":
        return f"{field}: It is missing. {words[field]}."
    shown = f"{'.'.join(map(str, place))}: {value!r} does not fit"
    return f"{shown}. {words[field]}." if field in words else f"{shown}: {message.replace('Input', 'it')}."


def json_schema() -> dict[str, Any]:
    """JSON Schema of a whole file."""
    spec = EndpointSpec.model_json_schema()
    definitions = spec.pop("$defs")
    del spec["properties"]["name"]
    spec["required"].remove("name")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": FILE,
        "type": "object",
        "additionalProperties": False,
        "required": ["endpoints"],
        "properties": {
            "endpoints": {
                "description": "A table for each endpoint, by its name.",
                "type": "object",
                "propertyNames": EndpointSpec.model_json_schema()["properties"]["name"] | {"title": "Name"},
                "additionalProperties": spec,
            }
        },
        "$defs": definitions,
    }
