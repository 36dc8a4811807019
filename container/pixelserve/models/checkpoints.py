"""Files of BasicSR and Real-ESRGAN (.pth, .safetensors) to their tensors, whatever they are wrapped in."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pixelserve.errors import CheckpointError
from pixelserve.models.folders import check_download

SUFFIXES = (".pth", ".pt", ".ckpt", ".safetensors")
ENVELOPES = (
    "params_ema", "params", "state_dict", "model_state_dict", "model", "generator_ema", "generator", "netG",
)  # fmt: skip
"""Names under which training code stores the tensors, the averaged ones first."""
DEEPEST_ENVELOPE = 4

StateDict = dict[str, Tensor]


class Unfit(Exception):
    """What is wrong with a file of weights, as the end of a sentence on it."""


def read_state_dict(path: Path) -> StateDict:
    """The tensors of a file in float32, out of their envelopes. Raises CheckpointError.

    Pickled files are read with weights_only, which runs no code of theirs.
    """
    check_download(path)
    loaded = _load(path)
    for _ in range(DEEPEST_ENVELOPE):
        loaded = _opened(loaded)
    found = loaded.items() if isinstance(loaded, dict) else ()
    state = {name: value for name, value in found if isinstance(name, str) and _is_dense(value)}
    _check_size(path, state)
    if not state:
        there = ", ".join(map(str, list(loaded)[:4])) if isinstance(loaded, dict) and loaded else type(loaded).__name__
        raise CheckpointError(f"{path.name} holds no state dict (but {there}). Save the network's state_dict().")
    return {name: tensor.float() for name, tensor in state.items()}


def _is_dense(value: object) -> bool:
    return isinstance(value, Tensor) and value.layout == torch.strided


def _check_size(path: Path, state: StateDict) -> None:
    """Raises CheckpointError for more numbers than were read: views that repeat a part of these."""
    stored = sum({part.data_ptr(): part.nbytes() for part in map(Tensor.untyped_storage, state.values())}.values())
    claimed = sum(count for _, count in {(tensor.data_ptr(), tensor.nbytes) for tensor in state.values()})
    if claimed > stored:
        raise CheckpointError(
            f"{path.name} has {stored:,} bytes of numbers, but tensors of {claimed:,}: it repeats some."
        )


def _load(path: Path) -> object:
    try:
        if path.suffix.lower() == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings(action="ignore"):  # on TorchScript, which is refused
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen kinds for broken files
        raise CheckpointError(f"{path.name} {_explain(path, str(error))}") from error


def _explain(path: Path, message: str) -> str:
    if "TorchScript" in message:
        return "is TorchScript, which is code. Save the network's state_dict() in its place."
    if "unexpected EOF" in message or "Ran out of input" in message:
        return f"ends early, after {path.stat().st_size:,} bytes: a download that broke off. Fetch it again."
    if found := re.search(r"GLOBAL (\S+)", message):
        return f"holds Python objects ({found[1]}), which are code. Save the network's state_dict() alone."
    return "cannot be read as weights: it is damaged, or another kind of file."


def _opened(loaded: object) -> object:
    if not isinstance(loaded, dict):
        return loaded
    inner = (loaded.get(name) for name in ENVELOPES)
    return next((content for content in inner if isinstance(content, dict) and content), loaded)


def without_prefix(state: StateDict, first: Collection[str]) -> StateDict:
    """The tensors of the network of which a tensor is called one of `first`, less the prefix that all of it has.

    Of several the averaged one (`ema`) is taken; what lies beside it, such as a discriminator, is left out. Raises
    Unfit where none goes before the others.
    """
    prefixes = {name.removesuffix(last) for name in state for last in first if f".{name}".endswith(f".{last}")}
    if not prefixes:
        return state
    ranks = {prefix: ("ema" not in prefix, len(prefix)) for prefix in sorted(prefixes)}
    prefix, *others = (prefix for prefix, rank in ranks.items() if rank == min(ranks.values()))
    if others:
        raise Unfit(f"holds more than one network, {prefix} and {others[0]}: leave one of them in it")
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def check_tensors(network: nn.Module, state: StateDict) -> None:
    """Raises Unfit naming the first tensor that is missing, of another shape, or one too many."""
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    for name, shape in wanted.items():
        if name not in state:
            raise Unfit(f"lacks {name}")
        if (given := tuple(state[name].shape)) != shape:
            raise Unfit(f"has {name} in the shape {given}, where {shape} is wanted")
    for name in state:
        if name not in wanted:
            raise Unfit(f"has {name}, for which {type(network).__name__} has no place")
