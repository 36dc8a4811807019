"""Files of BasicSR and Real-ESRGAN (.pth, .safetensors) to networks, everything read from the tensors themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pixelserve.errors import CheckpointError
from pixelserve.models.rrdbnet import RRDBNet
from pixelserve.models.srvgg import SRVGGNetCompact

SUFFIXES = (".pth", ".safetensors")
FITS = "Files of SRVGGNetCompact and RRDBNet fit, as Real-ESRGAN and BasicSR write them."

StateDict = dict[str, Tensor]


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
    bytes_per_pixel: int
    """About the most memory in use at once for each input pixel, in float32."""


def load_network(path: Path) -> tuple[nn.Module, NetworkInfo]:
    """The network of a file, float32 on the CPU, for inference. Raises CheckpointError for files that do not fit."""
    state = read_state_dict(path)
    try:
        network, info = _build(state)
        network.load_state_dict(state)
    except (KeyError, RuntimeError, IndexError, ValueError, ZeroDivisionError) as error:
        keys = ", ".join(list(state)[:4])
        raise CheckpointError(f"{path.name} holds no network known here (it begins with {keys}). {FITS}") from error
    return network.eval().requires_grad_(False), info


def read_state_dict(path: Path) -> StateDict:
    """The tensors of a file: `params_ema`, else `params`, else the whole. Raises CheckpointError.

    .pth files are read with weights_only, which runs no code of theirs.
    """
    try:
        if path.suffix == ".safetensors":
            loaded: object = load_file(path)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen kinds for broken files
        raise CheckpointError(f"{path.name} cannot be read as weights. {FITS}") from error
    if isinstance(loaded, dict):
        loaded = loaded.get("params_ema", loaded.get("params", loaded))
    if not isinstance(loaded, dict) or not loaded or not _is_state_dict(loaded):
        raise CheckpointError(f"{path.name} holds no state dict. {FITS}")
    return {name: tensor.float() for name, tensor in loaded.items()}


def _is_state_dict(loaded: dict[object, object]) -> bool:
    return all(isinstance(name, str) and isinstance(value, Tensor) for name, value in loaded.items())


def _build(state: StateDict) -> tuple[nn.Module, NetworkInfo]:
    return _build_rrdbnet(state) if "conv_first.weight" in state else _build_srvgg(state)


def _build_rrdbnet(state: StateDict) -> tuple[nn.Module, NetworkInfo]:
    first = state["conv_first.weight"]
    num_out_ch = state["conv_last.weight"].shape[0]
    unshuffle = {1: 1, 4: 2, 16: 4}[first.shape[1] // num_out_ch]
    scale = 4 // unshuffle
    num_feat = first.shape[0]
    num_block = len({name.split(".")[1] for name in state if name.startswith("body.")})
    num_grow_ch = state["body.0.rdb1.conv1.weight"].shape[0]
    network = RRDBNet(first.shape[1] // unshuffle**2, num_out_ch, scale, num_feat, num_block, num_grow_ch)
    reach = (15 * num_block + 2 + 2) * unshuffle
    info = NetworkInfo("RRDBNet", scale, reach, unshuffle, 4 * 3 * num_feat * scale**2)
    return network, info


def _build_srvgg(state: StateDict) -> tuple[nn.Module, NetworkInfo]:
    numbers = sorted(int(name.split(".")[1]) for name in state if name.endswith(".weight"))
    convolutions = [state[f"body.{number}.weight"] for number in numbers if state[f"body.{number}.weight"].ndim == 4]
    first, last = convolutions[0], convolutions[-1]
    if state["body.1.weight"].ndim != 1:
        raise ValueError("no PReLU after the first convolution")
    num_in_ch, num_feat, num_conv = first.shape[1], first.shape[0], len(convolutions) - 2
    scale = round((last.shape[0] / num_in_ch) ** 0.5)
    network = SRVGGNetCompact(num_in_ch, num_in_ch, num_feat, num_conv, scale)
    info = NetworkInfo("SRVGGNetCompact", scale, num_conv + 2, 1, 4 * (3 * num_feat + 3 * last.shape[0]))
    return network, info
