"""Networks in exchange formats: ONNX by ONNX Runtime, OpenVINO IR by OpenVINO, TensorFlow Lite by torch or OpenVINO;
ResNet-18 by torch.

A descriptor beside the file, `NAME.json` beside `NAME.onnx`, says what the network wants and gives; descriptors of
published files are known by their names (`DESCRIPTORS`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pixelserve.errors import CheckpointError
from pixelserve.imaging import Pixels
from pixelserve.models.folders import check_download, find_networks
from pixelserve.models.inputs import centred, cropped, stretched
from pixelserve.observe import ServedNetwork, announce
from pixelserve.settings import Settings

SUFFIXES = (".onnx", ".xml", ".tflite")
CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
"""ONNX Runtime's names of what runs a network."""

Network = Callable[[NDArray[Any]], NDArray[Any]]
_Loaded = tuple[Network, str]
"""And what runs it."""


class Descriptor(BaseModel):
    """What a network wants, and what it gives.

    Input: `width` x `height` pixels of `channels` order, as `layout`; samples (v / 255 - mean) / std, or 0 to 255 as
    they are for `raw`. The picture keeps its aspect, the rest filled up, unless it is to `stretch` or to be `crop`ped
    to its middle. Output: the one of index `output`, or (OpenVINO) of the node of that name; its `activation`, and for
    masks the `channel` that is the person.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(gt=0)
    height: int = Field(gt=0)
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    channels: Literal["rgb", "bgr"] = "rgb"
    layout: Literal["nchw", "nhwc"] = "nchw"
    raw: bool = False
    stretch: bool = False
    crop: bool = False
    output: int | str = 0
    activation: Literal["none", "sigmoid", "softmax", "minmax"] = "none"
    channel: int = Field(default=0, ge=0)

    @field_validator("std")
    @classmethod
    def _not_zero(cls, std: tuple[float, float, float]) -> tuple[float, float, float]:
        if 0 in std:
            raise ValueError("samples are divided by std: it cannot hold 0")
        return std

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.stretch and self.crop:
            raise ValueError("stretch and crop are two ways to fill the input: choose one")
        return self

    def placed(self, rgb: Pixels) -> tuple[Pixels, int, int]:
        """The picture (H, W, 3) uint8 brought into the input's size, and its left and top there."""
        if self.stretch:
            return stretched(rgb, self.width, self.height), 0, 0
        if self.crop:
            return cropped(rgb, self.width, self.height), 0, 0
        return centred(rgb, self.width, self.height)

    def input_of(self, rgb: Pixels) -> NDArray[Any]:
        """(height, width, 3) uint8 as the network's input of batch 1."""
        ordered = rgb if self.channels == "rgb" else rgb[..., ::-1]
        if not self.raw:
            mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
            ordered = (ordered / np.float32(255) - mean) / std
        batch = ordered[None] if self.layout == "nhwc" else ordered.transpose(2, 0, 1)[None]
        return np.ascontiguousarray(batch)


