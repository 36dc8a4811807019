"""Tuning files: what they decide, for which hardware and weights, and what is told where they cannot be followed."""

from __future__ import annotations

import importlib.util
import json
import logging
from pathlib import Path

import pytest
import torch
from drawing import picture
from told import read_told
from torch import nn

from pixelserve import models
from pixelserve.errors import CheckpointError
from pixelserve.imaging import Image
from pixelserve.models import devices, runtimes, tuning
from pixelserve.models.networks import load_network
from pixelserve.models.passes import Loaded
from pixelserve.models.rrdbnet import RRDBNet
from pixelserve.models.runtimes import EXACT, Choice
from pixelserve.models.srvgg import SRVGGNetCompact
from pixelserve.models.super_resolution import Upscaler
from pixelserve.models.tuning import hardware_kind, read_tuning, write_tuning
from pixelserve.models.tuning_files import tuning_file
from pixelserve.settings import Settings
from pixelserve_deploy import cli

CPU = torch.device("cpu")
REDUCED = Choice("torch", "bfloat16")
DAMAGED = ["", "[]", '{"this": {"runtime": "torch"}}', '{"this": 3}', '{"this": {"runtime": "torch", "dtype": '
           '"float32", "tile": 1e999, "sha256": ""}}']  # fmt: skip


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file of weights, on a CPU with bfloat16, whatever there is here."""
    monkeypatch.setattr(runtimes, "candidates", lambda device: [REDUCED, EXACT])
    monkeypatch.setattr(tuning, "hardware_kind", lambda: "this")
    return save(tmp_path / "net.pth", seed=4)


def save(path: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    torch.save(SRVGGNetCompact(num_feat=8, num_conv=1, upscale=2).state_dict(), path)
    return path


def loaded(path: Path) -> Loaded:
    return Loaded.from_file(path, CPU, Settings())


def test_a_tuning_file_decides_for_its_hardware(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setattr(tuning, "hardware_kind", lambda: "another")
    write_tuning(path, EXACT, 256)
    monkeypatch.setattr(tuning, "hardware_kind", lambda: "this")
    assert loaded(path).choice == REDUCED
    write_tuning(path, EXACT, 256)
    assert loaded(path).choice == EXACT
    assert Loaded.from_file(path, CPU, Settings(dtype="bfloat16")).choice == REDUCED
    assert set(json.loads(tuning_file(path).read_text())) == {"another", "this"}


def test_it_is_bound_to_its_weights(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_tuning(path, REDUCED, 256)
    save(path, seed=5)
    assert read_tuning(path) is None
    assert "net.tuning.json was measured with other weights than net.pth" in caplog.text
    write_tuning(path, REDUCED, 192)
    assert (found := read_tuning(path)) is not None
    assert (found.runtime, found.dtype, found.tile) == (REDUCED.runtime, REDUCED.dtype, 192)


def test_it_is_bound_to_both_files_of_ncnn(path: Path) -> None:
    param, weights = path.with_name("own.param"), path.with_name("own.bin")
    param.write_text("7767517")
    for content, expected in ((b"one", 256), (b"two", None)):
        weights.write_bytes(content)
        if expected:
            write_tuning(param, REDUCED, expected)
        assert ((found := read_tuning(param)) and found.tile) == expected


def test_what_was_tuned_must_be_near_to_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file may come from elsewhere."""
    monkeypatch.setattr(runtimes, "candidates", lambda device: [REDUCED, EXACT])

    class Drifting(nn.Conv2d):
        drift = 0.0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if self.weight.dtype == torch.float32 else x + self.drift

    network = Drifting(3, 3, 1)
    for network.drift, expected, note in (
        (0.001, REDUCED, ""),
        (0.1, EXACT, "not torch in bfloat16 as tuned: 20.0 dB from float32"),
    ):
        running = runtimes.choose(network, CPU, "auto", "auto", REDUCED)
        assert (running.choice, running.note) == (expected, note)


def test_openvino_that_is_not_there_is_told_and_the_tile_kept(
    monkeypatch: pytest.MonkeyPatch, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_tuning(path, Choice("openvino", "bfloat16"), 192)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "openvino" else find_spec(name))
    with caplog.at_level(logging.WARNING):
        found = loaded(path)
    assert found.tile == 192
    assert found.choice.runtime == "torch"
    assert "tuned for openvino, which is not installed" in caplog.text
    assert found.described().runtime == "torch, CPU (tuned for openvino, which is not installed)"
    forced = Loaded.from_file(path, CPU, Settings(runtime="torch"))
    assert forced.described().runtime == "torch, CPU"


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_file_is_refused_and_can_be_tuned_anew(content: str, path: Path) -> None:
    tuning_file(path).write_text(content)
    with pytest.raises(
        CheckpointError, match=r"net\.tuning\.json is no tuning file: delete it, or `pixelserve weights"
    ):
        loaded(path)
    write_tuning(path, REDUCED, 256)
    assert loaded(path).tile == 256


