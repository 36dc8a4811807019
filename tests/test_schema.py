"""Requests as JSON and as custom attributes; a mistake names its field and what fits."""

from __future__ import annotations

import json

import pytest

from pixelserve.errors import BadRequest
from pixelserve.schema import SuperResolutionRequest, parse_attributes, parse_json, read_base64


def test_defaults() -> None:
    request = parse_json(SuperResolutionRequest, b"{}")
    assert (request.scale, request.target, request.face, request.format, request.quality) == (2, None, False, "png", 90)


def test_json_and_attributes_say_the_same() -> None:
    from_json = parse_json(SuperResolutionRequest, b'{"scale": 4, "format": "jpeg", "quality": 80, "face": true}')
    assert parse_attributes(SuperResolutionRequest, " scale=4; format=jpeg;quality=80 , face=true;") == from_json


def test_attributes_keep_text_that_looks_like_json_text() -> None:
    assert parse_attributes(SuperResolutionRequest, "target=2k").target == "2k"


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        (b"", None, "The body is empty"),
        (b" \n", None, "The body is empty"),
        (b"{", None, "not valid JSON"),
        (b"\xff\xfe", None, "not valid JSON"),
        (b"[" * 100_000, None, "not valid JSON"),
        (b"[]", None, "must be a JSON object"),
        (b'"text"', None, "must be a JSON object"),
        (b'{"scale": 3}', "scale", "scale is 3: .*2 or 4"),
        (b'{"scale": "4"}', "scale", "scale is '4'"),
        (b'{"scale": null}', "scale", "scale is None"),
        (b'{"target": "8k"}', "target", "'2k' or '4k'"),
        (b'{"scale": 2, "target": "2k"}', None, "exclude each other"),
        (b'{"face": "perhaps"}', "face", "face is 'perhaps'"),
        (b'{"format": "gif"}', "format", "'png', 'jpeg' or 'webp'"),
        (b'{"quality": 0}', "quality", "greater than or equal to 1"),
        (b'{"quality": 101}', "quality", "less than or equal to 100"),
        (b'{"url": 7}', "url", "valid string"),
        (b'{"img": ["a"]}', "img", "valid string"),
        (b'{"scael": 4}', "scael", "no field scael. Fields: url, img, scale"),
    ],
)
def test_a_mistake_in_json_is_named(body: bytes, param: str | None, message: str) -> None:
    with pytest.raises(BadRequest, match=message) as caught:
        parse_json(SuperResolutionRequest, body)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ("scale", "'scale': did you mean scale=VALUE"),
        ("scale=3", "scale is 3"),
        ("trace=a;scael=4", "'scael=4': did you mean scale=VALUE"),
        ("Scale=4", "did you mean scale=VALUE"),
        ("qualty=80", "did you mean quality=VALUE"),
    ],
)
def test_a_mistake_in_attributes_is_named(attributes: str, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        parse_attributes(SuperResolutionRequest, attributes)


@pytest.mark.parametrize(
    "attributes",
    [
        "",
        "c000b4f9-df62-4c85-a0bf-7c525f9104a4",
        "trace id: 17",
        "trace_id=4bf92f3577b34da6;user=me",
        "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
        "eyJhIjogMX0==",
        '{"trace": "a=b", "face_id": 3}',
        "size=3",
        ";;=,",
    ],
)
def test_opaque_attributes_are_left_alone(attributes: str) -> None:
    assert parse_attributes(SuperResolutionRequest, attributes) == SuperResolutionRequest()
    assert parse_attributes(SuperResolutionRequest, f"{attributes};scale=4").scale == 4


def test_attributes_are_no_longer_than_the_services() -> None:
    assert parse_attributes(SuperResolutionRequest, f"scale=4;{'x' * 1016}").scale == 4
    with pytest.raises(BadRequest, match="have 64,000 characters; SageMaker takes 1,024"):
        parse_attributes(SuperResolutionRequest, ";" * 64_000)


def test_a_long_value_is_not_repeated() -> None:
    with pytest.raises(BadRequest) as caught:
        parse_json(SuperResolutionRequest, b'{"quality": "' + b"x" * 10_000 + b'"}')
    assert len(caught.value.message) < 200


def test_an_error_repeats_only_the_beginning_of_what_was_sent() -> None:
    for values in ({"x" * 1_000_000: 1}, {"scale": "x" * 1_000_000}):
        with pytest.raises(BadRequest) as caught:
            parse_json(SuperResolutionRequest, json.dumps(values).encode())
        assert len(caught.value.message) + len(caught.value.param or "") < 300


def test_millions_of_values_and_half_a_surrogate_pair_are_bad_requests() -> None:
    keys = b"{" + b",".join(b'"%d":0' % number for number in range(200_000)) + b"}"
    for body, message in ((keys, "more than 100,000 values"), (rb'{"url": "\ud800"}', "half a surrogate pair")):
        with pytest.raises(BadRequest, match=message):
            parse_json(SuperResolutionRequest, body)


def test_deep_nesting_is_a_bad_request() -> None:
    for parse, text in ((parse_json, b"[" * 100_000), (parse_attributes, "scale=" + "[" * 60_000)):
        with pytest.raises(BadRequest):
            parse(SuperResolutionRequest, text)  # type: ignore[operator]


@pytest.mark.parametrize(
    "text",
    [
        "++//IHBpY3R1cmU=",
        "--__IHBpY3R1cmU=",
        "--__IHBpY3R1cmU",
        "--__IHBpY3R1cmU%3D",
        "%2b%2B//IHBpY3R1cmU%3d",
        " ++//\r\nIHBpY3\n R1cmU= ",
        "data:image/png;base64,++//IHBpY3R1cmU=",
        " DATA:Image/PNG ; Base64 , ++//IHBpY3R1cmU=",
        "data:;base64,++//IHBpY3R1cmU%3D%0A",
        "Data:image/svg+xml;charset=utf-8;BASE64,++//IHBpY3R1cmU",
    ],
)
def test_base64_as_people_have_it(text: str) -> None:
    assert read_base64(text, "img").endswith(b" picture")
    assert len(read_base64(text, "img")) == 11


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "img is empty"),
        ("data:image/png;base64,", "img is empty"),
        ("data:image/png,abc", "img is a data: URL without Base64"),
        ("https://example.com/a.png", "img is not Base64"),
        ("%zz", "img is not Base64"),
        ("a", "img is not Base64"),
    ],
)
def test_what_is_no_base64_is_said(text: str, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason) as refused:
        read_base64(text, "img")
    assert refused.value.param == "img"
