"""ncnn's pairs of files, NAME.param and NAME.bin, to the tensors of RRDBNet and SRVGGNetCompact.

The format is that of Tencent's ncnn (docs/developer-guide: param-and-model-file-structure.md, operators.md).
Convolutions get the names of BasicSR by their order; `Graph.check` then runs the layers as the file joins them, so that
nothing passes that only looks like one of the two networks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pixelserve.errors import CheckpointError
from pixelserve.models.checkpoints import Unfit
from pixelserve.models.folders import check_download

MAGIC = "7767517"
FP16, FP32 = 0x01306B47, 0
"""What stands before the weights of a convolution; PReLU's slopes and all biases are float32, without such a mark."""
LARGEST_FACTOR = 4
PROBE_EDGE = 4
MOST_SAMPLES = 1 << 24
"""That layers may read of the probe, all together; RRDBNet of 23 blocks reads two millions."""
HINTS = (-23330, 31)
"""Fields of any layer that change no result: the shape of what it gives, and how it is computed."""
FIELDS: dict[str, dict[int, float | None]] = {
    "Input": dict.fromkeys((0, 1, 2, 11)),
    "Split": {},
    "Convolution": dict.fromkeys((0, 1, 5, 6, 9, -23310))
    | {2: 1, 3: 1, 4: 1, 7: 1, 8: 0, 11: 3, 12: 1, 13: 1, 14: 1, 15: 1, 16: 1, 18: 0, 19: 0},
    "PReLU": {0: None},
    "ReLU": {0: None},
    "Concat": {0: 0},
    "Eltwise": dict.fromkeys((0, -23301)),
    "BinaryOp": dict.fromkeys((0, 1, 2)),
    "Interp": dict.fromkeys((0, 1, 2)) | {3: 0, 4: 0, 5: 0, 6: 0},
    "PixelShuffle": dict.fromkeys((0, 1)),
}
"""The layers that are read, and of each its fields; None for those that are looked at, else the only value."""

BLOCK = [f"rdb{block}.conv{number}" for block in (1, 2, 3) for number in (1, 2, 3, 4, 5)]
FIRST, LAST = ["conv_first"], ["conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last"]
"""RRDBNet's convolutions in their order, BLOCK between FIRST and LAST as often as there are blocks."""


@dataclass
class _Layer:
    """A line of the .param file. `fields` are its parameters by number; those of -23300 - n are arrays."""

    kind: str
    name: str
    bottoms: list[str]
    tops: list[str]
    fields: dict[int, list[float]]
    weight: Tensor | None = None
    bias: Tensor | None = None

    @classmethod
    def from_line(cls, line: str) -> _Layer:
        kind, name, bottoms, tops, *rest = line.split()
        places, split = int(bottoms) + int(tops), int(bottoms)
        fields = dict(entry.split("=") for entry in rest[places:])
        values = {int(key): [float(value) for value in values.split(",")] for key, values in fields.items()}
        if not all(math.isfinite(value) for numbers in values.values() for value in numbers):
            raise ValueError
        return cls(kind, name, rest[:split], rest[split:places], values)

    def check(self) -> None:
        """Raises Unfit for a layer that is not read, and for what a field makes of it."""
        if self.kind not in FIELDS:
            raise self.unfit("in it, which neither RRDBNet nor SRVGGNetCompact has")
        known = FIELDS[self.kind]
        for field, values in self.fields.items():
            if field in HINTS:
                continue
            if field not in known or (field >= 0 and len(values) > 1):
                raise self.unfit(f"with field {field}, which is not read here: see ncnn's operators.md")
            if (only := known[field]) is not None and values != [only]:
                raise self.unfit(
                    f"with field {field} of {values[0]:g}, where {only:g} is read: see ncnn's operators.md"
                )

    def number(self, field: int, default: float = 0) -> float:
        return self.fields.get(field, [default])[0]

    def array(self, field: int) -> list[float]:
        return self.fields.get(-23300 - field, [0])[1:]

    def unfit(self, reason: str) -> Unfit:
        return Unfit(f"has {self.name} ({self.kind}) {reason}")


