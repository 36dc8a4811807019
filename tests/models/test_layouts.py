"""One table of what lies in model folders: each is served as the real class gives it, or refused with its message."""

from __future__ import annotations

import io
import re
import tarfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bordered import reference, rounded
from drawing import picture
from numpy.typing import NDArray
from PIL import Image as Pillow
from safetensors.torch import save, save_file
from torch import Tensor, nn

from pixelserve.errors import CheckpointError
from pixelserve.imaging import Image
from pixelserve.models import Embedder, Segmenter, Upscaler
from pixelserve.models.folders import find_networks
from pixelserve.settings import Settings

State = dict[str, Tensor]
Write = Callable[[Path, State], object]
PICTURE = picture(28, 33)
SETTINGS = Settings(runtime="torch", dtype="float32")
EDGE = 12
"""Pixels along the edge where Pillow, which sees no border, resamples otherwise."""


@dataclass(frozen=True)
class Network:
    """A network of the real class with contrast in what it gives."""

    name: str
    scale: int
    channels: int = 3

    @property
    def multiple(self) -> int:
        """Of its input's edges: RRDBNet unshuffles for scales below 4."""
        return 4 // self.scale if self.name == "RRDBNet" else 1

    def make(self, basicsr: dict[str, type[nn.Module]]) -> nn.Module:
        torch.manual_seed(7)
        ends = {"num_in_ch": self.channels, "num_out_ch": self.channels, "num_feat": 8}
        if self.name == "SRVGGNetCompact":
            return basicsr[self.name](**ends, num_conv=3, upscale=self.scale)
        network = basicsr[self.name](**ends, scale=self.scale, num_block=2, num_grow_ch=4)
        with torch.no_grad():
            network.conv_last.weight *= 4
            network.conv_last.bias += 0.5
        return network


SRVGG, SRVGG_X1, SRVGG_X2, SRVGG_X3, SRVGG_X8 = (Network("SRVGGNetCompact", scale) for scale in (4, 1, 2, 3, 8))
RRDB, RRDB_X1, RRDB_X2 = (Network("RRDBNet", scale) for scale in (4, 1, 2))


def pth(wrap: Callable[[State], object], name: str = "net.pth", **options: Any) -> Write:
    """A file of `torch.save`."""
    return lambda folder, state: torch.save(wrap(state), folder / name, **options)


def same(state: State) -> State:
    return state


def under(*names: str) -> Callable[[State], object]:
    """Envelopes around the tensors, the outermost first."""

    def wrap(state: State) -> object:
        wrapped: object = state
        for name in reversed(names):
            wrapped = {name: wrapped, "epoch": 3}
        return wrapped

    return wrap


def prefixed(prefix: str) -> Callable[[State], State]:
    return lambda state: {prefix + name: tensor for name, tensor in state.items()}


def blank(state: State) -> State:
    return {name: torch.zeros_like(tensor) for name, tensor in state.items()}


def without(name: str) -> Callable[[State], State]:
    return lambda state: {key: tensor for key, tensor in state.items() if key != name}


def oldest(state: State) -> State:
    """As ESRGAN's first code called RRDBNet's tensors: a Sequential of a Sequential."""
    places = {"conv_first": "model.0", "conv_body": "model.1.sub.2", "conv_up1": "model.3", "conv_up2": "model.6",
              "conv_hr": "model.8", "conv_last": "model.10"}  # fmt: skip
    renamed = {}
    for name, tensor in state.items():
        first, *middle, last = name.split(".")
        if first == "body":
            block, dense, convolution = middle
            renamed[f"model.1.sub.{block}.{dense.upper()}.{convolution}.0.{last}"] = tensor
        else:
            renamed[f"{places[first]}.{last}"] = tensor
    return renamed


def older(state: State) -> State:
    """As ESRGAN's code of 2019 called them."""
    names = {"body": "RRDB_trunk", "conv_body": "trunk_conv", "conv_up1": "upconv1", "conv_up2": "upconv2",
             "conv_hr": "HRconv"}  # fmt: skip
    parts = (name.split(".") for name in state)
    renamed = (".".join([names.get(first, first), *rest]).replace("rdb", "RDB") for first, *rest in parts)
    return dict(zip(renamed, state.values(), strict=True))


