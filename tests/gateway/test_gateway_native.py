"""The native API over HTTP: JSON, image files and forms in; JSON and image files out; one shape of error; OpenAPI."""

from __future__ import annotations

import base64
import json
import re

import cv2
import httpx
import numpy as np
import pytest
from gateway_servers import Gateway, Pictures, png
from openapi_spec_validator import OpenAPIV31SpecValidator
from servers import wait_for

PHOTO = png(24, 32)
IMG = base64.b64encode(PHOTO).decode()


def size(file: bytes) -> tuple[int, ...]:
    return cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED).shape


def test_json_is_answered_with_json(client: httpx.Client) -> None:
    answer = client.post("/v1/super-resolution", json={"img": IMG, "scale": 4})
    assert answer.headers["content-type"] == "application/json"
    assert size(base64.b64decode(answer.json()["result"])) == (96, 128, 3)


@pytest.mark.parametrize(
    ("accept", "start"), [("image/png", b"\x89PNG"), ("image/jpeg", b"\xff\xd8"), ("text/html, image/webp", b"RIFF")]
)
def test_accept_chooses_the_format(client: httpx.Client, accept: str, start: bytes) -> None:
    answer = client.post("/v1/super-resolution", json={"img": IMG}, headers={"Accept": accept})
    assert answer.headers["content-type"] == accept.split(", ")[-1]
    assert answer.content.startswith(start)
    assert size(answer.content)[:2] == (48, 64)
    assert "width=64;height=48" in answer.headers["x-amzn-sagemaker-custom-attributes"]


@pytest.mark.parametrize("content_type", ["image/png", "application/octet-stream", ""])
def test_an_image_is_answered_with_an_image(client: httpx.Client, content_type: str) -> None:
    answer = client.post(
        "/v1/super-resolution?scale=4&format=jpeg&quality=50", content=PHOTO, headers={"Content-Type": content_type}
    )
    assert answer.headers["content-type"] == "image/jpeg"
    assert size(answer.content) == (96, 128, 3)


def test_an_image_may_be_answered_with_json(client: httpx.Client) -> None:
    headers = {"Content-Type": "image/png", "Accept": "application/json"}
    answer = client.post("/v1/segmentation/?type=foreground", content=PHOTO, headers=headers)
    assert size(base64.b64decode(answer.json()["result"])) == (24, 32, 4)


def test_a_form_with_a_file(client: httpx.Client) -> None:
    answer = client.post("/v1/super-resolution", files={"image": ("a.png", PHOTO)}, data={"scale": "4"})
    assert answer.headers["content-type"] == "image/png"
    assert size(answer.content) == (96, 128, 3)


def test_a_form_with_two_files(client: httpx.Client) -> None:
    answer = client.post("/v1/similarity", files={"image_1": ("a.png", PHOTO), "image_2": ("b.png", PHOTO)})
    assert answer.json() == {"similarity": 1.0, "cosine": 1.0}


def test_a_form_with_a_file_and_a_url(client: httpx.Client, pictures: Pictures) -> None:
    files, data = {"image_1": ("a.png", PHOTO)}, {"url_2": f"{pictures.url}/other.png"}
    assert 0 <= client.post("/v1/similarity", files=files, data=data).json()["similarity"] < 1


def test_what_a_form_leaves_empty_is_absent(client: httpx.Client) -> None:
    files = {"image": ("a.png", PHOTO), "image_1": ("", b"")}
    answer = client.post("/v1/super-resolution", files=files, data={"url": "", "scale": "", "target": "", "face": ""})
    assert answer.status_code == 200, answer.text
    refused = client.post("/v1/super-resolution", files={"image": ("", b"")}, data={"scale": "2"})
    assert refused.json()["error"]["param"] == "url"


def test_the_vector_of_an_image(client: httpx.Client) -> None:
    answer = client.post("/v1/similarity?normalize=true", content=PHOTO, headers={"Content-Type": "image/png"}).json()
    assert answer["normalized"] is True
    assert np.linalg.norm(answer["result"]) == pytest.approx(1, abs=1e-3)


JSON_TYPE = "application/json"
FORM = b'--x\r\nContent-Disposition: form-data; name="\\ud800"\r\n\r\n1\r\n--x--\r\n'


