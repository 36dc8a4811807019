"""code/image_super_resolution over HTTP: both forms in, every form out, each mistake its 4xx, hostile files no 5xx."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
import torch
from drawing import picture
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as Pillow
from servers import Server

from pixelserve.imaging.image import Image
from pixelserve.models.srvgg import SRVGGNetCompact
from pixelserve.models.super_resolution import Upscaler
from pixelserve.settings import Settings

SMALL = picture(30, 40)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    forced = {"PIXELSERVE_RUNTIME": "torch", "PIXELSERVE_DTYPE": "float32"}
    running = Server(folder, PIXELSERVE_MAX_PIXELS_OUT="20000000", **forced)
    yield running.ready()
    running.close()


@pytest.fixture(scope="module")
def expected() -> dict[int, NDArray[Any]]:
    """What the model gives for SMALL."""
    upscaler = Upscaler.load("", Settings(runtime="torch", dtype="float32"))
    return {scale: upscaler.upscale(Image(SMALL), scale).pixels for scale in (2, 4)}


def png(pixels: NDArray[Any] = SMALL, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, options.pop("format", "PNG"), **options)
    return buffer.getvalue()


def read(data: bytes) -> NDArray[Any]:
    return np.asarray(Pillow.open(io.BytesIO(data)))


def as_json(**fields: Any) -> str:
    return json.dumps({"img": base64.b64encode(png()).decode(), **fields})


@pytest.mark.parametrize("scale", [2, 4])
def test_json_in_and_out(server: Server, expected: dict[int, NDArray[Any]], scale: int) -> None:
    answer = server.invoke(as_json(scale=scale))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert list(answer.json()) == ["result"]
    assert np.array_equal(read(base64.b64decode(answer.json()["result"])), expected[scale])


def test_scale_2_is_the_default(server: Server) -> None:
    assert read(base64.b64decode(server.invoke(as_json()).json()["result"])).shape == (60, 80, 3)


@pytest.mark.parametrize("scale", [2, 4])
def test_an_image_in_and_npy_out(server: Server, expected: dict[int, NDArray[Any]], scale: int) -> None:
    answer = server.invoke(
        png(), "image/png", accept="application/x-npy", x_amzn_sagemaker_custom_attributes=f"scale={scale}"
    )
    assert answer.headers["content-type"] == "application/x-npy"
    assert np.array_equal(np.load(io.BytesIO(answer.content), allow_pickle=False), expected[scale])


@pytest.mark.parametrize(("name", "media"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")])
def test_accept_chooses_the_format(server: Server, expected: dict[int, NDArray[Any]], name: str, media: str) -> None:
    answer = server.invoke(png(), "image/png", accept=media)
    assert answer.headers["content-type"] == media
    assert Pillow.open(io.BytesIO(answer.content)).format == name
    assert np.abs(read(answer.content).astype(int) - expected[2]).mean() < 6


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("*/*", "image/png"),
        ("image/*", "image/png"),
        ("text/html, image/webp;q=0.9", "image/webp"),
        ("application/json", "application/json"),
    ],
)
def test_accept_lists_and_wildcards(server: Server, accept: str, media: str) -> None:
    assert server.invoke(png(), "image/png", accept=accept).headers["content-type"] == media


def test_json_may_be_answered_with_an_image(server: Server) -> None:
    answer = server.invoke(as_json(format="jpeg"), accept="image/*")
    assert answer.headers["content-type"] == "image/jpeg"


def test_media_types_are_read_in_any_case(server: Server) -> None:
    assert server.invoke(png(), "Image/PNG", accept="Image/JPEG").headers["content-type"] == "image/jpeg"
    assert server.invoke(as_json(), "Application/JSON; charset=utf-8").headers["content-type"] == "application/json"


@pytest.mark.parametrize("name", ["JPEG", "BMP", "WEBP", "TIFF"])
def test_every_format_comes_in(server: Server, name: str) -> None:
    answer = server.invoke(png(format=name), f"image/{name.lower()}")
    assert (answer.status_code, read(answer.content).shape) == (200, (60, 80, 3))


@pytest.mark.parametrize(("channels", "depth"), [(1, 8), (2, 8), (4, 8), (1, 16), (3, 16), (4, 16)])
def test_alpha_grey_and_16_bit_come_back(server: Server, channels: int, depth: int) -> None:
    pixels = picture(30, 40, channels, depth)
    ordered = pixels if channels < 3 else pixels[..., [2, 1, 0, 3][:channels]]
    data = cv2.imencode(".png", ordered)[1].tobytes() if channels != 2 else png(pixels)
    answer = server.invoke(data, "image/png", accept="application/x-npy")
    result = np.load(io.BytesIO(answer.content))
    assert result.shape == (60, 80, channels)
    assert result.dtype == pixels.dtype


def test_a_turned_photograph_comes_back_upright(server: Server) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    answer = server.invoke(png(format="JPEG", exif=exif), "image/jpeg")
    assert read(answer.content).shape == (80, 60, 3)


def test_a_target_is_reached(server: Server) -> None:
    answer = server.invoke(png(), "image/png", accept="image/jpeg", x_amzn_sagemaker_custom_attributes="target=2k")
    height, width, _ = read(answer.content).shape
    said = f"width={width};height={height};network=x4;weights=embedded;runtime=torch%2C%20CPU;type=float32"
    assert answer.headers["x-amzn-sagemaker-custom-attributes"] == said
    assert abs(height * width / 2048**2 - 1) < 0.01


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "application/octet-stream"},
        {"content-type": "application/x-image"},
        {"content-type": "image/jpg"},
        {"content-type": "image/png", "x-amzn-sagemaker-custom-attributes": "c000b4f9-df62-4c85-a0bf-7c525f9104a4"},
    ],
)
def test_a_picture_needs_no_exact_type_and_may_have_a_trace_id(server: Server, headers: dict[str, str]) -> None:
    answer = httpx.post(f"{server.url}/invocations", content=png(), headers=headers, trust_env=False)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    answer = httpx.post(
        f"{server.url}/invocations", content=png(), headers=headers | {"accept": "image/jpg"}, trust_env=False
    )
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")


def test_json_may_come_without_its_type(server: Server) -> None:
    answer = server.invoke(as_json(), "application/octet-stream", accept="application/json")
    assert "result" in answer.json()
    assert server.invoke(b"neither", "application/octet-stream").status_code == 415


@pytest.mark.parametrize(
    ("body", "content_type", "headers", "status", "code", "message"),
    [
        ("{", "application/json", {}, 400, "bad_request", "not valid JSON"),
        ("{}", "application/json", {}, 400, "bad_request", "url"),
        (as_json(scale=3), "application/json", {}, 400, "bad_request", "scale is 3"),
        (as_json(face=True), "application/json", {}, 400, "bad_request", "pixelserve weights fetch gfpgan-v1.4"),
        (as_json(url="https://example.com/a.png"), "application/json", {}, 400, "bad_request", "url"),
        ('{"img": "!!!"}', "application/json", {}, 400, "bad_request", "Base64"),
        ('{"img": "aGVsbG8="}', "application/json", {}, 415, "unsupported_media_type", "JPEG, PNG"),
        ('{"url": "http://127.0.0.1/a.png"}', "application/json", {}, 400, "fetch_refused", "127.0.0.1"),
        ('{"url": "file:///etc/passwd"}', "application/json", {}, 400, "fetch_refused", "http"),
        (png()[:200], "image/png", {}, 400, "invalid_image", ""),
        (b"", "image/png", {}, 400, "bad_request", "empty"),
        (png(), "image/png", {"x_amzn_sagemaker_custom_attributes": "scale"}, 400, "bad_request", "scale=VALUE"),
        (png(), "image/png", {"accept": "audio/mpeg"}, 406, "not_acceptable", "image/webp"),
        (png(), "image/png", {"x_amzn_sagemaker_custom_attributes": "url=https://example.com/a.png"}, 400,
         "bad_request", "body is the image already"),
        (png(), "text/plain", {}, 415, "unsupported_media_type", "image/"),
        (png(np.zeros((1200, 1200, 3), np.uint8)), "image/png", {"x_amzn_sagemaker_custom_attributes": "scale=4"},
         413, "output_too_large", "PIXELSERVE_MAX_PIXELS_OUT"),
        (png(np.zeros((1, 9_000, 3), np.uint8)), "image/png", {"accept": "image/webp"}, 413, "output_too_large",
         "WebP"),
        (b"GIF89a" + bytes(20), "image/gif", {}, 415, "unsupported_media_type", "This is GIF"),
        (b"GIF89a" + bytes(20), "image/jpeg", {}, 415, "unsupported_media_type", "called image/jpeg, but it is GIF"),
        (b"GIF89a" + bytes(20), "application/octet-stream", {}, 415, "unsupported_media_type", "This is GIF"),
        (b"<!doctype html>", "", {}, 415, "unsupported_media_type", "web page"),
        (png(np.zeros((1, 20_000, 3), np.uint8)), "image/png", {}, 413, "image_too_large", "PIXELSERVE_MAX_EDGE"),
    ],
)  # fmt: skip
def test_each_mistake_has_its_answer(
    server: Server, body: Any, content_type: str, headers: dict[str, str], status: int, code: str, message: str
) -> None:
    answer = server.invoke(body, content_type, **headers)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code), error
    assert message in error["message"]
    assert server.invoke(as_json()).status_code == 200


def test_what_would_take_too_long_is_refused_before_it_starts(tmp_path: Path) -> None:
    """By a network that takes 1.2e14 operations for it: no core does 1e12 of 32 bits in a second."""
    weights = tmp_path / "weights"
    weights.mkdir()
    torch.manual_seed(0)
    torch.save(SRVGGNetCompact(num_conv=64).state_dict(), weights / "net.pth")
    forced = {"PIXELSERVE_RUNTIME": "torch", "PIXELSERVE_DTYPE": "float32", "SM_MODEL_DIR": str(weights)}
    server = Server(tmp_path, SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS="5", **forced).ready()
    try:
        answer = server.invoke(
            png(np.zeros((5000, 5000), np.uint8)), "image/png", x_amzn_sagemaker_custom_attributes="scale=2"
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_slow")
        assert "asynchronous endpoint" in answer.json()["error"]["message"]
        assert server.invoke(png(), "image/png").status_code == 200
    finally:
        server.close()


FILES = [png(format=name) for name in ("PNG", "JPEG", "BMP", "WEBP", "TIFF")]


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    st.sampled_from(FILES),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
    st.floats(0.02, 1),
)
def test_no_file_makes_a_5xx(server: Server, data: bytes, changes: list[tuple[float, int]], keep: float) -> None:
    mutated = bytearray(data)
    for position, value in changes:
        mutated[int(position * len(mutated))] = value
    answer = httpx.post(
        f"{server.url}/invocations",
        content=bytes(mutated[: int(keep * len(mutated)) + 1]),
        headers={"content-type": "image/png", "accept": "image/jpeg"},
        timeout=60,
        trust_env=False,
    )
    assert answer.status_code == 200 or answer.status_code in (400, 413, 415)
    assert answer.status_code == 200 or answer.json()["error"]["message"]


def test_the_server_outlived_all_that(server: Server) -> None:
    """One worker from first to last, no traceback, and no payload in the log."""
    assert server.loaded() == 1
    log = server.log_path.read_text()
    assert "Traceback" not in log
    assert base64.b64encode(png()).decode()[:40] not in log


def test_real_weights_are_served(assets: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "x4.pth").symlink_to((assets / "sr" / "realesr-animevideov3.pth").resolve())
    server = Server(tmp_path).ready()
    try:
        answer = server.invoke(png(), "image/png", x_amzn_sagemaker_custom_attributes="scale=4")
        assert read(answer.content).shape == (120, 160, 3)
    finally:
        server.close()
