"""What is read from a checkpoint's tensors, and that no code of one runs; `test_layouts` has how they are wrapped."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from pixelserve.errors import CheckpointError
from pixelserve.models.networks import load_network
from pixelserve.models.rrdbnet import RRDBNet
from pixelserve.models.srvgg import SRVGGNetCompact


def small_srvgg(scale: int = 4) -> SRVGGNetCompact:
    torch.manual_seed(1)
    return SRVGGNetCompact(num_feat=8, num_conv=3, upscale=scale)


def small_rrdb(scale: int = 4) -> RRDBNet:
    torch.manual_seed(2)
    return RRDBNet(scale=scale, num_feat=8, num_block=2, num_grow_ch=4)


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
    with pytest.raises(CheckpointError, match=r"Python objects \(posix\.mkdir\), which are code"):
        load_network(tmp_path / "evil.pth")
    (tmp_path / "evil2.pth").write_bytes(pickle.dumps(_Evil(trace), protocol=2))
    with pytest.raises(CheckpointError):
        load_network(tmp_path / "evil2.pth")
    assert not trace.exists()