def stored(state: State) -> bytes:
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


def stored_of_old(state: State) -> bytes:
    file = io.BytesIO()
    torch.save(state, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def torchscript(path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):  # torch calls it deprecated
        torch.jit.save(torch.jit.script(nn.Conv2d(3, 3, 3)), path)


def raw(name: str, content: bytes | Callable[[State], bytes]) -> Write:
    """A file of these bytes."""

    def write(folder: Path, state: State) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content(state))

    return write


def both(*writes: Write) -> Write:
    return lambda folder, state: [write(folder, state) for write in writes]


LOADED: dict[str, tuple[Network, Write]] = {
    "bare": (SRVGG, pth(same)),
    "params": (SRVGG, pth(under("params"))),
    "params_ema": (SRVGG, pth(under("params_ema"))),
    "params_ema before params": (SRVGG, pth(lambda state: {"params": blank(state), "params_ema": state})),
    "params_ema is None": (SRVGG, pth(lambda state: {"params_ema": None, "params": state})),
    "state_dict": (SRVGG, pth(under("state_dict"))),
    "model": (SRVGG, pth(under("model"))),
    "model_state_dict": (SRVGG, pth(under("model_state_dict"))),
    "generator": (SRVGG, pth(under("generator"))),
    "netG": (SRVGG, pth(under("netG"))),
    "model in state_dict": (RRDB, pth(under("state_dict", "params"))),
    "prefix module": (SRVGG, pth(prefixed("module."))),
    "prefix params": (SRVGG, pth(prefixed("params."))),
    "prefix generator, a discriminator beside": (
        RRDB, pth(lambda state: prefixed("generator.")(state) | {"discriminator.conv0.weight": torch.zeros(4, 3, 3, 3)})
    ),
    "the averaged generator beside the other": (
        SRVGG, pth(lambda state: prefixed("generator.")(blank(state)) | prefixed("generator_ema.")(state))
    ),
    "a training step's .ckpt": (SRVGG, pth(lambda state: {"state_dict": prefixed("netG.")(state)}, "last.ckpt")),
    ".pt": (SRVGG, pth(same, "net.pt")),
    "upper case": (SRVGG, pth(same, "NET.PTH")),
    "torch of 2019": (SRVGG, pth(same, _use_new_zipfile_serialization=False)),
    "parameters, not tensors": (
        SRVGG, pth(lambda state: {name: nn.Parameter(tensor) for name, tensor in state.items()})
    ),
    "safetensors": (SRVGG, lambda folder, state: save_file(state, folder / "net.safetensors")),
    "in double": (SRVGG, pth(lambda state: {name: tensor.double() for name, tensor in state.items()})),
    "RRDBNet": (RRDB, pth(under("params_ema"))),
    "RRDBNet x2, which unshuffles": (RRDB_X2, pth(under("params_ema"))),
    "RRDBNet x1, which unshuffles": (RRDB_X1, pth(under("params_ema"))),
    "ESRGAN of 2018": (RRDB, pth(oldest)),
    "ESRGAN of 2019": (RRDB, pth(older)),
    "ESRGAN of 2018, wrapped": (RRDB, pth(lambda state: {"state_dict": prefixed("module.")(oldest(state))})),
    "ESRGAN of 2019, wrapped": (RRDB, pth(lambda state: {"generator": prefixed("module.")(older(state))})),
    "a name that begins as a note's": (SRVGG, pth(same, "license_plates.pth")),
    "x1": (SRVGG_X1, pth(same)),
    "x2": (SRVGG_X2, pth(same)),
    "x3": (SRVGG_X3, pth(same)),
    "code and notes beside": (
        SRVGG, both(pth(same), raw("README.md", b"#"), raw("code/inference.py", b"1"), raw("LICENSE", b"MIT"))
    ),
}  # fmt: skip