def test_untuned_tiles_are_the_architectures(path: Path, tmp_path: Path) -> None:
    """Also where a file of an older version names no tile."""
    dense = tmp_path / "dense.pth"
    torch.save(RRDBNet(num_feat=8, num_block=1, num_grow_ch=4).state_dict(), dense)
    assert (loaded(path).tile, loaded(dense).tile) == (512, 256)
    write_tuning(dense, REDUCED, 192)
    written = json.loads(tuning_file(dense).read_text())
    del written["this"]["tile"]
    tuning_file(dense).write_text(json.dumps(written))
    assert (loaded(dense).choice, loaded(dense).tile) == (REDUCED, 256)


def test_entries_of_other_hardware_are_not_read_and_stay(path: Path) -> None:
    """They may be by a later version."""
    others = {"another": {"runtime": "triton"}, "third": 3}
    tuning_file(path).write_text(json.dumps(others))
    assert read_tuning(path) is None
    write_tuning(path, REDUCED, 192)
    assert loaded(path).tile == 192
    written = json.loads(tuning_file(path).read_text())
    assert {kind: written[kind] for kind in others} == others


@pytest.mark.parametrize("wrong", ["convert", "run"])
def test_openvino_that_does_not_run_is_told_and_torch_serves(
    wrong: str, monkeypatch: pytest.MonkeyPatch, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Another version, or too little memory: a tuning file keeps no server down."""
    monkeypatch.setattr(runtimes, "candidates", lambda device: [Choice("openvino", "float32"), EXACT])

    class Failing(nn.Module):
        dtype = "float32"

        def __init__(self, *_: object) -> None:
            super().__init__()
            if wrong == "convert":
                raise RuntimeError("Check 'false' failed")

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("Check 'false' failed")

    monkeypatch.setattr(runtimes, "OpenVino", Failing)
    write_tuning(path, Choice("openvino", "float32"), 192)
    found = loaded(path)
    assert (found.choice, found.tile) == (EXACT, 192)
    assert found.described().runtime == "torch, CPU (not openvino in float32 as tuned: it does not run here)"
    assert "openvino in float32: Check 'false' failed" in caplog.text
    with pytest.raises(RuntimeError, match="Check"):
        Loaded.from_file(path, CPU, Settings(runtime="openvino"))


def test_tiles_keep_within_memory_and_the_fastest_is_taken(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Of a network as slow for any pixel the largest tiles win, which overlap least."""
    info = load_network(path)[1]
    monkeypatch.setattr(devices, "MOST_BYTES", info.bytes_in("float32") * (310 + 2 * info.overlap) ** 2)
    monkeypatch.setattr(tuning, "timed", lambda runs: {e: r.args[0][0, 0].numel() / 1e6 for e, r in runs.items()})
    tiles = tuning.measure_tiles(runtimes.run(load_network(path)[0], EXACT), info)
    assert list(tiles) == [310, 256, 192, 128]
    assert tiles[256] == pytest.approx((256 + 2 * info.overlap) * 272 / 256**2 / 1e6)
    write_tuning(path, EXACT, 192)
    upscaler = Upscaler.load(str(path.parent), Settings())
    calls: list[int] = []
    upscaler.upscale(Image(picture(192, 400)), 2, progress=lambda done, total: calls.append(done))
    assert len(calls) == 3


def test_what_tuning_prints_as_json_is_in_its_schema(
    monkeypatch: pytest.MonkeyPatch, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(models, "tune", lambda _: ({EXACT: 0.25}, {256: 2e-6}))
    assert cli.main(["weights", "tune", str(path), "--json"]) == 0
    told = read_told(capsys.readouterr().out, "weights")
    assert told["weights"][0]["tiles"] == [{"tile": 256, "seconds_a_megapixel": pytest.approx(2)}]


def test_tuning_measures_what_can_run_and_writes_the_fastest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(tmp_path / "net.pth", seed=4)
    assert cli.main(["weights", "tune", str(path)]) == 0
    rows = [row.split() for row in capsys.readouterr().out.splitlines()[:-1]]
    tables = rows.index(["TILE", "SECONDS", "A", "MEGAPIXEL"])
    shown = [Choice(*row[:2]) for row in rows[1:tables]]
    assert set(shown) == set(runtimes.candidates(CPU))
    edge = int(rows[tables + 1][0].partition("x")[0])
    assert json.loads(path.with_suffix(".tuning.json").read_text())[hardware_kind()]["tile"] == edge
    assert Upscaler.load(str(tmp_path), Settings()).choice(2) == shown[0]
