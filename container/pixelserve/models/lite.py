"""TensorFlow Lite graphs of float32 pictures as torch modules: what OpenVINO and ONNX Runtime cannot read of MediaPipe.

Sources: the schema of TensorFlow Lite (package `tflite`); for the padding SAME, TensorFlow's notes on `tf.nn`; for
Convolution2DTransposeBias, an operation of MediaPipe's own, mediapipe/util/tflite/operations.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tflite
import torch
from torch import Tensor, nn

from pixelserve.errors import CheckpointError

CONSTANTS = {
    tflite.TensorType.FLOAT32: np.float32,
    tflite.TensorType.FLOAT16: np.float16,
    tflite.TensorType.INT32: np.int32,
}
ACTIVATIONS: dict[int, list[nn.Module]] = {
    tflite.ActivationFunctionType.NONE: [],
    tflite.ActivationFunctionType.RELU: [nn.ReLU()],
    tflite.ActivationFunctionType.RELU6: [nn.ReLU6()],
}
NAMES: dict[int, str] = {code: name for name, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int)}


class UnsupportedOperation(CheckpointError):
    """A graph holds something that is not read here; the message names it."""


class Graph(nn.Module):
    """The operations of a file, one after the other: float32 of `shape` (1, H, W, C) to its outputs, in that layout."""

    def __init__(
        self, steps: list[tuple[nn.Module, list[int], int]], given: int, wanted: list[int], shape: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.shape = shape
        self.steps = nn.ModuleList(module for module, _, _ in steps)
        self.places = [(sources, target) for _, sources, target in steps]
        self.given, self.wanted = given, wanted

    def forward(self, batch: Tensor) -> list[Tensor]:
        values = {self.given: batch.permute(0, 3, 1, 2)}
        for step, (sources, target) in zip(self.steps, self.places, strict=True):
            values[target] = step(*(values[source] for source in sources))
        return [values[index].permute(0, 2, 3, 1) for index in self.wanted]


def read_graph(path: Path) -> Graph:
    """The network of a file, for inference. Raises UnsupportedOperation, and CheckpointError for other files."""
    content = path.read_bytes()
    if not tflite.Model.ModelBufferHasIdentifier(content, 0):
        raise CheckpointError(f"{path.name} is no TensorFlow Lite file.")
    model = tflite.Model.GetRootAsModel(content, 0)
    graph = model.Subgraphs(0)
    if model.SubgraphsLength() != 1 or graph.InputsLength() != 1:
        raise UnsupportedOperation(f"{path.name} has several graphs or inputs; one is read here.")
    constants: dict[int, Tensor] = {}
    steps = []
    for number in range(graph.OperatorsLength()):
        operation = _Operation(model, graph, graph.Operators(number), constants)
        if operation.name == "DEQUANTIZE" and operation.is_constant(operation.sources[0]):
            constants[operation.target] = operation.weights(0).float()
            continue
        if operation.name not in _BUILDERS:
            raise operation.unsupported("")
        sources = [index for index in operation.sources if not operation.is_constant(index)]
        if any(operation.graph.Tensors(index).ShapeLength() != 4 for index in (*sources, operation.target)):
            raise operation.unsupported("of other than four dimensions")
        steps.append((_BUILDERS[operation.name](operation), sources, operation.target))
    given, wanted = graph.Inputs(0), [graph.Outputs(index) for index in range(graph.OutputsLength())]
    network = Graph(steps, given, wanted, tuple(graph.Tensors(given).ShapeAsNumpy().tolist()))
    return network.eval().requires_grad_(False)


@dataclass(frozen=True)
class _Operation:
    """One operation of a graph, and the constants that earlier ones have made."""

    model: Any
    graph: Any
    operator: Any
    constants: dict[int, Tensor]

    @property
    def name(self) -> str:
        """As the schema has it, or a custom one's own."""
        code = self.model.OperatorCodes(self.operator.OpcodeIndex())
        builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if builtin == tflite.BuiltinOperator.CUSTOM:
            return bytes(code.CustomCode()).decode()
        return NAMES.get(int(builtin), f"number {builtin}")

    @property
    def sources(self) -> list[int]:
        """Indices of the input tensors; -1 is one that is left out."""
        indices = (self.operator.Inputs(index) for index in range(self.operator.InputsLength()))
        return [index for index in indices if index >= 0]

    @property
    def target(self) -> int:
        return int(self.operator.Outputs(0))

    def options(self, kind: Any) -> Any:
        """Its options, of a table of the schema. Raises UnsupportedOperation where there are none."""
        options, table = kind(), self.operator.BuiltinOptions()
        if table is None:
            raise self.unsupported("without options")
        options.Init(table.Bytes, table.Pos)
        return options

    def shape(self, number: int) -> list[int]:
        return [int(size) for size in self.graph.Tensors(self.operator.Inputs(number)).ShapeAsNumpy()]

    def is_constant(self, index: int) -> bool:
        """Whether the file has the tensor of that index. Raises UnsupportedOperation for its type."""
        tensor = self.graph.Tensors(index)
        if tensor.Type() not in CONSTANTS:
            raise self.unsupported("of integers")
        return index in self.constants or bool(self.model.Buffers(tensor.Buffer()).DataLength())

    def weights(self, number: int) -> Tensor:
        """The constant input of that number."""
        index = self.operator.Inputs(number)
        if not self.is_constant(index):
            raise self.unsupported("with weights that are no constants")
        if index in self.constants:
            return self.constants[index]
        tensor = self.graph.Tensors(index)
        buffer = self.model.Buffers(tensor.Buffer())
        values = np.frombuffer(buffer.DataAsNumpy().tobytes(), CONSTANTS[tensor.Type()])
        shape = tensor.ShapeAsNumpy() if tensor.ShapeLength() else ()
        return torch.from_numpy(values.reshape(shape).copy())

    def unsupported(self, what: str) -> UnsupportedOperation:
        known = ", ".join(["DEQUANTIZE", *_BUILDERS])
        return UnsupportedOperation(
            f"The operation {self.name} {what}".strip() + f" is not read here. Read are {known}."
        )


