"""Environment variables: each is read, each mistake is named, and docs/environment.md is what the code says."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pixelserve.settings import Settings, SettingsError, as_markdown

ROOT = Path(__file__).parents[1]


def test_the_page_holds_the_table_of_the_code() -> None:
    assert as_markdown() in (ROOT / "docs" / "environment.md").read_text()


def test_every_variable_is_read() -> None:
    texts = {bool: ("true", True), int: ("7", 7), float: ("7.5", 7.5), tuple: ("a, b", ("a", "b")), str: ("x", "x")}
    for field in dataclasses.fields(Settings):
        text, value = texts[type(field.default)]
        if field.metadata["choices"]:
            text = value = field.metadata["choices"][-1]
        assert getattr(Settings.from_env({field.metadata["env"]: text}), field.name) == value, field.name


def test_empty_means_the_default() -> None:
    assert Settings.from_env({field.metadata["env"]: "" for field in dataclasses.fields(Settings)}) == Settings()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("SAGEMAKER_BIND_TO_PORT", "http", "SAGEMAKER_BIND_TO_PORT is 'http': write a number such as 8080"),
        ("SAGEMAKER_BIND_TO_PORT", "99999", "SAGEMAKER_BIND_TO_PORT is 99999: write a number of 0 to 65,535"),
        ("PIXELSERVE_MAX_EDGE", "-1", "PIXELSERVE_MAX_EDGE is -1: write a number of 0 or more"),
        ("PIXELSERVE_QUEUE_LENGTH", "0", "PIXELSERVE_QUEUE_LENGTH is 0: write a number of 1 or more"),
        ("PIXELSERVE_DTYPE", "int8", "PIXELSERVE_DTYPE is 'int8': write one of auto, float32"),
        ("SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS", "nan", "is nan: write a number of 0.1 to 86,400"),
        ("PIXELSERVE_FETCH_TIMEOUT", "inf", "PIXELSERVE_FETCH_TIMEOUT is inf"),
        ("PIXELSERVE_FETCH_ALLOW_PRIVATE", "maybe", "write true or false"),
        ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "6MB", "SAGEMAKER_MAX_PAYLOAD_IN_MB is '6MB'"),
    ],
)
def test_what_does_not_fit_is_named(name: str, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Settings.from_env({name: text})


def test_batch_transform_sets_the_body_limit() -> None:
    both = {"SAGEMAKER_MAX_PAYLOAD_IN_MB": "6", "PIXELSERVE_MAX_BODY_BYTES": "1000"}
    assert Settings.from_env(both).max_body_bytes == 6_000_000
    for none in ("0", ""):
        assert Settings.from_env(both | {"SAGEMAKER_MAX_PAYLOAD_IN_MB": none}).max_body_bytes == 1_000


def test_batch_transform_gives_an_invocation_longer() -> None:
    assert Settings.from_env({"SAGEMAKER_BATCH": "true"}).timeout == 600
    assert Settings.from_env({"SAGEMAKER_BATCH": "false"}).timeout == 60
    both = {"SAGEMAKER_BATCH": "true", "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "5"}
    assert Settings.from_env(both).timeout == 5


def test_a_feature_is_found_by_its_endpoints_name_too() -> None:
    by_endpoint = Settings(feature="image-similarity").handler_folder()
    assert by_endpoint == Settings(feature="image_similarity").handler_folder()
