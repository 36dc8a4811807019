"""Tensors to super-resolution networks; architecture, sizes and scale are read from the tensors themselves."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from pixelserve.errors import CheckpointError
from pixelserve.models.checkpoints import SUFFIXES as CHECKPOINTS
from pixelserve.models.checkpoints import StateDict, Unfit, check_tensors, read_state_dict, without_prefix
from pixelserve.models.ncnn import Graph
from pixelserve.models.rrdbnet import RRDBNet
from pixelserve.models.srvgg import SRVGGNetCompact

SUFFIXES = (*CHECKPOINTS, ".param")
FARTHEST_REACH = 64
"""Up to this reach tiles overlap by all of it and are exact; beyond it they overlap by FEATHER and fade."""
FEATHER = 32
FITS = "SRVGGNetCompact and RRDBNet of RGB pictures fit, as Real-ESRGAN, BasicSR and ESRGAN write them."
FIRST = ("conv_first.weight", "model.0.weight", "body.0.weight")
"""A tensor of RRDBNet, of the same as ESRGAN named it first, and of SRVGGNetCompact."""
OLDEST = {"0": "conv_first", "3": "conv_up1", "6": "conv_up2", "8": "conv_hr", "10": "conv_last"}
OLDER = {"RRDB_trunk": "body", "trunk_conv": "conv_body", "upconv1": "conv_up1", "upconv2": "conv_up2",
         "HRconv": "conv_hr"}  # fmt: skip
"""Names of ESRGAN's code of 2018 and 2019 to those of BasicSR."""


