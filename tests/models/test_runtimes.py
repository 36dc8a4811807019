"""Runtimes: each gives what torch gives in float32, and the choice is the settings', the tuning file's or measured."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from drawing import picture
from told import read_told
from torch import nn

from pixelserve import models
from pixelserve.errors import CheckpointError
from pixelserve.imaging import Image
from pixelserve.models import devices, runtimes
from pixelserve.models.networks import load_network
from pixelserve.models.rrdbnet import RRDBNet
from pixelserve.models.runtimes import EXACT, LEAST_DB, Choice, Tuning, pick, psnr, run_by, write_tuning
from pixelserve.models.srvgg import SRVGGNetCompact
from pixelserve.models.super_resolution import EMBEDDED_FILES, Upscaler
from pixelserve.settings import Settings, SettingsError
from pixelserve_deploy import cli

CPU = torch.device("cpu")
REDUCED = Choice("torch", "bfloat16")
FORCED = [REDUCED, Choice("openvino", "float32"), Choice("openvino", "bfloat16")]


def small() -> SRVGGNetCompact:
    torch.manual_seed(4)
    return SRVGGNetCompact(num_feat=8, num_conv=1, upscale=2).eval().requires_grad_(False)


@pytest.fixture
def two_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a CPU with bfloat16 and without OpenVINO, whatever there is here."""
    monkeypatch.setattr(runtimes, "candidates", lambda device: [REDUCED, EXACT])


def decibels(network: nn.Module, choice: Choice) -> float:
    """Of a drawing with odd edges, unlike the probe."""
    x = torch.from_numpy(picture(44, 52)).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        out = run_by(network, choice)(x)
        assert out.dtype == torch.float32
        return psnr(out, network(x))


