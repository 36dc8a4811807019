"""The gateway's settings on AWS Lambda. tests/images runs the function itself, in AWS's emulator."""

from __future__ import annotations

import pytest

from pixelserve.settings import SettingsError
from pixelserve_gateway.aws_lambda import LARGEST_ANSWER, read_settings

KEPT = {"PIXELSERVE_GATEWAY_TABLE": "jobs", "PIXELSERVE_GATEWAY_RESULTS": "s3://bucket/results"}


def test_callers_are_asked_for_keys_unless_the_settings_say_otherwise() -> None:
    assert read_settings(KEPT).authorization == "keys"
    assert read_settings(KEPT | {"PIXELSERVE_GATEWAY_AUTHORIZATION": "iam"}).authorization == "iam"


def test_an_answer_fits_lambda_in_base64() -> None:
    assert read_settings(KEPT).max_answer_bytes == LARGEST_ANSWER
    assert LARGEST_ANSWER * 4 / 3 < 6 * 1024 * 1024
    assert read_settings(KEPT | {"PIXELSERVE_GATEWAY_MAX_ANSWER_BYTES": "1000"}).max_answer_bytes == 1000


@pytest.mark.parametrize("left", KEPT)
def test_nothing_is_kept_on_the_functions_disk(left: str) -> None:
    with pytest.raises(SettingsError, match=r"DynamoDB table .* s3://"):
        read_settings({name: value for name, value in KEPT.items() if name != left})
