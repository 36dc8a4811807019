"""AI Solution Kit's API: every path, the exact fields and answers, and what is refused."""

from __future__ import annotations

import base64
import json

import cv2
import httpx
import numpy as np
import pytest
from gateway_servers import Pictures, png

from pixelserve_gateway.dialects import ai_solution_kit

IMG = base64.b64encode(png(24, 32)).decode()
PLACES = ["/{}", "/{}/", "/prod/{}", "/prod/{}/"]


def decoded(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"result"}
    file = base64.b64decode(answer.json()["result"])
    assert file.startswith(b"\x89PNG")
    return cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("path", ai_solution_kit.PATHS["human_image_segmentation"])
def test_every_path_leads_to_segmentation(client: httpx.Client, path: str, place: str) -> None:
    assert decoded(client.post(place.format(path), json={"img": IMG})).shape == (24, 32)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("path", ai_solution_kit.PATHS["image_similarity"])
def test_every_path_leads_to_similarity(client: httpx.Client, path: str, place: str) -> None:
    answer = client.post(place.format(path), json={"img": IMG})
    assert answer.json().keys() == {"result"}
    assert len(answer.json()["result"]) == 512


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("path", ai_solution_kit.PATHS["image_super_resolution"])
def test_every_path_leads_to_super_resolution(client: httpx.Client, path: str, place: str) -> None:
    assert decoded(client.post(place.format(path), json={"img": IMG})).shape == (48, 64, 3)


def test_super_resolution_takes_scale(client: httpx.Client) -> None:
    assert decoded(client.post("/image_super_resolution", json={"img": IMG, "scale": 4})).shape == (96, 128, 3)


def test_segmentation_cuts_out(client: httpx.Client) -> None:
    answer = client.post("/human_image_segmentation", json={"img": IMG, "type": "foreground"})
    assert decoded(answer).shape == (24, 32, 4)


def test_a_pair_of_a_url_and_an_image(client: httpx.Client, pictures: Pictures) -> None:
    answer = client.post("/image_similarity", json={"url_1": f"{pictures.url}/photo.png", "img_2": IMG})
    assert answer.json().keys() == {"similarity"}
    assert 0 <= answer.json()["similarity"] <= 1
    same = client.post("/image_similarity", json={"img_1": IMG, "img_2": IMG})
    assert same.json()["similarity"] == pytest.approx(1, abs=1e-5)


def test_a_url_goes_before_an_image(client: httpx.Client, pictures: Pictures) -> None:
    answer = client.post("/image_super_resolution", json={"url": f"{pictures.url}/photo.png", "img": IMG})
    assert decoded(answer).shape == (96, 128, 3)


def test_an_empty_url_leaves_the_image(client: httpx.Client) -> None:
    assert decoded(client.post("/image_super_resolution", json={"url": "", "img": IMG})).shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (b"{", 400, None),
        (b"[]", 400, None),
        (b"{}", 400, "url"),
        (json.dumps({"img": IMG, "scale": 3}).encode(), 400, "scale"),
        (json.dumps({"img": IMG, "scale": 100}).encode(), 400, "scale"),
        (json.dumps({"img": "!"}).encode(), 400, "img"),
        (json.dumps({"img": "aGVsbG8="}).encode(), 415, None),
        (json.dumps({"img": IMG, "sale": 2}).encode(), 400, "sale"),
        (json.dumps({"url": "file:///etc/passwd"}).encode(), 400, "url"),
    ],
)
def test_errors_have_one_shape(client: httpx.Client, body: bytes, status: int, param: str | None) -> None:
    answer = client.post("/prod/image_super_resolution", content=body)
    assert answer.status_code == status, answer.text
    error = answer.json()
    assert error.keys() == {"error", "request_id"}
    assert {"code", "message", "param", "retryable"} <= error["error"].keys()
    assert error["error"]["param"] == param
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/image_super_resolution", "/prod/seg/", "/v1/similarity", "/nothing/at/all"])
def test_a_preflight_is_never_refused(client: httpx.Client, path: str) -> None:
    headers = {
        "Origin": "https://example.com",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-amz-date,authorization,x-api-key",
    }
    answer = client.options(path, headers=headers)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "POST" in answer.headers["access-control-allow-methods"]
    allowed = {name.strip().lower() for name in answer.headers["access-control-allow-headers"].split(",")}
    assert {"content-type", "x-amz-date", "authorization", "x-api-key"} <= allowed


def test_a_signature_is_no_reason_to_refuse(client: httpx.Client) -> None:
    signed = "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/execute-api/aws4_request, Signature=0"
    answer = client.post("/prod/seg", json={"img": IMG}, headers={"Authorization": signed})
    assert decoded(answer).shape == (24, 32)


def test_an_enlarged_picture_that_could_not_be_answered_is_refused_before_it_is_made(client: httpx.Client) -> None:
    white = cv2.imencode(".png", np.full((2_000, 3_000, 3), 255, np.uint8))[1].tobytes()
    answer = client.post("/image_super_resolution", json={"img": base64.b64encode(white).decode(), "scale": 4})
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "output_too_large"
    assert "12000 x 8000 pixels" in answer.json()["error"]["message"]
    assert "jpeg" in answer.json()["error"]["message"]