@pytest.mark.parametrize("choice", FORCED, ids=str)
@pytest.mark.parametrize("scale", [2, 4])
def test_each_runtime_keeps_the_embedded_networks(choice: Choice, scale: int) -> None:
    network, _ = load_network(EMBEDDED_FILES[scale // 2 - 1])
    assert decibels(network, choice) >= LEAST_DB


@pytest.mark.parametrize("choice", FORCED, ids=str)
@pytest.mark.parametrize("name", ["realesr-animevideov3.pth", "realesr-general-x4v3.pth"])
def test_each_runtime_keeps_real_srvgg_networks(choice: Choice, name: str, assets: Path) -> None:
    network, _ = load_network(assets / "sr" / name)
    assert decibels(network, choice) >= LEAST_DB


@pytest.mark.timeout(900)
@pytest.mark.parametrize("choice", FORCED, ids=str)
def test_each_runtime_keeps_a_real_rrdbnet(choice: Choice, real_files: Path) -> None:
    network, _ = load_network(real_files / "realesrgan-x4plus-anime.param")
    assert decibels(network, choice) >= LEAST_DB


def test_openvino_runs_what_unshuffles() -> None:
    torch.manual_seed(5)
    network = RRDBNet(scale=2, num_feat=8, num_block=1, num_grow_ch=4).eval().requires_grad_(False)
    assert decibels(network, Choice("openvino", "float32")) > 80


@pytest.mark.usefixtures("two_choices")
@pytest.mark.parametrize(
    ("runtime", "dtype", "expected"),
    [
        ("torch", "float32", EXACT),
        ("auto", "bfloat16", REDUCED),
        ("auto", "float16", Choice("torch", "float16")),
        ("openvino", "auto", Choice("openvino", "float32")),
        ("openvino", "bfloat16", Choice("openvino", "bfloat16")),
    ],
)
def test_what_the_settings_force_is_taken(runtime: str, dtype: str, expected: Choice, tmp_path: Path) -> None:
    assert pick(small(), CPU, runtime, dtype, tmp_path / "net.pth") == expected


@pytest.mark.usefixtures("two_choices")
@pytest.mark.parametrize(("least", "expected"), [(float("inf"), EXACT), (0.0, REDUCED)])
def test_what_is_too_far_from_float32_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, least: float, expected: Choice
) -> None:
    """With no time left after the first that is near enough, that one is taken, however fast it is."""
    monkeypatch.setattr(runtimes, "LEAST_DB", least)
    monkeypatch.setattr(runtimes, "MOST_SECONDS", 0.0)
    network = small()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert pick(network, CPU, "auto", "auto", tmp_path / "net.pth") == expected
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.usefixtures("two_choices")
def test_what_gives_nan_is_not_taken(tmp_path: Path) -> None:
    class Overflowing(nn.Conv2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if self.weight.dtype == torch.float32 else x * torch.nan

    assert pick(Overflowing(3, 3, 1), CPU, "auto", "auto", tmp_path / "net.pth") == EXACT


@pytest.mark.usefixtures("two_choices")
def test_a_tuning_file_decides_for_its_hardware(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    monkeypatch.setattr(runtimes, "LEAST_DB", float("inf"))  # so that measuring gives float32
    monkeypatch.setattr(runtimes, "hardware_kind", lambda device: "another")
    write_tuning(path, CPU, Tuning(REDUCED))
    monkeypatch.setattr(runtimes, "hardware_kind", lambda device: "this")
    assert pick(small(), CPU, "auto", "auto", path) == EXACT
    write_tuning(path, CPU, Tuning(REDUCED))
    assert pick(small(), CPU, "auto", "auto", path) == REDUCED
    assert pick(small(), CPU, "auto", "float32", path) == EXACT
    assert set(json.loads((tmp_path / "net.tuning.json").read_text())) == {"another", "this"}


@pytest.mark.parametrize("content", ["", "[]", '{"this": {"runtime": "torch"}}', '{"this": 3}'])
def test_a_damaged_tuning_file_is_refused(content: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(runtimes, "hardware_kind", lambda device: "this")
    (tmp_path / "net.tuning.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"net\.tuning\.json is no tuning file"):
        pick(small(), CPU, "auto", "auto", tmp_path / "net.pth")


def test_openvino_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="PIXELSERVE_RUNTIME is openvino, which is not installed: pip install"):
        pick(small(), CPU, "openvino", "auto", tmp_path / "net.pth")
    assert {choice.runtime for choice in runtimes.candidates(CPU)} == {"torch"}


def test_tiles_keep_within_memory_and_the_fastest_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of a network as slow for any pixel the largest tiles win, which overlap least."""
    path = tmp_path / "net.pth"
    torch.save(small().state_dict(), path)
    info = load_network(path)[1]
    monkeypatch.setattr(devices, "MOST_BYTES", info.bytes_per_pixel * (300 + 2 * info.overlap) ** 2)
    monkeypatch.setattr(runtimes, "_timed", lambda network, probe: (probe, probe[0, 0].numel() / 1e6))
    tiles = runtimes.measure_tiles(small(), info, CPU)
    assert list(tiles) == [256, 192, 128]
    assert tiles[256] == pytest.approx((1 + 2 * info.overlap / 256) ** 2 / 1e6)
    write_tuning(path, CPU, Tuning(EXACT, 192))
    upscaler = Upscaler.load(str(tmp_path), Settings())
    calls: list[int] = []
    upscaler.upscale(Image(picture(192, 400)), 2, progress=lambda done, total: calls.append(done))
    assert len(calls) == 3


def test_what_tuning_prints_as_json_is_in_its_schema(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.pth"
    torch.save(small().state_dict(), path)
    monkeypatch.setattr(models, "tune", lambda _: ({EXACT: 0.25}, {256: 2e-6}))
    assert cli.main(["weights", "tune", str(path), "--json"]) == 0
    told = read_told(capsys.readouterr().out, "weights")
    assert told["weights"][0]["tiles"] == [{"tile": 256, "seconds_a_megapixel": pytest.approx(2)}]


def test_tuning_measures_what_can_run_and_writes_the_fastest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.pth"
    torch.save(small().state_dict(), path)
    assert cli.main(["weights", "tune", str(path)]) == 0
    rows = [row.split() for row in capsys.readouterr().out.splitlines()[:-1]]
    tables = rows.index(["TILE", "SECONDS", "A", "MEGAPIXEL"])
    shown = [Choice(*row[:2]) for row in rows[1:tables]]
    assert set(shown) == set(runtimes.candidates(CPU))
    edge = int(rows[tables + 1][0].partition("x")[0])
    assert json.loads(path.with_suffix(".tuning.json").read_text())[runtimes.hardware_kind(CPU)]["tile"] == edge
    monkeypatch.setattr(runtimes, "measure", lambda *_: pytest.fail("measured again"))
    assert pick(small(), CPU, "auto", "auto", path) == shown[0]
    assert Upscaler.load(str(tmp_path), Settings()).choice(2) == shown[0]
