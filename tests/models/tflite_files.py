"""Small TensorFlow Lite files, built field by field with flatbuffers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import tflite

TYPES = {
    np.dtype(np.float32): tflite.TensorType.FLOAT32,
    np.dtype(np.float16): tflite.TensorType.FLOAT16,
    np.dtype(np.int32): tflite.TensorType.INT32,
    np.dtype(np.uint8): tflite.TensorType.UINT8,
}


@dataclass
class Operation:
    """`code` is a BuiltinOperator, or the name of a custom one; `options` are fields by their names in the schema."""

    code: int | str
    inputs: list[int]
    output: int
    kind: str = ""
    options: dict[str, int] = field(default_factory=dict)
    custom: bytes = b""


def write(path: Path, tensors: list[Any], operations: list[Operation], given: int = 0) -> Path:
    """A file whose tensors are constants (arrays), or shapes of float32; the last operation's output is the graph's."""
    builder = flatbuffers.Builder(1024)
    buffers = [_buffer(builder, b"")]
    placed = []
    for tensor in tensors:
        is_constant = isinstance(tensor, np.ndarray)
        shape = tensor.shape if is_constant else tensor
        kind = TYPES[tensor.dtype] if is_constant else tflite.TensorType.FLOAT32
        number = 0
        if is_constant:
            buffers.append(_buffer(builder, tensor.tobytes()))
            number = len(buffers) - 1
        placed.append(_tensor(builder, f"t{len(placed)}", shape, kind, number))
    codes = [_code(builder, operation.code) for operation in operations]
    steps = [_operator(builder, number, operation) for number, operation in enumerate(operations)]
    graph = _graph(builder, placed, steps, given, operations[-1].output)
    vectors = [_offsets(builder, items) for items in (codes, [graph], buffers)]
    tflite.ModelStart(builder)
    tflite.ModelAddVersion(builder, 3)
    tflite.ModelAddOperatorCodes(builder, vectors[0])
    tflite.ModelAddSubgraphs(builder, vectors[1])
    tflite.ModelAddBuffers(builder, vectors[2])
    builder.Finish(tflite.ModelEnd(builder), b"TFL3")
    path.write_bytes(builder.Output())
    return path


def _offsets(builder: Any, items: list[int]) -> int:
    builder.StartVector(4, len(items), 4)
    for item in reversed(items):
        builder.PrependUOffsetTRelative(item)
    return int(builder.EndVector())


def _integers(builder: Any, values: Any) -> int:
    return int(builder.CreateNumpyVector(np.array(values, np.int32)))


def _buffer(builder: Any, content: bytes) -> int:
    data = None
    if content:
        builder.StartVector(1, len(content), 16)
        builder.head -= len(content)
        builder.Bytes[builder.head : builder.head + len(content)] = content
        data = builder.EndVector()
    tflite.BufferStart(builder)
    if data is not None:
        tflite.BufferAddData(builder, data)
    return int(tflite.BufferEnd(builder))


def _tensor(builder: Any, name: str, shape: Any, kind: int, buffer: int) -> int:
    sizes, called = _integers(builder, shape), builder.CreateString(name)
    tflite.TensorStart(builder)
    tflite.TensorAddName(builder, called)
    tflite.TensorAddShape(builder, sizes)
    tflite.TensorAddType(builder, kind)
    tflite.TensorAddBuffer(builder, buffer)
    return int(tflite.TensorEnd(builder))


def _code(builder: Any, code: int | str) -> int:
    name = builder.CreateString(code) if isinstance(code, str) else None
    number = tflite.BuiltinOperator.CUSTOM if isinstance(code, str) else code
    tflite.OperatorCodeStart(builder)
    tflite.OperatorCodeAddBuiltinCode(builder, number)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, min(number, 127))
    tflite.OperatorCodeAddVersion(builder, 1)
    if name is not None:
        tflite.OperatorCodeAddCustomCode(builder, name)
    return int(tflite.OperatorCodeEnd(builder))


def _operator(builder: Any, code: int, operation: Operation) -> int:
    inputs, outputs = _integers(builder, operation.inputs), _integers(builder, [operation.output])
    custom = builder.CreateByteVector(operation.custom) if operation.custom else None
    options = None
    if operation.kind:
        getattr(tflite, f"{operation.kind}Start")(builder)
        for name, value in operation.options.items():
            getattr(tflite, f"{operation.kind}Add{name}")(builder, value)
        options = getattr(tflite, f"{operation.kind}End")(builder)
    tflite.OperatorStart(builder)
    tflite.OperatorAddOpcodeIndex(builder, code)
    tflite.OperatorAddInputs(builder, inputs)
    tflite.OperatorAddOutputs(builder, outputs)
    if options is not None:
        tflite.OperatorAddBuiltinOptionsType(builder, getattr(tflite.BuiltinOptions, operation.kind))
        tflite.OperatorAddBuiltinOptions(builder, options)
    if custom is not None:
        tflite.OperatorAddCustomOptions(builder, custom)
    return int(tflite.OperatorEnd(builder))


def _graph(builder: Any, tensors: list[int], operators: list[int], given: int, wanted: int) -> int:
    inputs, outputs = _integers(builder, [given]), _integers(builder, [wanted])
    placed, steps = _offsets(builder, tensors), _offsets(builder, operators)
    tflite.SubGraphStart(builder)
    tflite.SubGraphAddTensors(builder, placed)
    tflite.SubGraphAddInputs(builder, inputs)
    tflite.SubGraphAddOutputs(builder, outputs)
    tflite.SubGraphAddOperators(builder, steps)
    return int(tflite.SubGraphEnd(builder))
