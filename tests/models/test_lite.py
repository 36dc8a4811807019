"""TensorFlow Lite as torch modules: each operation alone beside OpenVINO, and the real network beside MediaPipe."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tflite
import torch
from tflite import BuiltinOperator
from tflite_files import Operation, write

from pixelserve.errors import CheckpointError
from pixelserve.models.intel import get_core
from pixelserve.models.lite import UnsupportedOperation, read_graph
from pixelserve.models.portable import Descriptor, load
from pixelserve.settings import Settings

RNG = np.random.default_rng(11)
SAME, VALID = tflite.Padding.SAME, tflite.Padding.VALID
RELU6 = tflite.ActivationFunctionType.RELU6


def floats(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def ours(path: Path, batch: Any) -> Any:
    with torch.inference_mode():
        return read_graph(path)(torch.from_numpy(batch))[0].numpy()


def check(path: Path, batch: Any) -> None:
    theirs = get_core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(batch)[0]
    found = ours(path, batch)
    assert found.shape == theirs.shape
    assert np.abs(found - theirs).max() < 1e-5 * max(1, np.abs(theirs).max())


def strides(y: int, x: int, dilation: int = 1, padding: int = SAME, activation: int = 0) -> dict[str, int]:
    return {
        "Padding": padding, "StrideH": y, "StrideW": x, "DilationHFactor": dilation, "DilationWFactor": dilation,
        "FusedActivationFunction": activation,
    }  # fmt: skip


@pytest.mark.parametrize("options", [
    strides(1, 1), strides(2, 2), strides(2, 1, padding=VALID), strides(1, 1, dilation=2),
    strides(3, 2, activation=RELU6),
])  # fmt: skip
@pytest.mark.parametrize("size", [(16, 16), (15, 10)])
def test_convolution(options: dict[str, int], size: tuple[int, int], tmp_path: Path) -> None:
    tensors = [(1, *size, 3), floats(8, 3, 3, 3), floats(8), (1, 1, 1, 8)]
    operation = Operation(BuiltinOperator.CONV_2D, [0, 1, 2], 3, "Conv2DOptions", options)
    check(write(tmp_path / "a.tflite", tensors, [operation]), floats(1, *size, 3))


@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize("options", [strides(1, 1), strides(2, 2), strides(1, 1, dilation=2, activation=RELU6)])
def test_depthwise_convolution(options: dict[str, int], multiplier: int, tmp_path: Path) -> None:
    outputs = 4 * multiplier
    tensors = [(1, 14, 11, 4), floats(1, 3, 3, outputs), floats(outputs), (1, 1, 1, outputs)]
    options = options | {"DepthMultiplier": multiplier}
    operation = Operation(BuiltinOperator.DEPTHWISE_CONV_2D, [0, 1, 2], 3, "DepthwiseConv2DOptions", options)
    check(write(tmp_path / "a.tflite", tensors, [operation]), floats(1, 14, 11, 4))


@pytest.mark.parametrize("window", [(8, 6, 1, 1), (2, 3, 2, 3)])
def test_average_pool(window: tuple[int, int, int, int], tmp_path: Path) -> None:
    names = ("FilterHeight", "FilterWidth", "StrideH", "StrideW")
    options = {"Padding": VALID, **dict(zip(names, window, strict=True))}
    operation = Operation(BuiltinOperator.AVERAGE_POOL_2D, [0], 1, "Pool2DOptions", options)
    check(write(tmp_path / "a.tflite", [(1, 8, 6, 3), (1, 1, 1, 3)], [operation]), floats(1, 8, 6, 3))


@pytest.mark.parametrize("rule", ["AlignCorners", "HalfPixelCenters"])
@pytest.mark.parametrize("size", [(12, 14), (3, 9)])
def test_bilinear_resizing(size: tuple[int, int], rule: str, tmp_path: Path) -> None:
    operation = Operation(BuiltinOperator.RESIZE_BILINEAR, [0, 1], 2, "ResizeBilinearOptions", {rule: 1})
    tensors = [(1, 6, 7, 2), np.array(size, np.int32), (1, *size, 2)]
    check(write(tmp_path / "a.tflite", tensors, [operation]), floats(1, 6, 7, 2))


@pytest.mark.parametrize("activation", [0, RELU6])
@pytest.mark.parametrize("name", ["ADD", "MUL"])
def test_arithmetic_of_a_tensor_and_its_mean(name: str, activation: int, tmp_path: Path) -> None:
    pooling = {"Padding": VALID, "FilterHeight": 5, "FilterWidth": 5, "StrideH": 1, "StrideW": 1}
    operations = [
        Operation(BuiltinOperator.AVERAGE_POOL_2D, [0], 1, "Pool2DOptions", pooling),
        Operation(getattr(BuiltinOperator, name), [0, 1], 2, f"{name.title()}Options",
                  {"FusedActivationFunction": activation}),
    ]  # fmt: skip
    check(write(tmp_path / "a.tflite", [(1, 5, 5, 3), (1, 1, 1, 3), (1, 5, 5, 3)], operations), floats(1, 5, 5, 3))


@pytest.mark.parametrize("name", ["RELU", "HARD_SWISH", "LOGISTIC"])
def test_functions(name: str, tmp_path: Path) -> None:
    operation = Operation(getattr(BuiltinOperator, name), [0], 1)
    check(write(tmp_path / "a.tflite", [(1, 9, 9, 4), (1, 9, 9, 4)], [operation]), 4 * floats(1, 9, 9, 4))


def test_weights_of_16_bits(tmp_path: Path) -> None:
    weights = floats(4, 3, 3, 2).astype(np.float16)
    tensors = [(1, 8, 8, 2), weights, (4, 3, 3, 2), floats(4), (1, 8, 8, 4)]
    operations = [
        Operation(BuiltinOperator.DEQUANTIZE, [1], 2),
        Operation(BuiltinOperator.CONV_2D, [0, 2, 3], 4, "Conv2DOptions", strides(1, 1)),
    ]
    check(write(tmp_path / "a.tflite", tensors, operations), floats(1, 8, 8, 2))


def transposed(path: Path, kernel: int, stride: int) -> tuple[Path, Any, Any]:
    weights, bias = floats(2, kernel, kernel, 3), floats(2)
    custom = struct.pack("<3i", 1, stride, stride)
    operation = Operation("Convolution2DTransposeBias", [0, 1, 2], 3, custom=custom)
    return write(path / "a.tflite", [(1, 4, 5, 3), weights, bias, (1, 8, 10, 2)], [operation]), weights, bias


def test_transposed_convolution_with_bias(tmp_path: Path) -> None:
    """No other reader knows it: each input pixel is spread over a square of its own."""
    path, weights, bias = transposed(tmp_path, 2, 2)
    batch = floats(1, 4, 5, 3)
    spread = np.einsum("hwi,oyxi->hywxo", batch[0], weights).reshape(8, 10, 2) + bias
    assert np.abs(ours(path, batch)[0] - spread).max() < 1e-5


def test_a_transposed_convolution_that_overlaps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedOperation, match="Convolution2DTransposeBias whose kernel"):
        read_graph(transposed(tmp_path, 3, 2)[0])


@pytest.mark.parametrize(("operation", "message"), [
    (Operation(BuiltinOperator.TANH, [0], 1), "operation TANH is not read"),
    (Operation("MaxUnpooling2D", [0], 1), "operation MaxUnpooling2D is not read"),
    (Operation(BuiltinOperator.ADD, [0, 2], 1, "AddOptions"), "ADD with a constant"),
    (Operation(BuiltinOperator.RELU, [3], 1), "RELU of integers"),
    (Operation(BuiltinOperator.ADD, [0, 0], 1), "ADD without options"),
    (Operation(BuiltinOperator.MUL, [0, 0], 1, "MulOptions", {"FusedActivationFunction": 4}), "activation 4"),
    (Operation(BuiltinOperator.AVERAGE_POOL_2D, [0], 1, "Pool2DOptions",
               {"Padding": SAME, "FilterHeight": 3, "FilterWidth": 3, "StrideH": 1, "StrideW": 1}), "with padding"),
    (Operation(BuiltinOperator.RESIZE_BILINEAR, [0, 4], 1, "ResizeBilinearOptions"), "neither corners nor centres"),
])  # fmt: skip
def test_anything_else_is_refused_by_name(operation: Operation, message: str, tmp_path: Path) -> None:
    tensors = [(1, 4, 4, 2), (1, 4, 4, 2), floats(2), np.zeros((1, 4, 4, 2), np.uint8), np.array([4, 4], np.int32)]
    with pytest.raises(UnsupportedOperation, match=message):
        read_graph(write(tmp_path / "a.tflite", tensors, [operation]))


def test_what_openvino_reads_is_left_to_it(tmp_path: Path) -> None:
    operation = Operation(BuiltinOperator.TANH, [0], 1)
    path = write(tmp_path / "a.tflite", [(1, 8, 8, 3), (1, 8, 8, 3)], [operation])
    run, _ = load(path, Descriptor(width=8, height=8, layout="nhwc"), Settings())
    batch = floats(1, 8, 8, 3)
    assert np.abs(run(batch) - np.tanh(batch)).max() < 1e-5
    operation = Operation("MaxUnpooling2D", [0], 1)
    path = write(tmp_path / "b.tflite", [(1, 8, 8, 3), (1, 8, 8, 3)], [operation])
    with pytest.raises(CheckpointError, match=r"MaxUnpooling2D is not read here.*OpenVINO, which reads more, does not"):
        load(path, Descriptor(width=8, height=8, layout="nhwc"), Settings())


def test_a_descriptor_of_another_size_is_refused(tmp_path: Path) -> None:
    """SAME pads by the sizes of the file: another one would run, with a wrong mask."""
    options = strides(2, 2)
    tensors = [(1, 8, 8, 3), floats(2, 3, 3, 3), floats(2), (1, 4, 4, 2)]
    operation = Operation(BuiltinOperator.CONV_2D, [0, 1, 2], 3, "Conv2DOptions", options)
    path = write(tmp_path / "a.tflite", tensors, [operation])
    load(path, Descriptor(width=8, height=8, layout="nhwc"), Settings())
    with pytest.raises(CheckpointError, match=r"made for an input of \(1, 8, 8, 3\), .* says \(1, 9, 8, 3\)"):
        load(path, Descriptor(width=8, height=9, layout="nhwc"), Settings())


def test_another_kind_of_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.tflite").write_bytes(b"something else")
    with pytest.raises(CheckpointError, match=r"a\.tflite is no TensorFlow Lite file"):
        read_graph(tmp_path / "a.tflite")