_U2NET = Descriptor(
    width=320, height=320, stretch=True, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), activation="minmax"
)
_RESNET = Descriptor(width=224, height=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
DESCRIPTORS = {
    "u2net_human_seg": _U2NET,
    "u2netp": _U2NET,
    "SINet": Descriptor(
        width=320, height=320, channels="bgr", activation="softmax", channel=1,
        mean=(0.40349, 0.43628, 0.49769), std=(62.93292, 62.82138, 66.355705),
    ),
    "selfie_segmentation": Descriptor(width=256, height=256, stretch=True, layout="nhwc"),
    "resnet18-f37072fd": _RESNET,
    "mobilenet_v1_0.5_160_quant": Descriptor(width=160, height=160, layout="nhwc", raw=True, output="AvgPool"),
}  # fmt: skip
"""By file name without its suffix. Sources: rembg for U2-Net, clovaai/ext_portrait_segmentation for SINet,
MediaPipe's graph selfie_segmentation_cpu.pbtxt."""


def find(folder: str, suffixes: Collection[str] = SUFFIXES) -> Path | None:
    """The network file in a folder, None without one. Raises CheckpointError for several, and for other files."""
    paths = find_networks(folder, suffixes)
    if len(paths) > 1:
        raise CheckpointError(f"{folder} holds {', '.join(path.name for path in paths)}. Leave one network in it.")
    return paths[0] if paths else None


def read_descriptor(path: Path) -> Descriptor:
    """The descriptor of a network file. Raises CheckpointError when there is none, or it does not fit."""
    own = path.with_suffix(".json")
    if not own.is_file():
        if path.stem in DESCRIPTORS:
            return DESCRIPTORS[path.stem]
        raise CheckpointError(
            f"There is no descriptor {own.name} beside {path.name}. Write one, such as "
            '{"width": 320, "height": 320, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}.'
        )
    try:
        return Descriptor.model_validate(json.loads(own.read_text()))
    except (ValueError, ValidationError) as error:
        raise CheckpointError(f"{own.name} does not describe a network: {error}") from error


def load(path: Path, descriptor: Descriptor, settings: Settings) -> tuple[Network, ServedNetwork]:
    """A function from the network's input to the described output, float32, and what it is. Raises CheckpointError.

    `compute_threads` of 0 leaves their number to the runtime.
    """
    check_download(path)
    architecture, loader = _LOADERS[path.suffix.lower()]
    try:
        run, runtime = loader(path, descriptor, settings)
        answer = run(descriptor.input_of(np.zeros((descriptor.height, descriptor.width, 3), np.uint8)))
    except ModuleNotFoundError as error:
        extra = "server" if error.name == "onnxruntime" else "openvino"
        raise CheckpointError(f"{path.name} needs {error.name}: in a clone, pip install '.[{extra}]'.") from error
    except CheckpointError:
        raise
    except Exception as error:  # the runtimes raise kinds of their own
        raise CheckpointError(f"{path.name} does not run as its descriptor says: {error}") from error
    if not np.isfinite(answer).all():
        raise CheckpointError(f"{path.name} gives NaN or infinity for a black picture: its weights are damaged.")
    served = ServedNetwork(path.name, architecture, "", runtime, "uint8" if descriptor.raw else "float32")
    announce(served)
    return run, served


def _load_onnx(path: Path, descriptor: Descriptor, settings: Settings) -> _Loaded:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = settings.compute_threads
    providers = [
        (CUDA, {"cudnn_conv_algo_search": "HEURISTIC"}),  # an exhaustive search at each new shape takes seconds
        (CPU, {}),
    ]
    usable = {CPU} if settings.device == "cpu" else set(onnxruntime.get_available_providers())
    session = onnxruntime.InferenceSession(
        str(path), options, providers=[provider for provider in providers if provider[0] in usable]
    )
    chosen = session.get_providers()[0]
    if settings.device == "cuda" and chosen != CUDA:
        raise CheckpointError(
            f"PIXELSERVE_DEVICE is cuda, but ONNX Runtime {onnxruntime.__version__} runs {path.name} by {chosen}: it "
            "finds no GPU that it can use. PIXELSERVE_DEVICE=auto runs on the CPU."
        )
    given, wanted = session.get_inputs()[0].name, session.get_outputs()[int(descriptor.output)].name

    def run(batch: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(session.run([wanted], {given: batch})[0], np.float32)

    return run, f"ONNX Runtime, {chosen.removesuffix('ExecutionProvider')}"


def _load_openvino(path: Path, descriptor: Descriptor, settings: Settings) -> _Loaded:
    from pixelserve.models.intel import get_core, import_openvino

    if settings.device == "cuda":
        raise CheckpointError(
            f"PIXELSERVE_DEVICE is cuda, but {path.name} is run by OpenVINO, on the CPU alone. "
            "PIXELSERVE_DEVICE=auto or cpu allows that."
        )
    openvino, core = import_openvino(), get_core()
    network = core.read_model(path)
    if isinstance(descriptor.output, str):
        nodes = [
            node
            for node in network.get_ordered_ops()
            if descriptor.output in (node.get_friendly_name(), node.get_type_name())
        ]
        network = openvino.Model([nodes[-1].output(0)], network.get_parameters())
    threads = settings.compute_threads
    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(network, "CPU", hints | ({"INFERENCE_NUM_THREADS": threads} if threads else {}))
    index = descriptor.output if isinstance(descriptor.output, int) else 0

    def run(batch: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(compiled(batch)[index], np.float32)

    return run, "OpenVINO, CPU"


def _load_tflite(path: Path, descriptor: Descriptor, settings: Settings) -> _Loaded:
    """By torch; by OpenVINO where the graph has more than that reads, such as integers, or a node is asked for."""
    import torch

    from pixelserve.models.devices import name_device, pick_device
    from pixelserve.models.lite import UnsupportedOperation, read_graph

    index, wanted = descriptor.output, (1, descriptor.height, descriptor.width, 3)
    if isinstance(index, str):
        return _load_openvino(path, descriptor, settings)
    device = pick_device(settings.device)
    try:
        network = read_graph(path)
        if network.shape != wanted:
            raise CheckpointError(
                f"{path.name} is made for an input of {network.shape}, where its descriptor says {wanted}: height and "
                "width, then channels."
            )
        network.to(device)
    except UnsupportedOperation as error:
        try:
            return _load_openvino(path, descriptor, settings)
        except CheckpointError:
            raise
        except Exception as other:  # OpenVINO raises kinds of its own
            reason = "is not installed" if isinstance(other, ModuleNotFoundError) else "does not read it"
            raise CheckpointError(f"{path.name}: {error.message} OpenVINO, which reads more, {reason}.") from other

    def run(batch: NDArray[Any]) -> NDArray[Any]:
        team = torch.get_num_threads()
        torch.set_num_threads(
            settings.compute_threads or 1
        )  # several wait for one another after each of many short operations
        try:
            with torch.inference_mode():
                return np.asarray(network(torch.from_numpy(batch).to(device))[index].cpu().numpy(), np.float32)
        finally:
            torch.set_num_threads(team)

    return run, f"torch, {name_device(device)}"


def _load_torch(path: Path, _descriptor: Descriptor, settings: Settings) -> _Loaded:
    import torch

    from pixelserve.models.checkpoints import read_state_dict, without_prefix
    from pixelserve.models.devices import name_device, pick_device
    from pixelserve.models.resnet import ResNet18

    state = without_prefix(read_state_dict(path), ["layer1.0.conv1.weight"])
    state = {name: value for name, value in state.items() if not name.startswith("fc.")}
    device, network = pick_device(settings.device), ResNet18()
    network.load_state_dict(state)
    network.eval().requires_grad_(False).to(device)

    def run(batch: NDArray[Any]) -> NDArray[Any]:
        with torch.inference_mode():
            return np.asarray(network(torch.from_numpy(batch).to(device)).cpu().numpy(), np.float32)

    return run, f"torch, {name_device(device)}"


_LOADERS = {
    ".onnx": ("ONNX", _load_onnx),
    ".xml": ("OpenVINO IR", _load_openvino),
    ".tflite": ("TensorFlow Lite", _load_tflite),
    ".pth": ("ResNet-18", _load_torch),
}
"""By suffix: what the file holds, and how it is loaded."""