@dataclass(frozen=True)
class Graph:
    """The layers of a pair of files, with their weights in float32."""

    file: str
    layers: list[_Layer]

    @classmethod
    def from_files(cls, path: Path) -> Graph:
        """Of NAME.param and NAME.bin beside it. Raises CheckpointError naming what does not fit."""
        weights = path.with_suffix(".bin")
        check_download(path)
        if not weights.is_file():
            raise CheckpointError(f"{path.name} needs {weights.name} beside it.")
        check_download(weights)
        try:
            graph = cls(path.name, _read_layers(path))
            for layer in graph.layers:
                layer.check()
            _read_weights(graph.layers, weights)
        except Unfit as error:
            raise CheckpointError(f"{path.name} {error}.") from None
        return graph

    def state_dict(self) -> dict[str, Tensor]:
        """The tensors by the names of BasicSR. Raises CheckpointError when their number is neither network's."""
        weighted = [layer for layer in self.layers if layer.weight is not None]
        if any(layer.kind == "PReLU" for layer in weighted):
            names = [f"body.{number}" for number in range(len(weighted))]
        else:
            blocks = (len(weighted) - len(FIRST + LAST)) // len(BLOCK)
            names = FIRST + [f"body.{number}.{name}" for number in range(blocks) for name in BLOCK] + LAST
        if len(names) != len(weighted):
            raise CheckpointError(f"{self.file} holds {len(weighted)} convolutions, which are no RRDBNet's.")
        state = {f"{name}.weight": layer.weight for name, layer in zip(names, weighted, strict=True)}
        state |= {f"{name}.bias": layer.bias for name, layer in zip(names, weighted, strict=True)}
        return {name: tensor for name, tensor in state.items() if tensor is not None}

    def check(self, network: nn.Module) -> None:
        """Raises CheckpointError unless `network`, which has these tensors, does what the layers do."""
        probe = torch.linspace(0, 1, 3 * PROBE_EDGE**2).reshape(1, 3, PROBE_EDGE, PROBE_EDGE)
        with torch.inference_mode():
            wanted = network(probe)
            try:
                given = self._run(probe)
            except Unfit as error:
                raise CheckpointError(f"{self.file} {error}.") from None
            except (RuntimeError, LookupError, ValueError, TypeError, OverflowError) as error:
                raise CheckpointError(f"{self.file} joins its layers in a way that does not run: {error}.") from None
        most = 1e-5 * wanted.abs().max()
        if given.shape != wanted.shape or not (given - wanted).abs().max() <= most:
            raise CheckpointError(f"{self.file} is no {type(network).__name__}: its layers give something else.")

    def _run(self, x: Tensor) -> Tensor:
        blobs: dict[str, Tensor] = {}
        samples = 0
        for layer in self.layers:
            inputs = [blobs[name] for name in layer.bottoms]
            samples += sum(x.numel() for x in inputs)
            if samples > MOST_SAMPLES:
                raise layer.unfit("behind layers that give more than either network")
            result = _OPERATIONS[layer.kind](layer, inputs) if inputs else x
            blobs |= dict.fromkeys(layer.tops, result)
        return result


def _read_layers(path: Path) -> list[_Layer]:
    try:
        magic, _counts, *lines = path.read_text().strip().splitlines()
        if magic.strip() != MAGIC:
            raise ValueError
        return [_Layer.from_line(line) for line in lines if line.strip()]
    except ValueError:
        raise Unfit(f"is no .param file of ncnn, which begin with {MAGIC} and have a layer in each line") from None


