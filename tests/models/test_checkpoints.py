"""Files of BasicSR and Real-ESRGAN load, whatever wraps their tensors; files that do not fit say why."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pixelserve.errors import CheckpointError
from pixelserve.models.checkpoints import read_state_dict
from pixelserve.models.networks import load_network
from pixelserve.models.rrdbnet import RRDBNet
from pixelserve.models.srvgg import SRVGGNetCompact


def small_srvgg(scale: int = 4) -> SRVGGNetCompact:
    torch.manual_seed(1)
    return SRVGGNetCompact(num_feat=8, num_conv=3, upscale=scale)


def small_rrdb(scale: int = 4) -> RRDBNet:
    torch.manual_seed(2)
    return RRDBNet(scale=scale, num_feat=8, num_block=2, num_grow_ch=4)


WRAPPERS: dict[str, Callable[[dict[str, Tensor]], object]] = {
    "bare": lambda state: state,
    "params": lambda state: {"params": state},
    "params_ema": lambda state: {"params_ema": state},
    "params_ema first": lambda state: {
        "params": {name: value * 0 for name, value in state.items()},
        "params_ema": state,
    },
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("make", [small_srvgg, small_rrdb])
def test_each_wrapping_of_a_pth_file_gives_the_same_network(
    make: Callable[[], nn.Module], wrapper: str, tmp_path: Path
) -> None:
    network, path = make(), tmp_path / "weights.pth"
    torch.save(WRAPPERS[wrapper](network.state_dict()), path)
    loaded, _ = load_network(path)
    assert _same(loaded, network)


@pytest.mark.parametrize("make", [small_srvgg, small_rrdb])
def test_safetensors_give_the_same_network(make: Callable[[], nn.Module], tmp_path: Path) -> None:
    network, path = make(), tmp_path / "weights.safetensors"
    save_file(network.state_dict(), path)
    loaded, _ = load_network(path)
    assert _same(loaded, network)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_srvgg_is_read_from_its_tensors(scale: int, tmp_path: Path) -> None:
    torch.save(small_srvgg(scale).state_dict(), tmp_path / "w.pth")
    _, info = load_network(tmp_path / "w.pth")
    assert (info.architecture, info.scale, info.reach, info.multiple) == ("SRVGGNetCompact", scale, 5, 1)


@pytest.mark.parametrize(("scale", "multiple"), [(1, 4), (2, 2), (4, 1)])
def test_rrdbnet_is_read_from_its_tensors(scale: int, multiple: int, tmp_path: Path) -> None:
    torch.save(small_rrdb(scale).state_dict(), tmp_path / "w.pth")
    _, info = load_network(tmp_path / "w.pth")
    assert (info.architecture, info.scale, info.multiple) == ("RRDBNet", scale, multiple)
    assert info.reach == (15 * 2 + 4) * multiple


@pytest.mark.parametrize("make", [small_srvgg, small_rrdb, lambda: small_rrdb(2)])
def test_the_reach_is_what_an_output_depends_on(make: Callable[[], nn.Module], tmp_path: Path) -> None:
    """A changed input pixel changes nothing beyond the reach."""
    torch.save(make().state_dict(), tmp_path / "w.pth")
    network, info = load_network(tmp_path / "w.pth")
    edge = 2 * info.reach + 9 + (2 * info.reach + 9) % 4
    plain = torch.full((1, 3, edge, edge), 0.5, dtype=torch.float64)
    network.double()
    dotted = plain.clone()
    dotted[:, :, edge // 2, edge // 2] = 1
    with torch.inference_mode():
        changed = (network(dotted) - network(plain)).abs().sum(dim=(0, 1)) > 0
    rows = torch.nonzero(changed.any(dim=1)).flatten() // info.scale - edge // 2
    assert 0 < rows.abs().max() <= info.reach


def test_weights_in_half_precision_are_read_as_float32(tmp_path: Path) -> None:
    torch.save(small_srvgg().half().state_dict(), tmp_path / "w.pth")
    loaded, _ = load_network(tmp_path / "w.pth")
    assert {value.dtype for value in loaded.state_dict().values()} == {torch.float32}


class _Evil:
    """Runs a command when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_a_pth_file_runs_no_code(tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    torch.save({"params": _Evil(trace)}, tmp_path / "evil.pth", pickle_protocol=2)
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        load_network(tmp_path / "evil.pth")
    (tmp_path / "evil2.pth").write_bytes(pickle.dumps(_Evil(trace), protocol=2))
    with pytest.raises(CheckpointError):
        load_network(tmp_path / "evil2.pth")
    assert not trace.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "no state dict"),
        ([1, 2], "no state dict"),
        ({"params": 3}, "no state dict"),
        ({"features.0.weight": torch.zeros(3)}, "no network known here .it begins with features.0.weight"),
        ({"conv_first.weight": torch.zeros(8, 5, 3, 3)}, "no network known here"),
    ],
)
def test_files_of_other_content_are_refused(content: object, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=message):
        load_network(tmp_path / "other.pth")


def test_a_network_with_a_tensor_missing_or_of_another_shape_is_refused(tmp_path: Path) -> None:
    state = small_rrdb().state_dict()
    torch.save({name: value for name, value in state.items() if name != "conv_hr.bias"}, tmp_path / "short.pth")
    torch.save(state | {"conv_hr.bias": torch.zeros(3)}, tmp_path / "shape.pth")
    for name in ("short.pth", "shape.pth"):
        with pytest.raises(CheckpointError, match=name):
            load_network(tmp_path / name)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"\xff" * 100])
def test_broken_files_are_refused(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        read_state_dict(path)


def _same(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
