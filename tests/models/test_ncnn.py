"""Pairs of ncnn's files give what the .pth files of the same weights give, and what ncnn itself makes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ncnn
import numpy as np
import pytest
import torch
from drawing import picture
from ncnn_files import Writer, rrdbnet, srvgg
from numpy.typing import NDArray
from torch import Tensor, nn

from pixelserve.errors import CheckpointError
from pixelserve.imaging import Image, resize
from pixelserve.models import Upscaler
from pixelserve.models.networks import load_network
from pixelserve.models.rrdbnet import RRDBNet
from pixelserve.models.srvgg import SRVGGNetCompact
from pixelserve.settings import Settings

State = dict[str, Tensor]
SETTINGS = Settings(runtime="torch", dtype="float32")


def make(kind: str) -> nn.Module:
    """A network whose weights fp16 holds exactly."""
    torch.manual_seed(3)
    network = (
        RRDBNet(num_feat=8, num_block=2, num_grow_ch=4)
        if kind == "RRDBNet"
        else SRVGGNetCompact(num_feat=6, num_conv=3, upscale=int(kind[-1]))
    )
    network.load_state_dict({name: tensor.half().float() for name, tensor in network.state_dict().items()})
    return network.eval()


WRITTEN: dict[str, tuple[str, Callable[[State], Writer]]] = {
    "SRVGGNetCompact x4, fp16": ("SRVGG x4", srvgg),
    "SRVGGNetCompact x4, fp32": ("SRVGG x4", lambda state: srvgg(state, half=False)),
    "SRVGGNetCompact x2": ("SRVGG x2", srvgg),
    "SRVGGNetCompact x1": ("SRVGG x1", srvgg),
    "RRDBNet, fp16": ("RRDBNet", rrdbnet),
    "RRDBNet, fp32": ("RRDBNet", lambda state: rrdbnet(state, half=False)),
    "RRDBNet, activations apart": ("RRDBNet", lambda state: rrdbnet(state, fused=False)),
}


def by_ncnn(folder: Path, name: str, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """What ncnn makes of (3, H, W), in float32."""
    x = np.ascontiguousarray(x)
    net = ncnn.Net()
    for option in ("use_fp16_arithmetic", "use_fp16_storage", "use_fp16_packed", "use_bf16_storage"):
        setattr(net.opt, option, False)
    assert net.load_param(str(folder / f"{name}.param")) == net.load_model(str(folder / f"{name}.bin")) == 0
    extractor = net.create_extractor()
    extractor.input("data", ncnn.Mat(x).clone())
    return np.array(extractor.extract("output")[1])


@pytest.mark.parametrize("written", WRITTEN)
def test_a_pair_is_the_network_of_the_pth_file_and_what_ncnn_runs(written: str, tmp_path: Path) -> None:
    kind, write = WRITTEN[written]
    network = make(kind)
    write(network.state_dict()).save(tmp_path)
    torch.save(network.state_dict(), tmp_path / "net.pth")
    loaded, info = load_network(tmp_path / "net.param")
    from_pth, info_of_pth = load_network(tmp_path / "net.pth")
    assert info == info_of_pth
    assert all(torch.equal(tensor, from_pth.state_dict()[name]) for name, tensor in loaded.state_dict().items())
    x = torch.rand(3, 12, 9)
    with torch.inference_mode():
        assert np.allclose(loaded(x[None])[0], by_ncnn(tmp_path, "net", x.numpy()), atol=1e-4)


def test_a_folder_with_a_pair_serves_like_one_with_the_pth_file(tmp_path: Path) -> None:
    state, image = make("SRVGG x4").state_dict(), Image(picture(28, 33))
    for name in ("pair", "pth"):
        (tmp_path / name).mkdir()
    srvgg(state).save(tmp_path / "pair")
    torch.save(state, tmp_path / "pth" / "net.pth")
    pair, pth = (Upscaler.load(str(tmp_path / name), SETTINGS) for name in ("pair", "pth"))
    for factor in (2, 4):
        assert np.array_equal(pair.upscale(image, factor).pixels, pth.upscale(image, factor).pixels)


def replaced(old: str, new: str, count: int = -1) -> Callable[[Writer], None]:
    """A change of the .param file's lines, of which at least one must have `old`."""

    def change(writer: Writer) -> None:
        text = "\n".join(writer.lines)
        assert old in text
        writer.lines = text.replace(old, new, count).splitlines()

    return change


