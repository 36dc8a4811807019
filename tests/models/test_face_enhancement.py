"""`face: true`: which faces are found, where they are laid back, and the whole of it with weights of random numbers."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from drawing import picture
from numpy.typing import NDArray
from PIL import Image as Pillow
from servers import Server

from pixelserve.errors import BadRequest, CheckpointError
from pixelserve.imaging import Image, Pixels, decode, resize
from pixelserve.models import Upscaler
from pixelserve.models.faces import (
    BAND_PIXELS,
    FADE,
    MOST_FACES,
    SIZE,
    TEMPLATE,
    Face,
    FaceRestorer,
    align,
    cut,
    find_files,
    load_detector,
)
from pixelserve.models.folders import find_networks
from pixelserve.models.gfpgan import GFPGANv1Clean
from pixelserve.settings import Settings

YUNET = "face_detection_yunet_2023mar.onnx"
PEOPLE = {
    "faces/whole_imgs_00.jpg": 2,
    "faces/whole_imgs_10045.png": 3,
    "realesrgan_inputs/children-alpha.png": 5,
    "realesrgan_inputs/00017_gray.png": 2,
    "humanseg/img/12.jpg": 2,
    "realesrgan_inputs/wolf_gray.jpg": 0,
    "realesrgan_inputs/OST_009.png": 0,
}
"""Faces as people count them."""


def read(assets: Path, name: str) -> Image:
    return decode((assets / "testsets" / name).read_bytes(), Settings())


def unchanged(face: NDArray[np.float32]) -> NDArray[np.float32]:
    """A restorer that leaves faces as they are."""
    return face


def turned(scale: float, degrees: float, x: float, y: float) -> Face:
    """A face whose middle is at (x, y) of the picture."""
    matrix = cv2.getRotationMatrix2D((x, y), degrees, scale)
    matrix[:, 2] += SIZE / 2 - np.array([x, y])
    return Face(matrix)


@pytest.mark.parametrize("name", PEOPLE)
def test_the_faces_of_pictures_are_found(assets: Path, name: str) -> None:
    restorer = FaceRestorer(load_detector(assets / "face" / YUNET), unchanged)
    faces = restorer.find(read(assets, name))
    assert len(faces) == PEOPLE[name]
    assert [face.scale for face in faces] == sorted(face.scale for face in faces)  # the largest is enlarged least


def test_a_large_picture_is_searched_in_a_smaller_one_without_a_shift(assets: Path) -> None:
    """Each pixel three times as large: what is searched is the same, so that the middle of the face tells."""
    detect, image = load_detector(assets / "face" / YUNET), read(assets, "humanseg/img/14.jpg")
    small = resize(image.pixels, 960, 960 * image.height // image.width)
    middles = [
        cv2.transform(np.array([[(SIZE / 2, SIZE / 2)]]), cv2.invertAffineTransform(detect(pixels)[0].matrix))[0, 0]
        for pixels in (small, small.repeat(3, axis=0).repeat(3, axis=1))
    ]
    assert np.allclose(middles[1], 3 * middles[0] + 1, atol=1e-3)


def test_points_that_were_turned_are_turned_back() -> None:
    matrix = turned(0.3, 25, 70, 40).matrix
    landmarks = cv2.transform(TEMPLATE[None], cv2.invertAffineTransform(matrix))[0]
    assert np.allclose(align(landmarks), matrix)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_flat_picture_stays_as_it_is(channels: int, dtype: type[np.integer]) -> None:
    """Nothing is rounded down, and no edge shows, at any value; of 16 bits one step may be missed."""
    restorer = FaceRestorer(lambda _: [], unchanged)
    for value in range(0, 256, 15):
        pixels = np.full((300, 280, channels), value * (np.iinfo(dtype).max // 255), dtype)
        enlarged = pixels.repeat(2, axis=0).repeat(2, axis=1)
        expected = enlarged.copy()
        restorer.lay_over(enlarged, pixels, [turned(2.1, 10, 150, 140)], lambda: None)
        assert np.abs(enlarged.astype(int) - expected).max() <= (dtype == np.uint16)


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize(("enlarging", "least_db"), [(0.7, 30.0), (1.0, 38.0), (2.3, 40.0)])
def test_an_untouched_face_changes_no_more_than_interpolation(
    assets: Path, scale: int, depth: int, enlarging: float, least_db: float
) -> None:
    """Of a photograph; a shift of half a pixel, or rounding down, would show."""
    pixels = read(assets, "faces/whole_imgs_10045.png").pixels[..., :3]
    if depth == 16:
        pixels = pixels.astype(np.uint16) * 257 - pixels  # of values that 8 bits do not have
    before = resize(pixels, scale * pixels.shape[1], scale * pixels.shape[0])
    after = before.copy()
    face = turned(enlarging, 12, 390.3, 560.8)
    FaceRestorer(lambda _: [], unchanged).lay_over(after, pixels, [face], lambda: None)
    changed = (before != after).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    reach = scale * SIZE / enlarging * 0.62  # half of its edge, turned
    assert abs(rows.mean() - scale * 560.8) < 0.05 * reach
    assert max(np.ptp(rows), np.ptp(columns)) < 2 * reach + 4
    inside = tuple(slice(places[0], places[-1]) for places in (rows, columns))
    most = np.iinfo(pixels.dtype).max
    one, other = (part[inside].astype(np.float64) / most for part in (before, after))
    assert 10 * np.log10(1 / ((one - other) ** 2).mean()) > least_db
    assert abs((one - other).mean()) * 255 < 0.02
    slopes = np.stack(np.gradient(one.mean(axis=2)), axis=2).reshape(-1, 2)
    shift = np.linalg.lstsq(slopes, (one - other).mean(axis=2).ravel())[0]
    assert np.abs(shift).max() < 0.02 * scale


def test_a_restored_face_has_16_bits_and_fades_in() -> None:
    pixels = np.full((600, 600, 3), 20_000, np.uint16)
    face = turned(1.0, 0, 300, 300)
    FaceRestorer(lambda _: [], lambda crop: crop + np.float32(0.01)).lay_over(
        pixels, pixels.copy(), [face], lambda: None
    )
    row = pixels[300, :, 0].astype(int)
    assert row[300] == 20_000 + round(0.01 * 65535 / 2)
    steps = np.diff(row)
    assert 0 < np.abs(steps).max() < 2 * 0.01 * 65535 / 2 / FADE
    assert (row[[0, 40, 560, 599]] == 20_000).all()


def test_of_a_crowd_the_largest_are_restored() -> None:
    crowd = [turned(1 + number / 10, 0, 0, 0) for number in range(MOST_FACES + 5)]
    found = FaceRestorer(lambda _: crowd[::-1], unchanged).find(Image(np.zeros((8, 8, 1), np.uint16)))
    assert found == crowd[:MOST_FACES]


@pytest.mark.parametrize(("x", "y"), [(0, 0), (600, 170), (300, 336), (-900, 4000)])
def test_a_face_beyond_the_edge_is_laid_back_as_far_as_it_goes(x: int, y: int, assets: Path) -> None:
    """As over the same picture with a margin that mirrors it, cut to the picture again."""
    pixels = resize(read(assets, "humanseg/img/14.jpg").pixels, 600, 336)
    rows, columns = 300, 500
    wider = np.pad(pixels, ((rows, rows), (columns, columns), (0, 0)), mode="reflect")
    restorer = FaceRestorer(lambda _: [], lambda face: np.float32(0.5) * face)
    restorer.lay_over(wider, wider.copy(), [turned(3, 30, x + columns, y + rows)], lambda: None)
    found = pixels.copy()
    restorer.lay_over(found, pixels, [turned(3, 30, x, y)], lambda: None)
    assert np.abs(found.astype(int) - wider[rows:-rows, columns:-columns]).max() <= 1
    assert (found != pixels).any() == (x >= 0)


@pytest.mark.parametrize("scale", [0.15, 0.5, 1.7])
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_a_face_is_cut_out_of_a_part_as_out_of_the_whole(channels: int, scale: float) -> None:
    """A part whose edges are far away gives what the whole gives; what the whole has beyond it is not looked at."""
    whole = picture(1100, 1300, channels, 16)
    face = turned(scale, 20, 640, 530)
    reach = round(SIZE / scale * 0.8)
    part = [slice(max(0, middle - reach), middle + reach) for middle in (530, 640)]
    moved = Face(face.matrix @ np.array([(1, 0, part[1].start), (0, 1, part[0].start), (0, 0, 1)]))
    assert np.abs(cut(whole, face) - cut(whole[*part], moved)).max() < 2 / 255
    assert cut(whole, face).std() > 0.1


def test_bands_of_a_large_face_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step may differ: places between samples are in 32nds of a pixel."""
    pixels = picture(90, 70)
    whole, banded = (pixels.repeat(8, axis=0).repeat(8, axis=1) for _ in range(2))
    restorer, checks = FaceRestorer(lambda _: [], lambda face: -face), []
    restorer.lay_over(whole, pixels, [turned(6, 15, 30, 40)], lambda: checks.append(1))
    assert len(checks) == 2
    monkeypatch.setattr("pixelserve.models.faces.BAND_PIXELS", 20_000)
    restorer.lay_over(banded, pixels, [turned(6, 15, 30, 40)], lambda: checks.append(1))
    assert len(checks) > 10
    assert np.abs(banded.astype(int) - whole).max() <= 1


