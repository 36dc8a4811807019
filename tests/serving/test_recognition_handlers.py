"""code/human_image_segmentation and code/image_similarity over HTTP."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from servers import Server
from skimage import data

ATTRIBUTES = "x_amzn_sagemaker_custom_attributes"


def png(pixels: Any) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


ASTRONAUT, COFFEE = png(data.astronaut()), png(data.coffee())


def as_base64(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


@pytest.fixture(scope="module")
def segmentation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("segmentation"), PIXELSERVE_FEATURE="human_image_segmentation")
    yield server.ready()
    server.close()


@pytest.fixture(scope="module")
def similarity(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("similarity"), PIXELSERVE_FEATURE="image_similarity")
    yield server.ready()
    server.close()


def test_segmentation_answers_an_8_bit_alpha(segmentation: Server) -> None:
    answer = segmentation.invoke(json.dumps({"img": as_base64(ASTRONAUT)}))
    assert list(answer.json()) == ["result"]
    picture = Pillow.open(io.BytesIO(base64.b64decode(answer.json()["result"])))
    assert (picture.format, picture.mode, picture.size) == ("PNG", "L", (512, 512))
    raw = segmentation.invoke(ASTRONAUT, "image/png")
    assert raw.headers["content-type"] == "image/png"
    assert raw.content == base64.b64decode(answer.json()["result"])
    assert (
        raw.headers["x-amzn-sagemaker-custom-attributes"]
        == "network=classical;weights=embedded;runtime=OpenCV%2C%20CPU;type=uint8"
    )
    array = np.load(io.BytesIO(segmentation.invoke(ASTRONAUT, "image/png", accept="application/x-npy").content))
    assert np.array_equal(array[..., 0], np.asarray(picture))


def test_foreground_answers_a_cut_out(segmentation: Server) -> None:
    by_json = segmentation.invoke(json.dumps({"img": as_base64(ASTRONAUT), "type": "foreground"}))
    picture = Pillow.open(io.BytesIO(base64.b64decode(by_json.json()["result"])))
    assert (picture.mode, picture.size) == ("RGBA", (512, 512))
    raw = segmentation.invoke(ASTRONAUT, "image/png", **{ATTRIBUTES: "type=foreground"})
    assert np.array_equal(np.asarray(Pillow.open(io.BytesIO(raw.content))), np.asarray(picture))


def test_one_image_is_512_numbers_of_6_decimals(similarity: Server) -> None:
    answer = similarity.invoke(json.dumps({"img": as_base64(COFFEE)})).json()
    assert answer["normalized"] is False
    assert len(answer["result"]) == 512
    assert all(round(number, 6) == number for number in answer["result"])
    assert similarity.invoke(COFFEE, "image/png").json() == answer
    unit = similarity.invoke(COFFEE, "image/png", **{ATTRIBUTES: "normalize=true"}).json()
    assert unit["normalized"] is True
    assert np.linalg.norm(unit["result"]) == pytest.approx(1, abs=1e-4)
    assert np.allclose(unit["result"], np.array(answer["result"]) / np.linalg.norm(answer["result"]), atol=1e-5)


def test_two_images_are_compared(similarity: Server) -> None:
    same = similarity.invoke(json.dumps({"img_1": as_base64(COFFEE), "img_2": as_base64(COFFEE)})).json()
    assert same == {"similarity": 1.0, "cosine": 1.0}
    other = similarity.invoke(json.dumps({"img_1": as_base64(COFFEE), "img_2": as_base64(ASTRONAUT)})).json()
    assert other["similarity"] == pytest.approx(0.5 + 0.5 * other["cosine"], abs=1e-6)
    assert other["cosine"] < 0.3


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"img_1": as_base64(COFFEE)}, None, "image 2 is missing: give url_2 or img_2"),
        ({"url_2": "https://example.com/a.png"}, None, "image 1 is missing"),
        ({"img": as_base64(COFFEE), "img_1": as_base64(COFFEE), "img_2": as_base64(COFFEE)}, None, "not both"),
        ({"img_1": as_base64(COFFEE), "img_2": "!"}, "img_2", "img_2 is not Base64"),
        ({"img_1": as_base64(COFFEE), "url_1": "https://a.b/c", "img_2": "x"}, "img_1", "url_1 and img_1 are both"),
        ({"img_1": as_base64(COFFEE), "url_2": "http://127.0.0.1/a.png"}, "url", "only public ones are fetched"),
        ({}, "url", "No image is given"),
    ],
)
def test_mistakes_of_pairs_are_named(similarity: Server, fields: Any, param: str | None, message: str) -> None:
    answer = similarity.invoke(json.dumps(fields))
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert message in answer.json()["error"]["message"]


def test_what_cannot_be_answered_is_406(segmentation: Server, similarity: Server) -> None:
    assert segmentation.invoke(ASTRONAUT, "image/png", accept="text/csv").status_code == 406
    assert similarity.invoke(COFFEE, "image/png", accept="image/png").status_code == 406


def test_a_pair_in_the_attributes_is_refused(similarity: Server) -> None:
    answer = similarity.invoke(COFFEE, "image/png", **{ATTRIBUTES: "img_1=aaa;img_2=bbb"})
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        400, "The body is one image already. Send two as JSON."
    )  # fmt: skip


def test_other_mistakes_are_4xx(segmentation: Server, similarity: Server) -> None:
    long = png(np.zeros((4097, 1, 3), np.uint8))
    for server in (segmentation, similarity):
        assert server.invoke(long, "image/png").json()["error"]["code"] == "image_too_large"
        assert server.invoke(b"hello", "image/png").status_code == 415
        assert server.invoke(COFFEE[:500], "image/png").status_code == 400
        assert server.invoke(json.dumps({"scale": 2})).status_code == 400
    wrong = segmentation.invoke(json.dumps({"img": as_base64(COFFEE), "type": "background"}))
    assert wrong.json()["error"]["param"] == "type"
    for server in (segmentation, similarity):
        assert server.loaded() == 1
        assert "Traceback" not in server.log_path.read_text()


@pytest.mark.parametrize("size", [(4_097, 10), (10, 4_097)])
def test_an_edge_that_is_not_taken_is_refused_before_the_pixels_are_decoded(
    segmentation: Server, similarity: Server, size: tuple[int, int]
) -> None:
    whole = png(np.zeros((*size, 3), np.uint8))
    damaged = whole[:33] + struct.pack("!I4s4sI", 4, b"IDAT", b"none", zlib.crc32(b"IDATnone")) + whole[-12:]
    for server in (segmentation, similarity):
        answer = server.invoke(damaged, "image/png", accept="*/*")
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "image_too_large")
        assert "4,096" in answer.json()["error"]["message"]