@dataclass(frozen=True)
class NetworkInfo:
    """What must be known of a network to run it in tiles."""

    architecture: str
    scale: int
    """Factor of both edges."""
    reach: int
    """How many input pixels to each side an output pixel depends on."""
    multiple: int
    """Both edges of the input must be multiples of this."""
    typed_bytes: int
    """About the most memory in use at once for each input pixel, of what has the number type, were that float32."""
    fixed_bytes: int
    """The same of what is float32 always."""

    def bytes_in(self, dtype: str) -> int:
        """Memory for each input pixel in a number type."""
        return self.fixed_bytes + (self.typed_bytes if dtype == "float32" else self.typed_bytes // 2)

    @property
    def feathered(self) -> bool:
        """Whether tiles fade into one another."""
        return self.reach > FARTHEST_REACH

    @property
    def overlap(self) -> int:
        """By which tiles are read beyond what they write, in input pixels."""
        return FEATHER if self.feathered else self.reach


def load_network(path: Path) -> tuple[nn.Module, NetworkInfo]:
    """The network of a file, float32 on the CPU, for inference. Raises CheckpointError for files that do not fit."""
    graph = Graph.from_files(path) if path.suffix.lower() == ".param" else None
    state = graph.state_dict() if graph else read_state_dict(path)
    try:
        state = _renamed(without_prefix(state, FIRST))
        with torch.device("meta"):  # sizes that nothing fills take no memory
            network, info = _build_rrdbnet(state) if "conv_first.weight" in state else _build_srvgg(state)
        check_tensors(network, state)
    except Unfit as error:
        raise CheckpointError(f"{path.name} {error}. {FITS}") from None
    network.load_state_dict(state, assign=True)
    network.eval().requires_grad_(False)
    if graph:
        graph.check(network)
    return network, info


def _renamed(state: StateDict) -> StateDict:
    """RRDBNet's tensors by the names of BasicSR; others as they are."""
    if "model.0.weight" in state:
        upsampled = len([name for name in state if re.fullmatch(r"model\.\d+\.weight", name)]) - 3
        if upsampled != 2:
            raise Unfit(f"is an ESRGAN with {upsampled} upsampling layers; those with 2 (4 times) are served")
        return {_renamed_oldest(name): tensor for name, tensor in state.items()}
    if any(name.startswith("RRDB_trunk.") for name in state):
        return {_renamed_older(name): tensor for name, tensor in state.items()}
    return state


def _renamed_oldest(name: str) -> str:
    """`model.1.sub.0.RDB1.conv1.0.weight` is body.0.rdb1.conv1.weight, `model.3.weight` conv_up1.weight."""
    if found := re.fullmatch(r"model\.1\.sub\.(\d+)\.RDB(\d+)\.(\w+)\.0\.(\w+)", name):
        return "body.{}.rdb{}.{}.{}".format(*found.groups())
    if found := re.fullmatch(r"model\.1\.sub\.\d+\.(\w+)", name):
        return f"conv_body.{found[1]}"
    if (found := re.fullmatch(r"model\.(\d+)\.(\w+)", name)) and found[1] in OLDEST:
        return f"{OLDEST[found[1]]}.{found[2]}"
    return name


def _renamed_older(name: str) -> str:
    """`RRDB_trunk.0.RDB1.conv1.weight` is body.0.rdb1.conv1.weight, `HRconv.weight` conv_hr.weight."""
    first, *rest = name.split(".")
    return ".".join([OLDER.get(first, first), *(part.replace("RDB", "rdb") for part in rest)])


def _shape(state: StateDict, name: str) -> tuple[int, ...]:
    """Of a convolution's weight: (outputs, inputs, 3, 3)."""
    if name not in state:
        raise Unfit(f"lacks {name}")
    shape = tuple(state[name].shape)
    if len(shape) != 4:
        raise Unfit(f"has {name} in the shape {shape}, which is no convolution's")
    return shape


def _build_rrdbnet(state: StateDict) -> tuple[nn.Module, NetworkInfo]:
    num_feat, inputs, *_ = _shape(state, "conv_first.weight")
    outputs = _shape(state, "conv_last.weight")[0]
    num_grow_ch = _shape(state, "body.0.rdb1.conv1.weight")[0]
    unshuffle = {3: 1, 12: 2, 48: 4}.get(inputs)
    if unshuffle is None or outputs != 3:
        raise Unfit(f"is an RRDBNet of {inputs} channels in and {outputs} out, not of RGB")
    scale = 4 // unshuffle
    num_block = len({name.split(".")[1] for name in state if name.startswith("body.")})
    network = RRDBNet(3, 3, scale, num_feat, num_block, num_grow_ch)
    reach = (15 * num_block + 2 + 2) * unshuffle
    return network, NetworkInfo("RRDBNet", scale, reach, unshuffle, 4 * 3 * num_feat * scale**2, 4 * 2 * 3 * scale**2)


def _build_srvgg(state: StateDict) -> tuple[nn.Module, NetworkInfo]:
    numbers = [int(found[1]) for name in state if (found := re.fullmatch(r"body\.(\d+)\.weight", name))]
    if not {0, 1} <= set(numbers):
        raise Unfit(f"holds no network known here (it begins with {', '.join(list(state)[:4])})")
    numbers.sort()
    if numbers != list(range(len(numbers))) or len(numbers) % 2 == 0:
        gap = next((number for number, given in enumerate(numbers) if number != given), len(numbers))
        raise Unfit(f"lacks body.{gap}.weight")
    last = len(numbers) - 1
    num_feat, inputs, *_ = _shape(state, "body.0.weight")
    outputs = _shape(state, f"body.{last}.weight")[0]
    scale = math.isqrt(outputs // 3)
    if inputs != 3 or outputs != 3 * scale**2:
        raise Unfit(f"is an SRVGGNetCompact of {inputs} channels in and {outputs} before its shuffle, not of RGB")
    num_conv = last // 2 - 1
    network = SRVGGNetCompact(3, 3, num_feat, num_conv, scale)
    return network, NetworkInfo("SRVGGNetCompact", scale, num_conv + 2, 1, 4 * 3 * num_feat, 4 * 3 * outputs)