@pytest.mark.parametrize(
    ("path", "content_type", "body", "accept", "status", "code", "param"),
    [
        ("/v1/super-resolution", JSON_TYPE, b"{", "*/*", 400, "bad_request", None),
        ("/v1/super-resolution", JSON_TYPE, b'{"url": "a", "img": "b"}', "*/*", 400, "bad_request", "img"),
        ("/v1/super-resolution", JSON_TYPE, b'{"img": "%s", "scale": 3}' % IMG.encode(), "*/*", 400, "bad_request",
         "scale"),
        ("/v1/super-resolution", JSON_TYPE, b'{"url": "http://127.0.0.1:9/x"}', "text/html", 406, "not_acceptable",
         None),
        ("/v1/similarity", "image/png", PHOTO, "image/png", 406, "not_acceptable", None),
        ("/v1/super-resolution?scale=4", JSON_TYPE, b"{}", "*/*", 400, "bad_request", "scale"),
        ("/v1/super-resolution?sale=4", "image/png", PHOTO, "*/*", 400, "bad_request", "sale"),
        ("/v1/super-resolution?url=x", "image/png", PHOTO, "*/*", 400, "bad_request", "url"),
        ("/v1/super-resolution", "image/png", b"", "*/*", 400, "bad_request", "image"),
        ("/v1/super-resolution", "image/png", PHOTO[:100], "*/*", 400, "invalid_image", None),
        ("/v1/super-resolution", "text/plain", b"hello", "*/*", 415, "unsupported_media_type", None),
        ("/v1/super-resolution", "multipart/form-data", b"hello", "*/*", 400, "bad_request", None),
        ("/v1/super-resolution", "multipart/form-data; boundary=x", b"hello", "*/*", 400, "bad_request", None),
        ("/v1/super-resolution", "multipart/form-data; boundary=x; charset=undefined", FORM, "*/*", 400, "bad_request",
         None),
        ("/v1/super-resolution", "multipart/form-data; boundary=x; charset=unicode_escape", FORM, "*/*", 400,
         "bad_request", None),
        ("/v1/super-resolution", JSON_TYPE, b'{"\\ud800": 1}', "*/*", 400, "bad_request", None),
        ("/v1/super-resolution", JSON_TYPE, b'{"\xed\xa0\x80": 1}', "*/*", 400, "bad_request", None),
        ("/v1/jobs", JSON_TYPE, b'{"feature": "\\uDFff", "input": {}}', "*/*", 400, "bad_request", "feature"),
        ("/v1/nothing/at/all", JSON_TYPE, b"{}", "*/*", 404, "not_found", None),
        ("/health", JSON_TYPE, b"{}", "*/*", 405, "method_not_allowed", None),
    ],
)  # fmt: skip
def test_errors_have_one_shape(
    client: httpx.Client,
    path: str,
    content_type: str,
    body: bytes,
    accept: str,
    status: int,
    code: str,
    param: str | None,
) -> None:
    answer = client.post(path, content=body, headers={"Content-Type": content_type, "Accept": accept})
    error = answer.json()
    assert (answer.status_code, error["error"]["code"], error["error"]["param"]) == (status, code, param), error
    assert error["request_id"] == answer.headers["x-request-id"]


def test_a_body_that_is_too_large_is_told_what_to_do(client: httpx.Client) -> None:
    answer = client.post("/v1/similarity", content=bytes(35_000_000), headers={"Content-Type": "image/png"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")
    assert "Send the image's URL" in answer.json()["error"]["message"]


def test_a_file_that_an_endpoint_does_not_take_is_told_what_to_do(client: httpx.Client) -> None:
    answer = client.post("/v1/similarity", content=PHOTO + bytes(26_000_000), headers={"Content-Type": "image/png"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")
    assert "an endpoint takes 25,000,000" in answer.json()["error"]["message"]


def test_a_picture_with_too_many_pixels_is_not_sent(client: httpx.Client) -> None:
    announced = PHOTO[:16] + (20_000).to_bytes(4, "big") + (10).to_bytes(4, "big") + PHOTO[24:]
    answer = client.post("/v1/similarity", content=announced, headers={"Content-Type": "image/png"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "image_too_large")


def test_request_ids_are_the_callers_or_made(client: httpx.Client) -> None:
    assert client.get("/health", headers={"X-Request-Id": "mine-1"}).headers["x-request-id"] == "mine-1"
    for unfit in ("a b", "x" * 65):
        made = client.get("/health", headers={"X-Request-Id": unfit}).headers["x-request-id"]
        assert re.fullmatch(r"[0-9a-f-]{36}", made)


def test_a_trace_is_logged_and_an_invalid_one_is_not(client: httpx.Client, gateway: Gateway) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    client.post("/v1/similarity", json={"img": IMG}, headers={"traceparent": trace, "X-Request-Id": "traced"})
    client.get("/health", headers={"traceparent": "00-1-2-3", "X-Request-Id": "untraced"})

    def logged(request_id: str) -> dict[str, object] | None:
        lines = [json.loads(line) for line in gateway.log_text().splitlines() if request_id in line]
        return next((line for line in lines if line.get("request_id") == request_id), None)

    assert wait_for(lambda: logged("traced"))["traceparent"] == trace
    assert wait_for(lambda: logged("untraced"))["traceparent"] == ""


def test_the_openapi_document_is_valid_and_has_examples(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()
    for path in ("/v1/super-resolution", "/v1/segmentation", "/v1/similarity"):
        operation = document["paths"][path]["post"]
        assert operation["requestBody"]["content"]["application/json"]["examples"]
        assert operation["responses"]["200"]["content"]["application/json"]["examples"]
        assert {"400", "406", "413", "415", "429", "500", "503", "504"} <= operation["responses"].keys()