def _read_weights(layers: list[_Layer], path: Path) -> None:
    data, at = path.read_bytes(), 0

    def take(layer: _Layer, count: int, dtype: type[np.generic]) -> Tensor:
        nonlocal at
        size = count * np.dtype(dtype).itemsize
        if not 0 < size <= len(data) - at:
            raise Unfit(f"wants {size:,} bytes for {layer.name}, but {path.name} ends after {len(data):,}")
        values = np.frombuffer(data, dtype, count, at)
        at += -(-size // 4) * 4
        return torch.from_numpy(values.astype(np.float32))

    for layer in layers:
        if layer.kind == "PReLU":
            layer.weight = take(layer, int(layer.number(0)), np.float32)
        elif layer.kind == "Convolution":
            count, outputs = int(layer.number(6)), int(layer.number(0))
            if count <= 0 or outputs <= 0 or count % (9 * outputs) or layer.number(1) != 3:
                raise layer.unfit("other than 3x3")
            mark = int.from_bytes(data[at : at + 4], "little")
            at += 4
            if mark not in (FP16, FP32):
                raise Unfit(f"has the weights of {layer.name} in another form than fp16 and fp32 (mark {mark:#010x})")
            weight = take(layer, count, np.float16 if mark == FP16 else np.float32)
            layer.weight = weight.reshape(outputs, -1, 3, 3)
            layer.bias = take(layer, outputs, np.float32) if layer.number(5) else torch.zeros(outputs)
    if at != len(data):
        raise Unfit(f"wants {at:,} bytes, but {path.name} has {len(data):,}")


def _convolution(layer: _Layer, inputs: list[Tensor]) -> Tensor:
    [x] = inputs
    if not layer.number(4):
        raise layer.unfit("without padding")
    assert layer.weight is not None
    out = functional.conv2d(x, layer.weight, layer.bias, padding=1)
    match int(layer.number(9)):
        case 0:
            return out
        case 1:
            return functional.relu(out)
        case 2:
            return functional.leaky_relu(out, layer.array(10)[0])
    raise layer.unfit(f"with an activation of kind {layer.number(9):g}")


def _prelu(layer: _Layer, inputs: list[Tensor]) -> Tensor:
    assert layer.weight is not None
    return functional.prelu(inputs[0], layer.weight)


def _sum(layer: _Layer, inputs: list[Tensor]) -> Tensor:
    """Eltwise: of its inputs, each times its coefficient where there are some."""
    if layer.number(0) != 1:
        raise layer.unfit("other than a sum")
    weights = layer.array(1) or [1.0] * len(inputs)
    return torch.stack([weight * x for weight, x in zip(weights, inputs, strict=True)]).sum(0)


def _binary(layer: _Layer, inputs: list[Tensor]) -> Tensor:
    other = layer.number(2) if layer.number(1) else inputs[1]
    match int(layer.number(0)):
        case 0:
            return inputs[0] + other
        case 2:
            return inputs[0] * other
    raise layer.unfit("other than addition and multiplication")


def _enlarge(layer: _Layer, inputs: list[Tensor]) -> Tensor:
    factor = layer.number(1)
    if layer.number(0) != 1 or layer.number(2) != factor or factor not in range(1, LARGEST_FACTOR + 1):
        raise layer.unfit(
            "other than nearest-neighbour enlargement. Real-ESRGAN's animevideov3-x2 and -x3 are its -x4, shrunk: "
            "take that, which serves all scales"
        )
    return functional.interpolate(inputs[0], scale_factor=int(factor), mode="nearest")


def _shuffle(layer: _Layer, inputs: list[Tensor]) -> Tensor:
    if layer.number(1):
        raise layer.unfit("that takes channels in another order")
    return functional.pixel_shuffle(inputs[0], int(layer.number(0)))


_OPERATIONS: dict[str, Callable[[_Layer, list[Tensor]], Tensor]] = {
    "Split": lambda layer, inputs: inputs[0],
    "Convolution": _convolution,
    "PReLU": _prelu,
    "ReLU": lambda layer, inputs: functional.leaky_relu(inputs[0], layer.number(0)),
    "Concat": lambda layer, inputs: torch.cat(inputs, 1),
    "Eltwise": _sum,
    "BinaryOp": _binary,
    "Interp": _enlarge,
    "PixelShuffle": _shuffle,
}