HTML = b"\n<!DOCTYPE html><html><head><title>Not found"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4fa0d3\nsize 67040989\n"
REFUSED: dict[str, tuple[Network, Write, str]] = {
    "two networks": (
        SRVGG, pth(lambda state: prefixed("netG_A.")(state) | prefixed("netG_B.")(state)),
        r"holds more than one network, netG_A\. and netG_B\."
    ),
    "in a sub-folder": (SRVGG, raw("weights/net.pth", stored), r"can be used here: weights/net\.pth"),
    "beside the code": (SRVGG, raw("code/net.pth", stored), r"can be used here: code/net\.pth"),
    "in a folder that is linked": (
        SRVGG, both(raw("../other/net.pth", stored), lambda folder, _: (folder / "w").symlink_to(folder / "../other")),
        r"can be used here: w\."
    ),
    "a link to nothing": (
        SRVGG, lambda folder, _: (folder / "net.pth").symlink_to("gone"), r"net\.pth cannot be read: No such file"
    ),
    "ONNX": (SRVGG, raw("net.onnx", b"1"), r"can be used here: net\.onnx"),
    "an archive": (SRVGG, raw("model.tar.gz", b"1"), r"can be used here: model\.tar\.gz"),
    ".bin": (SRVGG, raw("net.bin", b"1"), r"can be used here: net\.bin"),
    "a text": (SRVGG, raw("net.pth.txt", b"1"), r"can be used here: net\.pth\.txt"),
    "many": (
        SRVGG, lambda folder, _: [(folder / f"{n}.h5").touch() for n in range(7)],
        r"0\.h5, 1\.h5, 2\.h5, 3\.h5, 4\.h5 and 2 more.*\.pth, \.pt, \.ckpt, \.safetensors"
    ),
    "another one in a sub-folder": (
        SRVGG, both(pth(same), raw("old/net.ckpt", b"1")), r"weights that would not be used: old/net\.ckpt"
    ),
    "two of one scale": (
        SRVGG, both(pth(same), pth(same, "two.pth")), r"two\.pth, which enlarges 4 times, .* beside net\.pth"
    ),
    "x8": (SRVGG_X8, pth(same), r"net\.pth enlarges 8 times; networks of scale 1, 2, 3, 4"),
    "ESRGAN of 2018, x8": (
        RRDB, pth(lambda state: oldest(state) | {"model.13.weight": torch.zeros(1)}), "ESRGAN with 3 upsampling layers"
    ),
    "a tensor missing": (RRDB, pth(without("body.1.rdb2.conv3.bias")), r"net\.pth lacks body\.1\.rdb2\.conv3\.bias"),
    "the last layer missing": (SRVGG, pth(without("body.8.weight")), r"net\.pth lacks body\.8\.weight"),
    "a layer missing": (SRVGG, pth(without("body.5.weight")), r"net\.pth lacks body\.5\.weight"),
    "a layer of a high number": (
        SRVGG, pth(lambda state: state | {"body.2000000000.weight": torch.zeros(1)}), r"net\.pth lacks body\.9\.weight"
    ),
    "wide layers that are not there": (
        SRVGG, pth(lambda state: state | {"body.0.weight": torch.zeros(1).expand(200_000, 3, 3, 3)}),
        r"net\.pth has .* bytes of numbers, but tensors of 21,6"
    ),
    "wider layers than the others": (
        SRVGG, pth(lambda state: state | {"body.0.weight": torch.zeros(100_000, 3, 3, 3)}),
        r"body\.0\.bias in the shape \(8,\), where \(100000,\) is wanted"
    ),
    **{
        f"ESRGAN of 2018 with {name}": (
            RRDB, pth(lambda state, name=name: oldest(state) | {name: torch.zeros(1)}),
            rf"has {name}, for which RRDBNet has no place"
        )
        for name in ("model", "model.1", "model.1.sub", "model.1.sub.0", "other.weight", "model.99")
    },
    "activations without weights": (
        SRVGG, pth(lambda state: {name: x for name, x in state.items() if x.ndim == 4}), "holds no network known here"
    ),
    "a tensor of another shape": (
        RRDB, pth(lambda state: state | {"conv_hr.bias": torch.zeros(3)}),
        r"conv_hr\.bias in the shape \(3,\), where \(8,\) is wanted"
    ),
    "a tensor too many": (
        RRDB, pth(lambda state: state | {"conv_up3.weight": torch.zeros(8, 8, 3, 3)}),
        r"has conv_up3\.weight, for which RRDBNet has no place"
    ),
    "one channel": (
        Network("SRVGGNetCompact", 2, 1), pth(same), "SRVGGNetCompact of 1 channels in .* not of RGB"
    ),
    "one channel, RRDBNet": (Network("RRDBNet", 4, 1), pth(same), "RRDBNet of 1 channels in and 1 out, not of RGB"),
    "another network": (
        SRVGG, pth(lambda _: {"features.0.weight": torch.zeros(3)}),
        r"holds no network known here \(it begins with features\.0\.weight\)"
    ),
    "no tensors": (SRVGG, pth(lambda _: {"epoch": 3, "step": 1}), r"no state dict \(but epoch, step\)"),
    "a list": (SRVGG, pth(lambda _: [1, 2]), r"no state dict \(but list\)"),
    "an empty dict": (SRVGG, pth(lambda _: {}), r"no state dict \(but dict\)"),
    "NaN": (
        SRVGG, pth(lambda state: state | {"body.4.bias": torch.full((8,), torch.nan)}), r"gives NaN .* damaged"
    ),
    "infinity": (
        RRDB, pth(lambda state: state | {"conv_last.bias": torch.full((3,), torch.inf)}), r"infinity .* damaged"
    ),
    "Git LFS": (SRVGG, raw("net.pth", POINTER), r"net\.pth is a Git LFS pointer.*git lfs pull"),
    "Git LFS, safetensors": (SRVGG, raw("net.safetensors", POINTER), "is a Git LFS pointer"),
    "a web page": (SRVGG, raw("net.pth", HTML), r"net\.pth is a web page"),
    "an error of S3": (SRVGG, raw("net.pth", b"<?xml version='1.0'?><Error>"), "is a web page"),
    "nothing": (SRVGG, raw("net.pth", b""), r"net\.pth is empty"),
    "half of it": (SRVGG, raw("net.pth", lambda state: stored(state)[:9000]), r"ends early, after 9,000 bytes"),
    "half of it, torch of 2019": (
        SRVGG, raw("net.pth", lambda state: stored_of_old(state)[:-900]), "ends early, after"
    ),
    "half of it, safetensors": (
        SRVGG, raw("net.safetensors", lambda state: save(state)[:-1]), "ends early, after"
    ),
    "half of its header": (SRVGG, raw("net.safetensors", lambda state: save(state)[:100]), "ends early, after 100"),
    "a download under way": (SRVGG, raw("net.pth.part", b"1"), r"can be used here: net\.pth\.part"),
    "a pickled network": (
        SRVGG, lambda folder, _: torch.save(nn.Conv2d(3, 3, 3), folder / "net.pth"),
        r"Python objects \(torch\.nn\.modules\.conv\.Conv2d\), which are code"
    ),
    "TorchScript": (
        SRVGG, lambda folder, _: torchscript(folder / "net.pt"),
        r"net\.pt is TorchScript, which is code"
    ),
    "other bytes": (SRVGG, raw("net.pth", b"\xff" * 100), "cannot be read as weights: it is damaged"),
    "other bytes, safetensors": (SRVGG, raw("net.safetensors", b"\xff" * 100), "cannot be read as weights"),
}  # fmt: skip