def shortened(writer: Writer) -> None:
    writer.data = writer.data[:-4]


def lengthened(writer: Writer) -> None:
    writer.data += b"\0" * 4


def shrunk(writer: Writer) -> None:
    writer.add("Interp", ["output"], "0=3", "1=0.5", "2=0.5")


def exploding(writer: Writer) -> None:
    for _ in range(60):
        writer.add("Concat", [writer.last] * 8)


def shuffled_by_too_much(writer: Writer) -> None:
    writer.lines[-3] = writer.lines[-3].replace("0=4", "0=1e30")


def without_the_last(writer: Writer) -> None:
    writer.lines.pop()
    writer.data = writer.data[:-448]


def as_int8(writer: Writer) -> None:
    writer.data = bytes.fromhex("384b0d00") + writer.data[4:]


REFUSED: dict[str, tuple[str, Callable[[Writer], None], str]] = {
    "another layer": ("RRDBNet", replaced("ReLU", "Swish", 1), r"has ReLU_3 \(Swish\) in it"),
    "another convolution": (
        "SRVGG x4", replaced("Convolution ", "ConvolutionDepthWise ", 1),
        r"has Convolution_1 \(ConvolutionDepthWise\) in it"
    ),
    "another kernel": ("SRVGG x4", replaced("1=3", "1=5", 1), r"Convolution_1 \(Convolution\) other than 3x3"),
    **{
        f"another convolution by {field}": (
            "SRVGG x4", replaced("1=3", f"1=3 {field}", 1),
            rf"Convolution_1 \(Convolution\) with field {field.partition('=')[0]} of {field.partition('=')[2]}, where"
        )
        for field in ("2=2", "3=2", "7=3", "8=1", "11=1", "12=2", "13=2", "14=0", "15=2", "16=0", "18=0.5", "19=1")
    },
    "no padding": ("SRVGG x4", replaced("4=1", "4=0", 1), r"Convolution_1 \(Convolution\) with field 4 of 0, where 1"),
    "padding left out": ("SRVGG x4", replaced(" 4=1", "", 1), r"Convolution_1 \(Convolution\) without padding"),
    "a field of tomorrow": ("SRVGG x4", replaced("1=3", "1=3 20=0", 1), r"with field 20, which is not read here"),
    "corners aligned": ("SRVGG x4", replaced("2=4", "2=4 6=1", 1), r"\(Interp\) with field 6 of 1, where 0 is read"),
    "rows joined": ("RRDBNet", replaced("Concat_3 2 1 blob1 blob2 blob3", "Concat_3 2 1 blob1 blob2 blob3 0=1", 1),
                    r"\(Concat\) with field 0 of 1"),
    "a third coefficient": (
        "RRDBNet", replaced("-23301=2,", "-23301=3,1.0,", 1), "in a way that does not run: zip"
    ),
    "a convolution of two": (
        "SRVGG x4", replaced("Convolution_3 1 1 ", "Convolution_3 2 1 data ", 1), "in a way that does not run: too many"
    ),
    "infinitely many": ("SRVGG x4", replaced("0=6", "0=inf", 1), "is no .param file of ncnn"),
    "a shuffle by too much": ("SRVGG x4", shuffled_by_too_much, "in a way that does not run"),
    "more than memory holds": ("SRVGG x4", exploding, r"\(Concat\) behind layers that give more than either"),
    "another slope": ("RRDBNet", replaced("2.000000e-01", "1.000000e-01", 1), "is no RRDBNet: its layers give"),
    "layers joined otherwise": ("SRVGG x4", replaced("1 1 data", "1 1 gone", 1), "in a way that does not run: 'gone'"),
    "a result that is shrunk": (
        "SRVGG x4", shrunk,
        r"Interp_13 \(Interp\) other than nearest.* take that",
    ),
    "one convolution less": (
        "RRDBNet", without_the_last,
        "holds 35 convolutions, which are no RRDBNet's",
    ),
    "a .bin cut off": ("SRVGG x4", shortened, "for Convolution_9, but net.bin ends after"),
    "a .bin too long": ("SRVGG x4", lengthened, "but net.bin has"),
    "int8": ("SRVGG x4", as_int8, r"Convolution_1 in another form than fp16 and fp32 \(mark 0x000d4b38\)"),
    "no text of ncnn": ("SRVGG x4", replaced("0=6", "0=six", 1), "is no .param file of ncnn"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_anything_else_is_refused_by_name(case: str, tmp_path: Path) -> None:
    kind, change, message = REFUSED[case]
    write = srvgg if kind.startswith("SRVGG") else lambda state: rrdbnet(state, fused="layer" not in case)
    writer = write(make(kind).state_dict())
    change(writer)
    writer.save(tmp_path)
    with pytest.raises(CheckpointError, match=message):
        Upscaler.load(str(tmp_path), SETTINGS)


@pytest.mark.parametrize(
    ("suffix", "content", "message"),
    [
        (".bin", None, "net.param needs net.bin beside it"),
        (".param", None, "can be used here: net.bin"),
        (".bin", b"version https://git-lfs.github.com/spec/v1\n", "net.bin is a Git LFS pointer"),
        (".param", b"\xff\x00", "is no .param file of ncnn"),
    ],
)
def test_half_a_pair_is_refused(suffix: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    srvgg(make("SRVGG x4").state_dict()).save(tmp_path)
    half = tmp_path / f"net{suffix}"
    half.write_bytes(content) if content else half.unlink()
    with pytest.raises(CheckpointError, match=message):
        Upscaler.load(str(tmp_path), SETTINGS)


@pytest.mark.parametrize(
    ("name", "architecture", "parameters"),
    [
        ("realesr-animevideov3-x4", "SRVGGNetCompact", 621_424),
        ("realesrgan-x4plus-anime", "RRDBNet", 4_467_779),
        ("realesrgan-x4plus", "RRDBNet", 16_697_987),
    ],
)
def test_real_esrgans_files_give_what_ncnn_gives(
    real_files: Path, name: str, architecture: str, parameters: int
) -> None:
    network, info = load_network(real_files / f"{name}.param")
    assert (info.architecture, info.scale) == (architecture, 4)
    assert sum(tensor.numel() for tensor in network.parameters()) == parameters
    x = resize(picture(32, 48), 12, 8).transpose(2, 0, 1) / np.float32(255)
    with torch.inference_mode():
        given = network(torch.from_numpy(x)[None])[0].numpy()
    assert np.abs(given - by_ncnn(real_files, name, x)).max() < 1e-3


def test_real_esrgans_files_are_served(real_files: Path, tmp_path: Path) -> None:
    for suffix in (".param", ".bin"):
        (tmp_path / f"anime{suffix}").symlink_to(real_files / f"realesr-animevideov3-x4{suffix}")
    upscaler, large = Upscaler.load(str(tmp_path), SETTINGS), picture(128, 192)
    enlarged = upscaler.upscale(Image(resize(large, 48, 32)), 4).pixels
    assert np.abs(enlarged.astype(int) - large).mean() < np.abs(large.astype(int) - large.mean()).mean() / 2


def test_a_shrunk_variant_names_the_file_to_take(real_files: Path) -> None:
    with pytest.raises(CheckpointError, match=r"Resize_40 \(Interp\).*are its -x4, shrunk"):
        load_network(real_files / "realesr-animevideov3-x2.param")
