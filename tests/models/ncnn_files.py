"""Writes networks as ncnn's converters do: NAME.param, a line a layer, and NAME.bin, their weights."""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path

import numpy as np
from torch import Tensor

FP16 = 0x01306B47


class Writer:
    """Lines and bytes, layer after layer; `last` is the blob that the last one gave. `save` writes both."""

    def __init__(self, state: dict[str, Tensor], half: bool = True) -> None:
        self.state, self.half = state, half
        self.lines: list[str] = []
        self.data = b""
        self.last = "data"
        self.add("Input", [], top="data")

    def add(self, kind: str, bottoms: list[str], *fields: str, top: str = "") -> str:
        self.last = top or f"blob{len(self.lines)}"
        name = f"{kind}_{len(self.lines)}"
        self.lines.append(" ".join([kind, name, str(len(bottoms)), "1", *bottoms, self.last, *fields]))
        return self.last

    def convolution(self, name: str, bottom: str, *fields: str) -> str:
        weight, bias = (self.state[f"{name}.{kind}"].float().numpy() for kind in ("weight", "bias"))
        stored = weight.astype(np.float16 if self.half else np.float32).tobytes()
        self.data += struct.pack("<I", FP16 if self.half else 0) + stored + b"\0" * (-len(stored) % 4) + bias.tobytes()
        sizes = (f"0={len(bias)}", "1=3", "4=1", "5=1", f"6={weight.size}")
        return self.add("Convolution", [bottom], *sizes, *fields)

    def prelu(self, name: str) -> str:
        slopes = self.state[f"{name}.weight"].float().numpy()
        self.data += slopes.tobytes()
        return self.add("PReLU", [self.last], f"0={len(slopes)}")

    def save(self, folder: Path, name: str = "net") -> None:
        lines = self._split()
        blobs = sum(int(line.split()[3]) for line in lines)
        (folder / f"{name}.bin").write_bytes(self.data)
        (folder / f"{name}.param").write_text("\n".join(["7767517", f"{len(lines)} {blobs}", *lines]) + "\n")

    def _split(self) -> list[str]:
        """The lines, with a Split after each blob that several layers take: ncnn frees a blob with its first use."""
        words = [line.split() for line in self.lines]
        uses = Counter(bottom for line in words for bottom in line[4 : 4 + int(line[2])])
        left, lines = uses.copy(), []
        for line in words:
            for place in range(4, 4 + int(line[2])):
                if uses[line[place]] > 1:
                    left[line[place]] -= 1
                    line[place] += f"_{left[line[place]]}"
            lines.append(" ".join(line))
            top = line[4 + int(line[2])]
            if uses[top] > 1:
                copies = [f"{top}_{number}" for number in range(uses[top])]
                lines.append(" ".join(["Split", f"split_{top}", "1", str(len(copies)), top, *copies]))
        return lines


def srvgg(state: dict[str, Tensor], half: bool = True) -> Writer:
    """SRVGGNetCompact, of whatever size."""
    writer = Writer(state, half)
    last = max(int(name.split(".")[1]) for name in state)
    for number in range(0, last, 2):
        writer.convolution(f"body.{number}", writer.last)
        writer.prelu(f"body.{number + 1}")
    writer.convolution(f"body.{last}", writer.last)
    scale = round((state[f"body.{last}.bias"].numel() / 3) ** 0.5)
    shuffled = writer.add("PixelShuffle", [writer.last], f"0={scale}")
    enlarged = writer.add("Interp", ["data"], "0=1", f"1={scale}", f"2={scale}")
    writer.add("BinaryOp", [shuffled, enlarged], "0=0", top="output")
    return writer


LEAKY = ("9=2", "-23310=1,2.000000e-01")


def rrdbnet(state: dict[str, Tensor], half: bool = True, fused: bool = True) -> Writer:
    """RRDBNet x4: as Real-ESRGAN's files have it, or with each activation and each product a layer of its own."""
    writer = Writer(state, half)

    def activated(name: str, bottom: str) -> str:
        if fused:
            return writer.convolution(name, bottom, *LEAKY)
        return writer.add("ReLU", [writer.convolution(name, bottom)], "0=2.000000e-01")

    def residual(result: str, before: str) -> str:
        if fused:
            return writer.add("Eltwise", [result, before], "0=1", "-23301=2,2.000000e-01,1.000000e+00")
        return writer.add("BinaryOp", [writer.add("BinaryOp", [result], "0=2", "1=1", "2=2.000000e-01"), before], "0=0")

    x = first = writer.convolution("conv_first", "data")
    for block in range(len({name.split(".")[1] for name in state if name.startswith("body.")})):
        before = x
        for dense in ("rdb1", "rdb2", "rdb3"):
            seen, joined = [x], x
            for number in (1, 2, 3, 4):
                seen.append(activated(f"body.{block}.{dense}.conv{number}", joined))
                joined = writer.add("Concat", seen)
            x = residual(writer.convolution(f"body.{block}.{dense}.conv5", joined), x)
        x = residual(x, before)
    x = writer.add("BinaryOp", [first, writer.convolution("conv_body", x)], "0=0")
    for name in ("conv_up1", "conv_up2"):
        x = activated(name, writer.add("Interp", [x], "0=1", "1=2.000000e+00", "2=2.000000e+00"))
    writer.convolution("conv_last", activated("conv_hr", x))
    writer.lines[-1] = writer.lines[-1].replace(writer.last, "output")
    return writer