@pytest.mark.parametrize("layout", LOADED)
def test_what_is_loaded_gives_what_the_real_class_gives(
    basicsr: dict[str, type[nn.Module]], layout: str, tmp_path: Path
) -> None:
    network, write = LOADED[layout]
    real = network.make(basicsr)
    write(tmp_path, real.state_dict())
    upscaler = Upscaler.load(str(tmp_path), SETTINGS)
    own = reference(real, PICTURE, network.scale, network.multiple)
    assert own.std() > 5
    for factor in (2, 4):
        image = Image(PICTURE)
        found, about = upscaler.upscale(image, factor).pixels, upscaler.describe(image, upscaler.plan(image, factor))
        size = f"width={33 * factor};height={28 * factor};"
        if network.scale == factor:
            assert about.startswith(f"{size}network=x{factor};weights=")
            assert np.abs(found - rounded(own)).max() <= 1
        elif (network.scale, factor) == (2, 4):
            assert about.startswith(f"{size}network=x2;runs=2;weights=")
            assert (
                np.abs(found - rounded(reference(nn.Sequential(real, real), PICTURE, 4, network.multiple))).max() <= 1
            )
        else:
            assert about.startswith(f"{size}network=x{network.scale};resampled=x{factor};weights=")
            inner = np.abs(found - _brought_to(own, factor))[EDGE:-EDGE, EDGE:-EDGE]
            assert inner.max() <= 1