MEMORY = """
import numpy as np
from pathlib import Path
from pixelserve.models.faces import SIZE, Face, FaceRestorer

def memory(what):
    return 1024 * int(Path("/proc/self/status").read_text().partition(what + ":")[2].split()[0])

pixels = np.full((1000, 1000, 3), 90, np.uint8)
enlarged = np.full((4000, 4000, 3), 90, np.uint8)
restorer = FaceRestorer(lambda _: [], lambda face: face + np.float32(0.1))
before = memory("VmRSS")
restorer.lay_over(enlarged, pixels, [Face(np.array([(0.5, 0, 6), (0, 0.5, 6)]))], lambda: None)
assert (enlarged[2000, 500:3500:100] == 103).all()
print(memory("VmHWM") - before)
"""


def test_a_large_face_takes_little_memory() -> None:
    """Of 16 megapixels, which would be 830 MB in floats at once; in a process of its own, whose peak is its own."""
    told = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True).stdout
    assert int(told) < 100 * BAND_PIXELS


def test_work_that_nobody_waits_for_ends_before_the_next_face() -> None:
    class Gone(Exception):
        pass

    def check() -> None:
        raise Gone

    restorer = FaceRestorer(lambda _: [], lambda _: pytest.fail("restored"))
    with pytest.raises(Gone):
        restorer.lay_over(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8), [turned(1, 0, 4, 4)], check)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_restorer_that_gives_no_numbers_is_refused(wrong: float) -> None:
    """Before the server is healthy, and for a face that brings it about later."""
    damaged = FaceRestorer(lambda _: [], lambda face: np.where(face > 0.9, np.float32(wrong), face))
    damaged.pace.warm_up(0)
    pixels = np.full((600, 600, 3), 255, np.uint8)
    with pytest.raises(CheckpointError, match=r"gives NaN or infinity .* PIXELSERVE_DTYPE=float32"):
        damaged.lay_over(pixels, pixels.copy(), [turned(1, 0, 300, 300)], lambda: None)
    assert (pixels == 255).all()
    with pytest.raises(CheckpointError, match="gives NaN or infinity"):
        FaceRestorer(lambda _: [], lambda face: face + np.float32(wrong)).pace.warm_up(0)


