"""JPEG files written byte by byte (ITU-T T.81): each block has one value, which is what is decoded."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

BASELINE, EXTENDED, PROGRESSIVE, LOSSLESS, ARITHMETIC = 0xC0, 0xC1, 0xC2, 0xC3, 0xC9
_EDGE = 8
_QUANTIZER = 8
"""Makes the first coefficient of a block of one value that value less 128."""
_CATEGORIES = 12
_CATEGORY_BITS = 4


@dataclass(frozen=True)
class Jpeg:
    """`planes[i]` has a value for each block of component i, (rows, columns) uint8; the picture is cut from them."""

    width: int
    height: int
    planes: Sequence[NDArray[np.uint8]]
    factors: Sequence[tuple[int, int]] = ()
    process: int = BASELINE
    bits: int = 8
    identifiers: bytes = b"\1\2\3\4"
    transform: int | None = None
    """Of Adobe's segment; None leaves that out."""
    interleaved: bool = True
    restart: int = 0
    refined: bool = False
    """Whether a progressive file sends the last bit of each value in a scan of its own."""
    segments: Sequence[tuple[int, bytes]] = field(default=())

    def write(self) -> bytes:
        count = len(self.planes)
        factors = self.factors or [(1, 1)] * count
        parts = [b"\xff\xd8", *(_segment(marker, data) for marker, data in self.segments)]
        if self.transform is not None:
            parts.append(_segment(0xEE, b"Adobe" + struct.pack("!HHHB", 100, 0, 0, self.transform)))
        parts.append(_segment(0xDB, b"\0" + bytes([_QUANTIZER]) * 64))
        frame = struct.pack("!BHHB", self.bits, self.height, self.width, count)
        for i, (across, down) in enumerate(factors):
            frame += bytes([self.identifiers[i], across << 4 | down, 0])
        parts.append(_segment(self.process, frame))
        parts.append(_segment(0xC4, b"\0" + bytes([0, 0, 0, _CATEGORIES] + [0] * 12) + bytes(range(_CATEGORIES))))
        parts.append(_segment(0xC4, b"\x10" + bytes([1] + [0] * 15) + b"\0"))
        if self.restart:
            parts.append(_segment(0xDD, struct.pack("!H", self.restart)))
        parts += self._scans(factors)
        return b"".join([*parts, b"\xff\xd9"])

    def _scans(self, factors: Sequence[tuple[int, int]]) -> Iterable[bytes]:
        everything = list(range(len(self.planes)))
        for components in [everything] if self.interleaved else [[i] for i in everything]:
            if self.process != PROGRESSIVE:
                yield self._scan(components, factors, 0, 63, 0, 0)
            elif self.refined:
                yield self._scan(components, factors, 0, 0, 0, 1)
                yield self._scan(components, factors, 0, 0, 1, 0)
            else:
                yield self._scan(components, factors, 0, 0, 0, 0)
        if self.process == PROGRESSIVE:
            for i in everything:
                yield self._scan([i], factors, 1, 63, 0, 0)

    def _scan(
        self, components: list[int], factors: Sequence[tuple[int, int]], first: int, last: int, high: int, low: int
    ) -> bytes:
        head = bytes([len(components)]) + b"".join(bytes([self.identifiers[i], 0]) for i in components)
        bits: list[str] = []
        parts = [_segment(0xDA, head + bytes([first, last, high << 4 | low]))]
        before = dict.fromkeys(components, 0)
        for number, unit in enumerate(self._units(components, factors)):
            if self.restart and number and number % self.restart == 0:
                parts += [_stuffed(bits), bytes([0xFF, 0xD0 + (number // self.restart - 1) % 8])]
                bits, before = [], dict.fromkeys(components, 0)
            for i, row, column in unit:
                plane = self.planes[i]
                value = int(plane[min(row, plane.shape[0] - 1), min(column, plane.shape[1] - 1)]) - 128
                if high:
                    bits.append(str(value & 1))
                elif first == 0:
                    bits.append(_difference((value >> low) - before[i]))
                    before[i] = value >> low
                if last:
                    bits.append("0")  # no further coefficient
        return b"".join([*parts, _stuffed(bits)])

    def _units(self, components: list[int], factors: Sequence[tuple[int, int]]) -> Iterable[list[tuple[int, int, int]]]:
        most_across, most_down = max(f[0] for f in factors), max(f[1] for f in factors)
        if len(components) == 1:
            (i,) = components
            columns = -(-self.width * factors[i][0] // (most_across * _EDGE))
            rows = -(-self.height * factors[i][1] // (most_down * _EDGE))
            for row in range(rows):
                for column in range(columns):
                    yield [(i, row, column)]
            return
        for row in range(-(-self.height // (most_down * _EDGE))):
            for column in range(-(-self.width // (most_across * _EDGE))):
                yield [
                    (i, row * factors[i][1] + down, column * factors[i][0] + across)
                    for i in components
                    for down in range(factors[i][1])
                    for across in range(factors[i][0])
                ]


def _segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack("!H", 2 + len(data)) + data


def _difference(value: int) -> str:
    """A difference of first coefficients: its category, then its bits (T.81, F.1.2.1)."""
    category = abs(value).bit_length()
    code = format(category, f"0{_CATEGORY_BITS}b")
    if category == 0:
        return code
    return code + format(value if value > 0 else value + (1 << category) - 1, f"0{category}b")


def _stuffed(bits: list[str]) -> bytes:
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    return int(text or "0", 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\0")
