"""Runtimes: each gives what torch gives in float32, and the choice is the settings', a tuning file's or a table's."""

from __future__ import annotations

import importlib.util
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from drawing import picture
from torch import nn

from pixelserve.imaging import decode
from pixelserve.models import runtimes
from pixelserve.models.networks import load_network
from pixelserve.models.rrdbnet import RRDBNet
from pixelserve.models.runtimes import EXACT, LEAST_DB, Choice, choose, natural_probe, psnr, run_by
from pixelserve.models.srvgg import SRVGGNetCompact
from pixelserve.models.super_resolution import EMBEDDED_FILES
from pixelserve.settings import Settings, SettingsError

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


@pytest.mark.parametrize(
    ("flags", "is_installed", "expected"),
    [
        ({"avx2", "avx512_bf16"}, True,
         ["openvino bfloat16", "torch bfloat16", "openvino float32", "torch float32"]),
        ({"avx2", "amx_bf16"}, False, ["torch bfloat16", "torch float32"]),
        ({"avx2"}, True, ["openvino float32", "torch float32"]),
        (set(), True, ["torch float32"]),
    ],
)  # fmt: skip
def test_the_table_goes_by_what_the_cpu_can_do(
    monkeypatch: pytest.MonkeyPatch, flags: set[str], is_installed: bool, expected: list[str]
) -> None:
    monkeypatch.setattr(runtimes, "cpu_flags", lambda: flags)
    monkeypatch.setattr(runtimes, "is_installed", lambda: is_installed)
    assert [f"{choice.runtime} {choice.dtype}" for choice in runtimes.candidates(CPU)] == expected


def test_a_forced_type_is_taken_however_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever forces one knows; the fastest that has it runs."""
    monkeypatch.setattr(runtimes, "candidates", lambda device: [Choice("openvino", "float32"), REDUCED, EXACT])
    monkeypatch.setattr(runtimes, "LEAST_DB", float("inf"))
    assert choose(small(), CPU, "auto", "float32").choice == Choice("openvino", "float32")
    assert choose(small(), CPU, "auto", "bfloat16").choice == REDUCED


@pytest.mark.usefixtures("two_choices")
@pytest.mark.parametrize(
    ("runtime", "dtype", "expected"),
    [
        ("torch", "float32", EXACT),
        ("auto", "bfloat16", REDUCED),
        ("auto", "float16", Choice("torch", "float16")),
        ("openvino", "auto", Choice("openvino", "float32")),
    ],
)
def test_what_the_settings_force_is_taken(runtime: str, dtype: str, expected: Choice) -> None:
    assert choose(small(), CPU, runtime, dtype).choice == expected


@pytest.mark.usefixtures("two_choices")
@pytest.mark.parametrize(("least", "expected"), [(float("inf"), EXACT), (0.0, REDUCED)])
def test_what_is_too_far_from_float32_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, least: float, expected: Choice
) -> None:
    """And the first that is near enough is, whatever the others are."""
    monkeypatch.setattr(runtimes, "LEAST_DB", least)
    network = small()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert choose(network, CPU, "auto", "auto").choice == expected
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("name", ["realesr-animevideov3.pth", "realesr-general-x4v3.pth"])
def test_the_probe_is_to_networks_as_photographs_are(name: str, assets: Path) -> None:
    """By how far bfloat16 is from float32: the median of photographs, small and large, of Set5 and Urban100."""
    network, _ = load_network(assets / "sr" / name)
    reduced = run_by(network, REDUCED)
    small = (assets / "testsets" / "sr" / "Set5" / "image_SRF_4").glob("*_LR.png")
    pictures = [crop(path) for path in (*small, *(assets / "testsets" / "sr" / "Urban100_HR").glob("*.png"))]
    with torch.inference_mode():
        probed, *seen = (psnr(reduced(x), network(x)) for x in (natural_probe(), *pictures))
    assert len(seen) == 9
    assert probed == pytest.approx(statistics.median(seen), abs=4)


def crop(path: Path) -> torch.Tensor:
    """The middle of a picture, as networks take it."""
    pixels = decode(path.read_bytes(), Settings()).pixels
    top, left = (max(0, (edge - 64) // 2) for edge in pixels.shape[:2])
    return torch.from_numpy(pixels[top : top + 64, left : left + 64]).permute(2, 0, 1)[None].float() / 255


@pytest.mark.usefixtures("two_choices")
def test_what_gives_nan_is_not_taken() -> None:
    class Overflowing(nn.Conv2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if self.weight.dtype == torch.float32 else x * torch.nan

    assert choose(Overflowing(3, 3, 1), CPU, "auto", "auto").choice == EXACT


def test_openvino_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="PIXELSERVE_RUNTIME is openvino, which is not installed: pip install"):
        choose(small(), CPU, "openvino", "auto")
    assert {choice.runtime for choice in runtimes.candidates(CPU)} == {"torch"}


def test_openvino_runs_on_the_cpu_only() -> None:
    with pytest.raises(SettingsError, match="openvino, which runs on the CPU here: PIXELSERVE_DEVICE=cpu"):
        choose(small(), torch.device("cuda"), "openvino", "auto")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_type_that_really_runs_is_told(dtype: str) -> None:
    """Whatever the CPU can do: what is told to be bfloat16 rounds, what is told to be float32 does not."""
    network, _ = load_network(EMBEDDED_FILES[0])
    running, probe = choose(network, CPU, "openvino", dtype), natural_probe()
    with torch.inference_mode():
        is_exact = psnr(running.network(probe), network(probe)) > 80
    assert running.choice == Choice("openvino", "float32" if is_exact else "bfloat16")
    assert is_exact or dtype == "bfloat16"


def test_openvino_tells_nobody_of_what_it_does() -> None:
    code = """
import sys
from pixelserve.models.intel import import_openvino
import_openvino().convert_model
sys.exit(any(name.startswith("openvino_telemetry.") for name in sys.modules))
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_signal_does_not_end_a_process_whose_last_network_another_thread_dropped() -> None:
    """OpenVINO gives the thread a stack for signal handlers; with this malloc setting freed memory is gone at once."""
    code = (
        "import os, signal, threading\n"
        "from pixelserve.models.runtimes import Choice, run_by\n"
        "from pixelserve.models.srvgg import SRVGGNetCompact\n"
        "networks = [run_by(SRVGGNetCompact(num_feat=8, num_conv=1).eval(), Choice('openvino', 'float32'))]\n"
        "other = threading.Thread(target=networks.clear)\n"
        "other.start()\n"
        "other.join()\n"
        "signal.signal(signal.SIGUSR1, lambda *_: print('handled'))\n"
        "os.kill(os.getpid(), signal.SIGUSR1)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "4096"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "handled\n")
