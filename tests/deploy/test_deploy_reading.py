"""`pixelserve.toml`: it round-trips, its schema says the same as its reader, and errors are sentences."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from endpoint_specs import FIELDS, build_spec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixelserve_deploy.deployment.reading import SpecError, format_specs, json_schema, parse_specs, read_specs
from pixelserve_deploy.deployment.spec import EndpointSpec, Mode, Update

words = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=12).map(str.strip)
OPTIONAL: dict[str, st.SearchStrategy[Any]] = {
    "mode": st.sampled_from(Mode),
    "features": st.lists(words, max_size=3),
    "weights": words,
    "instances": st.lists(words, min_size=1, max_size=5),
    "count": st.integers(0, 9),
    "most": st.integers(1, 9),
    "concurrent": st.floats(0.1, 100),
    "memory_mb": st.integers(),
    "network_isolation": st.booleans(),
    "tags": st.dictionaries(words, words, max_size=3),
    "environment": st.dictionaries(words, words, max_size=3),
    "update": st.sampled_from(Update),
    "ttl_hours": st.floats(0.5, 100),
}
specs = st.fixed_dictionaries(
    {"name": st.from_regex(r"[a-z0-9](-?[a-z0-9]){0,30}", fullmatch=True), "image": words}, optional=OPTIONAL
).map(lambda fields: EndpointSpec(**fields))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(specs, max_size=3, unique_by=lambda spec: spec.name))
def test_what_is_written_is_read_again(several: list[EndpointSpec]) -> None:
    read = parse_specs(format_specs(several)) if several else {}
    assert read == {spec.name: spec for spec in several}
    assert [spec.model_fields_set for spec in read.values()] == [spec.model_fields_set for spec in several]


@pytest.mark.parametrize("base", FIELDS)
def test_the_schema_takes_what_the_reader_takes(base: str, tmp_path: Path) -> None:
    file = tmp_path / "pixelserve.toml"
    file.write_text(format_specs([build_spec(base)]))
    assert read_specs(file) == {"upscaler": build_spec(base)}
    jsonschema.validate(tomllib.loads(file.read_text()), json_schema())


WRONG = [
    ("", "image: It is missing. Write its URI in Amazon ECR, as `pixelserve push` prints it."),
    ("image = 'a'\nregoin = 'us-east-2'", "regoin: There is no such field. Did you mean region?"),
    (
        "image = 'a'\ncount = 'two'",
        "count: 'two' does not fit: it should be a valid integer, unable to parse string as an integer.",
    ),
    ("image = 'a'\ntags = {a = 1}", "tags.a: 1 does not fit: it should be a valid string."),
    ("image = 'a'\nname = 'two'", "name: The table's own name is the endpoint's. Remove it."),
]


@pytest.mark.parametrize(("fields", "told"), WRONG)
def test_an_error_is_a_sentence(fields: str, told: str) -> None:
    text = f"[endpoints.one]\n{fields}"
    with pytest.raises(SpecError) as raised:
        parse_specs(text)
    assert raised.value.sentences == (f"[endpoints.one] {told}",)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tomllib.loads(text), json_schema())


def test_a_name_is_a_name_in_the_schema_too() -> None:
    text = "[endpoints.One]\nimage = 'a'"
    with pytest.raises(SpecError, match=r"name: 'One' does not fit\. Write lower-case letters"):
        parse_specs(text)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tomllib.loads(text), json_schema())


def test_every_wrong_field_of_a_file_is_told() -> None:
    with pytest.raises(SpecError) as raised:
        parse_specs("[endpoints.one]\ncount = -1\n[endpoints.two]\nimage = 'a'\nmode = 'gpu'")
    assert [sentence.split(":")[0] for sentence in raised.value.sentences] == [
        "[endpoints.one] image",
        "[endpoints.one] count",
        "[endpoints.two] mode",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[endpoints", "pixelserve.toml is no TOML: "),
        ("", "pixelserve.toml has tables [endpoints.NAME]."),
        ("[endpoint.one]\nimage = 'a'", "pixelserve.toml has tables [endpoints.NAME], not endpoint."),
        ("[endpoints]\none = 1", "[endpoints.one] is 1: write a table, with `image = …` below [endpoints.one]."),
    ],
)
def test_another_file_is_refused(text: str, told: str) -> None:
    with pytest.raises(SpecError) as raised:
        parse_specs(text)
    assert raised.value.message.startswith(told)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"Cannot read .*No such file"):
        read_specs(tmp_path / "pixelserve.toml")


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