class _Arithmetic(nn.Module):
    """torch.add or torch.mul of two tensors, and an activation."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], activation: list[nn.Module]) -> None:
        super().__init__()
        self.function, self.activation = function, nn.Sequential(*activation)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return self.activation(self.function(first, second))  # type: ignore[no-any-return]


def _convolution(operation: _Operation) -> nn.Module:
    options = operation.options(tflite.Conv2DOptions)
    weights = operation.weights(1).permute(0, 3, 1, 2)
    if weights.shape[1] != operation.shape(0)[3]:
        raise operation.unsupported("in groups")
    return _convolve(operation, options, weights, groups=1)


def _depthwise(operation: _Operation) -> nn.Module:
    options = operation.options(tflite.DepthwiseConv2DOptions)
    return _convolve(operation, options, operation.weights(1).permute(3, 0, 1, 2), groups=operation.shape(0)[3])


def _convolve(operation: _Operation, options: Any, weights: Tensor, groups: int) -> nn.Module:
    """`weights` are (outputs, inputs of a group, h, w)."""
    kernel = weights.shape[2], weights.shape[3]
    strides = options.StrideH(), options.StrideW()
    dilations = options.DilationHFactor(), options.DilationWFactor()
    convolution = nn.Conv2d(
        weights.shape[1] * groups, weights.shape[0], kernel, strides, dilation=dilations, groups=groups
    )
    _fill(convolution, operation, weights)
    reach = [(size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations, strict=True)]
    padding = _padding(operation, options, reach, strides)
    pad = [nn.ZeroPad2d(padding)] if any(padding) else []
    return nn.Sequential(*pad, convolution, *_activation(operation, options))


def _fill(convolution: nn.Conv2d | nn.ConvTranspose2d, operation: _Operation, weights: Tensor) -> None:
    bias = operation.weights(2) if len(operation.sources) > 2 else torch.zeros(convolution.out_channels)
    convolution.load_state_dict({"weight": weights.float(), "bias": bias.float()})


def _padding(
    operation: _Operation, options: Any, reach: list[int], strides: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Pixels at left, right, top and bottom; for SAME as TensorFlow, which puts an odd one at the end."""
    if options.Padding() == tflite.Padding.VALID:
        return 0, 0, 0, 0
    height, width = (
        max(0, (math.ceil(size / stride) - 1) * stride + covered - size)
        for size, covered, stride in zip(operation.shape(0)[1:3], reach, strides, strict=True)
    )
    return width // 2, width - width // 2, height // 2, height - height // 2


def _activation(operation: _Operation, options: Any) -> list[nn.Module]:
    activation = options.FusedActivationFunction()
    if activation not in ACTIVATIONS:
        raise operation.unsupported(f"with the activation {activation}")
    return ACTIVATIONS[activation]


def _transposed(operation: _Operation) -> nn.Module:
    """MediaPipe's: its options are three integers (padding, stride of x, of y), its weights (outputs, h, w, inputs)."""
    _, *strides = struct.unpack_from("<3i", operation.operator.CustomOptionsAsNumpy().tobytes())
    weights = operation.weights(1).permute(3, 0, 1, 2)
    if [*weights.shape[2:]] != strides[::-1]:
        raise operation.unsupported("whose kernel is not as large as its stride")
    convolution = nn.ConvTranspose2d(weights.shape[0], weights.shape[1], tuple(strides[::-1]), tuple(strides[::-1]))
    _fill(convolution, operation, weights)
    return convolution


def _average(operation: _Operation) -> nn.Module:
    options = operation.options(tflite.Pool2DOptions)
    kernel, strides = (options.FilterHeight(), options.FilterWidth()), (options.StrideH(), options.StrideW())
    if any(_padding(operation, options, list(kernel), strides)):
        raise operation.unsupported("with padding")
    return nn.Sequential(nn.AvgPool2d(kernel, strides), *_activation(operation, options))


def _resize(operation: _Operation) -> nn.Module:
    options = operation.options(tflite.ResizeBilinearOptions)
    if not (options.AlignCorners() or options.HalfPixelCenters()):
        raise operation.unsupported("that aligns neither corners nor centres")
    height, width = operation.weights(1).tolist()
    return nn.Upsample((height, width), mode="bilinear", align_corners=options.AlignCorners())


def _arithmetic(function: Callable[..., Tensor], kind_of_options: Any, operation: _Operation) -> nn.Module:
    if any(operation.is_constant(index) for index in operation.sources):
        raise operation.unsupported("with a constant")
    return _Arithmetic(function, _activation(operation, operation.options(kind_of_options)))


def _simple(kind: type[nn.Module], _operation: _Operation) -> nn.Module:
    return kind()


_BUILDERS: dict[str, Callable[[_Operation], nn.Module]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "Convolution2DTransposeBias": _transposed,
    "AVERAGE_POOL_2D": _average,
    "RESIZE_BILINEAR": _resize,
    "ADD": partial(_arithmetic, torch.add, tflite.AddOptions),
    "MUL": partial(_arithmetic, torch.mul, tflite.MulOptions),
    "RELU": partial(_simple, nn.ReLU),
    "HARD_SWISH": partial(_simple, nn.Hardswish),
    "LOGISTIC": partial(_simple, nn.Sigmoid),
}