def test_without_weights_the_command_that_fetches_them_is_named() -> None:
    with pytest.raises(BadRequest, match=r"`pixelserve weights fetch gfpgan-v1\.4`"):
        Upscaler.load("", Settings(runtime="torch", dtype="float32")).find_faces(Image(np.zeros((8, 8, 3), np.uint8)))


def test_half_of_the_files_and_other_files_are_refused(assets: Path, tmp_path: Path) -> None:
    (tmp_path / YUNET).symlink_to(assets / "face" / YUNET)
    with pytest.raises(CheckpointError, match=f"there are {YUNET}. Both come with: pixelserve weights fetch"):
        FaceRestorer.load(find_files(str(tmp_path)), Settings())
    torch.save({"params_ema": {"weight": torch.zeros(1)}}, tmp_path / "GFPGANv1.4.pth")
    with pytest.raises(CheckpointError, match=r"GFPGANv1\.4\.pth lacks conv_body_first\.weight\. GFPGAN 1\.3 and 1\.4"):
        FaceRestorer.load(find_files(str(tmp_path)), Settings())


def test_another_network_by_the_name_of_yunet_is_refused_at_load(assets: Path, tmp_path: Path) -> None:
    (tmp_path / YUNET).symlink_to(assets / "seg" / "SINet.onnx")
    with pytest.raises(CheckpointError, match=f"{YUNET} does not run as YuNet of 2023"):
        load_detector(tmp_path / YUNET)


