"""Pictures in and out: formats, depths, alpha, orientation, profiles, limits."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from drawing import picture
from PIL import Image as Pillow
from PIL import ImageCms, ImageOps

from pixelserve.errors import ImageTooLarge, InvalidImage, OutputTooLarge, UnsupportedMediaType
from pixelserve.imaging import Image, decode, encode, encoders, read_header
from pixelserve.imaging.formats import webp
from pixelserve.settings import Settings

SETTINGS = Settings()
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def pillow(pixels: Any) -> Pillow.Image:
    return Pillow.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def saved(image: Pillow.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def encoded(image: Image, format: str, quality: int = 90) -> bytes:
    return b"".join(encode(image, format, quality))


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (33, 47)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("depth", [8, 16])
def test_png_is_lossless_and_others_read_it_alike(size: tuple[int, int], channels: int, depth: int) -> None:
    pixels = picture(*size, channels, depth)
    data = encoded(Image(pixels), "png")
    again = decode(data, SETTINGS).pixels
    assert again.dtype == pixels.dtype
    assert np.array_equal(again, pixels)
    seen: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if channels == 1:
        assert np.array_equal(seen, pixels[..., 0])
    elif channels >= 3:
        assert np.array_equal(seen[..., [2, 1, 0, 3][:channels]], pixels)
    if depth == 8:
        assert np.array_equal(np.asarray(Pillow.open(io.BytesIO(data))), pixels.squeeze(2) if channels == 1 else pixels)


def test_a_large_png_of_several_strips() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1500, 900, 3), np.uint8)
    assert np.array_equal(decode(encoded(Image(pixels), "png"), SETTINGS).pixels, pixels)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_reads_as_pillow_reads_it(channels: int) -> None:
    data = saved(pillow(picture(channels=channels)), "JPEG", quality=92)
    expected = np.asarray(Pillow.open(io.BytesIO(data))).reshape(48, 64, channels)
    assert np.abs(decode(data, SETTINGS).pixels.astype(int) - expected).max() <= 4  # other IDCT and upsampling


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_lossy_answers_are_close(channels: int, depth: int, format: str) -> None:
    pixels = picture(96, 128, channels, depth)
    again = decode(encoded(Image(pixels), format, 95), SETTINGS).pixels
    expected = encoders.to_8_bit(pixels)
    if format == "jpeg":
        expected = encoders.flatten(expected)
    elif channels <= 2:
        again = again[..., [0, -1][:channels]]
        visible = expected[..., -1:] > 0 if channels == 2 else np.True_
        again, expected = again * visible, expected * visible
    if format == "webp" and channels == 4:
        visible = expected[..., -1:] > 0
        again, expected = again * visible, expected * visible
    assert np.abs(again.astype(int) - expected).mean() < 4


def test_npy_is_the_array_without_a_copy() -> None:
    pixels = picture(depth=16)
    parts = encode(Image(pixels), "npy")
    assert np.array_equal(np.load(io.BytesIO(b"".join(parts)), allow_pickle=False), pixels)
    assert np.shares_memory(np.frombuffer(parts[1], np.uint16), pixels)


def test_alpha_is_laid_on_white_in_jpeg() -> None:
    clear = np.zeros((16, 16, 4), np.uint8)
    assert decode(encoded(Image(clear), "jpeg"), SETTINGS).pixels.min() >= 254


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_applied(orientation: int, format: str) -> None:
    image = pillow(picture())
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format == "WEBP" else {"quality": 100, "subsampling": 0} if format == "JPEG" else {}
    data = saved(image, format, exif=exif, **options)
    expected = np.asarray(ImageOps.exif_transpose(Pillow.open(io.BytesIO(data))))
    found = decode(data, SETTINGS).pixels
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= 4


def test_palettes_one_bit_and_transparency() -> None:
    colors = pillow(picture())
    palette = colors.quantize(16)
    assert np.array_equal(decode(saved(palette, "PNG"), SETTINGS).pixels, np.asarray(palette.convert("RGB")))
    clear = decode(saved(palette, "PNG", transparency=0), SETTINGS).pixels
    assert np.array_equal(
        clear, np.asarray(Pillow.open(io.BytesIO(saved(palette, "PNG", transparency=0))).convert("RGBA"))
    )
    bits = colors.convert("1")
    assert np.array_equal(decode(saved(bits, "PNG"), SETTINGS).pixels[..., 0], np.asarray(bits.convert("L")))
    assert np.array_equal(decode(saved(colors, "BMP"), SETTINGS).pixels, np.asarray(colors))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_16_bit_tiff_is_applied_once(orientation: int) -> None:
    pixels = picture(30, 40, 1, 16)
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    stored = Pillow.fromarray(pixels[..., 0])
    found = decode(saved(stored, "TIFF", exif=exif), SETTINGS).pixels
    marks = Pillow.fromarray((pixels[..., 0] >> 8).astype(np.uint8))
    expected = np.asarray(ImageOps.exif_transpose(Pillow.open(io.BytesIO(saved(marks, "TIFF", exif=exif)))))
    assert np.array_equal(found[..., 0] >> 8, expected)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_tiff(channels: int) -> None:
    pixels = picture(channels=channels, depth=16)
    _, data = cv2.imencode(".tiff", pixels[..., [2, 1, 0, 3][:channels]] if channels > 1 else pixels)
    assert np.array_equal(decode(data.tobytes(), SETTINGS).pixels, pixels)


def test_a_dark_16_bit_image_stays_16_bit() -> None:
    pixels = picture(depth=16) // 512
    assert pixels.max() < 256
    assert np.array_equal(decode(encoded(Image(pixels), "png"), SETTINGS).pixels, pixels)


def test_cmyk_jpeg() -> None:
    data = saved(pillow(picture()).convert("CMYK"), "JPEG", quality=95)
    expected = np.asarray(Pillow.open(io.BytesIO(data)).convert("RGB"))
    assert np.array_equal(decode(data, SETTINGS).pixels, expected)


def profile() -> bytes:
    """A Lab profile's sibling that is not sRGB: sRGB's primaries, exchanged."""
    source = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    raw = bytearray(source.tobytes())
    text = raw.find(b"sRGB")
    while text >= 0:
        raw[text : text + 4] = b"mine"
        text = raw.find(b"sRGB")
    wide = raw.find("sRGB".encode("utf-16-be"))
    if wide >= 0:
        raw[wide : wide + 8] = "mine".encode("utf-16-be")
    tags = {bytes(raw[start : start + 4]): start for start in range(132, 132 + 12 * 20, 12)}
    red, blue = tags[b"rXYZ"], tags[b"bXYZ"]
    raw[red : red + 4], raw[blue : blue + 4] = raw[blue : blue + 4], raw[red : red + 4]
    return bytes(raw)


def test_a_profile_is_converted_to_srgb_at_8_bit_and_carried_at_16() -> None:
    swapped = profile()
    pixels = np.full((8, 8, 3), (200, 40, 60), np.uint8)
    found = decode(saved(pillow(pixels), "PNG", icc_profile=swapped), SETTINGS)
    assert found.icc is None
    assert np.abs(found.pixels[0, 0].astype(int) - (60, 40, 200)).max() <= 3
    deep = Image(picture(depth=16), swapped)
    again = decode(encoded(deep, "png"), SETTINGS)
    assert again.icc == swapped
    assert np.array_equal(again.pixels, deep.pixels)


def test_other_formats_are_415_and_damage_is_400() -> None:
    for data in (b"hello", b"%PDF-1.7", b"GIF89a" + bytes(20), b"<svg/>"):
        with pytest.raises(UnsupportedMediaType, match="Send JPEG, PNG, BMP, WebP or TIFF"):
            decode(data, SETTINGS)
    for format in ("JPEG", "PNG", "WEBP", "TIFF", "BMP"):
        whole = saved(pillow(picture(200, 200)), format)
        with pytest.raises(InvalidImage):
            decode(whole[: len(whole) // 2], SETTINGS)
    for mode in ("F", "I"):
        with pytest.raises(UnsupportedMediaType, match="8- or 16-bit"):
            decode(saved(Pillow.new(mode, (8, 8)), "TIFF"), SETTINGS)
    deep = encoded(Image(picture(200, 200, depth=16)), "png")
    with pytest.raises(InvalidImage):
        decode(deep[: len(deep) // 2], SETTINGS)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (Settings(max_pixels_in=3_000), "PIXELSERVE_MAX_PIXELS_IN"),
        (Settings(max_edge=63), "PIXELSERVE_MAX_EDGE"),
    ],
)
def test_limits_name_their_variable(settings: Settings, named: str) -> None:
    with pytest.raises(ImageTooLarge, match=named):
        decode(saved(pillow(picture()), "PNG"), settings)


def test_a_decompression_bomb_is_refused_by_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = saved(Pillow.new("RGB", (7000, 7000)), "WEBP", lossless=True)
    monkeypatch.setattr(webp, "_decode", None)
    with pytest.raises(ImageTooLarge, match="PIXELSERVE_MAX_DECODE_RATIO"):
        decode(bomb, SETTINGS)


def test_what_a_format_cannot_hold() -> None:
    with pytest.raises(OutputTooLarge, match="PNG or JPEG"):
        encode(Image(np.zeros((1, 16_384, 3), np.uint8)), "webp")


def test_the_fall_back_gives_the_same_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image(picture(100, 120))
    monkeypatch.setattr(encoders, "isal_zlib", None)
    assert np.array_equal(decode(encoded(image, "png"), SETTINGS).pixels, image.pixels)


def test_real_files_read_as_pillow_reads_them(assets: Path) -> None:
    modes = sorted((assets / "testsets" / "similarity_pdq").glob("misc-images__modes__*"))
    assert len(modes) > 8
    for path in modes:
        with Pillow.open(path) as file:
            icc, mode = file.info.get("icc_profile"), file.mode
            expected = np.asarray(ImageOps.exif_transpose(file).convert("RGB"))
        found = decode(path.read_bytes(), SETTINGS).pixels
        if not icc and mode != "LA":
            assert np.abs(found.astype(int) - expected).mean() < 1, path.name
    tree = decode((assets / "testsets" / "realesrgan_inputs" / "tree_alpha_16bit.png").read_bytes(), SETTINGS)
    assert (tree.depth, tree.channels) == (16, 4)


def test_headers_are_read_without_decoding() -> None:
    header = read_header(saved(pillow(picture()), "PNG"))
    assert (header.format, header.width, header.height, header.depth, header.orientation) == ("png", 64, 48, 8, 1)