def _brought_to(own: NDArray[Any], factor: int) -> NDArray[Any]:
    """By Pillow: averages to halve, else antialiased bicubic interpolation, each plane in float."""
    size = (PICTURE.shape[1] * factor, PICTURE.shape[0] * factor)
    method = Pillow.Resampling.BOX if own.shape[1] == 2 * size[0] else Pillow.Resampling.BICUBIC
    planes = [Pillow.fromarray(own[..., channel]).resize(size, method) for channel in range(3)]
    return rounded(np.stack([np.asarray(plane) for plane in planes], axis=2))


@pytest.mark.parametrize("layout", REFUSED)
def test_what_is_not_loaded_is_refused_by_name(
    basicsr: dict[str, type[nn.Module]], layout: str, tmp_path: Path
) -> None:
    network, write, message = REFUSED[layout]
    write(tmp_path, network.make(basicsr).state_dict())
    with pytest.raises(CheckpointError) as caught:
        Upscaler.load(str(tmp_path), SETTINGS)
    assert re.search(message, caught.value.message), caught.value.message
    assert "\n" not in caught.value.message


def test_notes_and_an_unpacked_archive_are_no_weights(tmp_path: Path) -> None:
    """As the SageMaker SDK's local mode leaves a folder."""
    for name in ("notes.md", "config.yaml", "Labels.TXT"):
        (tmp_path / name).write_text("x")
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "notes.md", "./notes.md")
    assert find_networks(str(tmp_path), (".pth",)) == []
    (tmp_path / "notes.md").unlink()
    with pytest.raises(CheckpointError, match=r"can be used here: model\.tar\.gz"):
        find_networks(str(tmp_path), (".pth",))


def test_a_network_of_each_factor_is_used(basicsr: dict[str, type[nn.Module]], tmp_path: Path) -> None:
    for network in (SRVGG_X2, RRDB):
        torch.save(network.make(basicsr).state_dict(), tmp_path / f"x{network.scale}.pth")
    upscaler = Upscaler.load(str(tmp_path), SETTINGS)
    for network in (SRVGG_X2, RRDB):
        expected = rounded(reference(network.make(basicsr), PICTURE, network.scale))
        assert np.abs(upscaler.upscale(Image(PICTURE), network.scale).pixels - expected).max() <= 1


@pytest.mark.parametrize("feature", [Segmenter, Embedder])
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("net/u2netp.onnx", b"1", r"can be used here: net/u2netp\.onnx"),
        ("u2netp.ckpt", b"1", r"can be used here: u2netp\.ckpt"),
        ("u2netp.json", b"{}", r"can be used here: u2netp\.json"),
        ("u2netp.onnx", POINTER, r"u2netp\.onnx is a Git LFS pointer"),
        ("u2netp.onnx", HTML, r"u2netp\.onnx is a web page"),
        ("u2netp.onnx", b"", r"u2netp\.onnx is empty"),
        ("U2NETP.ONNX", b"1", r"no descriptor U2NETP\.json beside U2NETP\.ONNX"),
    ],
)
def test_other_features_refuse_by_name_too(
    feature: type[Segmenter | Embedder], name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    raw(name, content)(tmp_path, {})
    with pytest.raises(CheckpointError, match=message):
        feature.load(str(tmp_path), SETTINGS)


def test_segmentation_refuses_what_only_similarity_takes(tmp_path: Path) -> None:
    (tmp_path / "resnet18-f37072fd.pth").write_bytes(HTML)
    with pytest.raises(CheckpointError, match=r"can be used here: resnet18-f37072fd\.pth"):
        Segmenter.load(str(tmp_path), SETTINGS)
    with pytest.raises(CheckpointError, match=r"resnet18-f37072fd\.pth is a web page"):
        Embedder.load(str(tmp_path), SETTINGS)