def test_only_networks_are_taken_for_those_of_faces(tmp_path: Path) -> None:
    """Not what lies beside them, nor a checkout of GFPGAN; half a download is refused by its name."""
    for name in ("GFPGANv1.4.pth", YUNET, "GFPGAN_LICENSE.txt", "gfpgan.md", "face_detection_yunet.py"):
        (tmp_path / name).write_bytes(b"1")
    (tmp_path / "gfpgan").mkdir()
    found = find_files(str(tmp_path))
    assert [path.name for path in found] == ["GFPGANv1.4.pth", YUNET]
    assert find_networks(str(tmp_path), (".pth",), found) == []
    (tmp_path / "GFPGANv1.3.pth.part").write_bytes(b"1")
    assert find_files(str(tmp_path)) == found
    with pytest.raises(CheckpointError, match=r"can be used here: GFPGANv1\.3\.pth\.part"):
        find_networks(str(tmp_path), (".pth",), found)


@pytest.fixture(scope="module")
def weights(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with YuNet, and random numbers in GFPGAN's official layout."""
    folder = tmp_path_factory.mktemp("faces")
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in GFPGANv1Clean().state_dict().items()}
    random = torch.Generator().manual_seed(2)
    state = {name: torch.randn(shape, generator=random) * 0.02 for name, shape in shapes.items()}
    torch.save({"params_ema": state}, folder / "GFPGANv1.4.pth")
    (folder / YUNET).symlink_to(assets / "face" / YUNET)
    return folder


def npy(server: Server, data: bytes, attributes: str) -> tuple[Pixels, str]:
    answer = server.invoke(data, "image/png", accept="application/x-npy", x_amzn_sagemaker_custom_attributes=attributes)
    assert answer.status_code == 200, answer.text
    return np.load(io.BytesIO(answer.content)), answer.headers["x-amzn-sagemaker-custom-attributes"]


@pytest.mark.timeout(900)
def test_faces_are_restored_over_http(weights: Path, assets: Path, tmp_path: Path) -> None:
    data, blank = (assets / "testsets" / "humanseg" / "img" / "14.jpg").read_bytes(), io.BytesIO()
    Pillow.new("L", (50, 40)).save(blank, "PNG")
    server = Server(tmp_path, SM_MODEL_DIR=str(weights), SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS="600").ready(600)
    server.client.timeout = 600
    try:
        plain, said = npy(server, data, "scale=2")
        assert "faces" not in said
        with_face, said = npy(server, data, "scale=2;face=true")
        assert said.startswith("width=600;height=336;network=x2;")
        assert said.endswith(";faces=1")
        assert np.array_equal(with_face, npy(server, data, "scale=2;face=true")[0])
        assert npy(server, blank.getvalue(), "scale=2;face=true")[1].endswith("faces=0")
    finally:
        server.close()
    [face] = load_detector(assets / "face" / YUNET)(decode(data, Settings()).pixels)
    places = (np.mgrid[: plain.shape[0], : plain.shape[1]][::-1].transpose(1, 2, 0) + 0.5) / 2 - 0.5
    within = cv2.transform(places, face.matrix)  # of the face's 512 pixels, for each of the enlarged picture's
    changed = (plain != with_face).any(axis=2)
    assert not changed[((within < -1) | (within > SIZE)).any(axis=2)].any()
    assert changed[((within > FADE) & (within < SIZE - FADE)).all(axis=2)].mean() > 0.9
