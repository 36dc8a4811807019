"""Fax coding of one bit a pixel (ITU-T T.4 and T.6; TIFF 6.0, sections 10 and 11), decoded here: libtiff goes on over
damage and says so to nobody.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from pixelserve.imaging.image import Pixels

RUNS, T4, T6 = 2, 3, 4
"""TIFF's numbers: one-dimensional without ends of lines, with them, and two-dimensional."""
MOST_BYTES = 1_000_000
"""Of a picture: some two seconds of a core. A page of text at 600 dots an inch has a tenth of it."""

_TWO_DIMENSIONAL = 1
"""The bit of T4Options for lines that are coded by the one above."""
_WINDOW = 13
_WHITE_ENDS = """
00110101 000111 0111 1000 1011 1100 1110 1111 10011 10100 00111 01000 001000 000011 110100 110101 101010 101011 0100111
0001100 0001000 0010111 0000011 0000100 0101000 0101011 0010011 0100100 0011000 00000010 00000011 00011010 00011011
00010010 00010011 00010100 00010101 00010110 00010111 00101000 00101001 00101010 00101011 00101100 00101101 00000100
00000101 00001010 00001011 01010010 01010011 01010100 01010101 00100100 00100101 01011000 01011001 01011010 01011011
01001010 01001011 00110010 00110011 00110100
"""
_BLACK_ENDS = """
0000110111 010 11 10 011 0011 0010 00011 000101 000100 0000100 0000101 0000111 00000100 00000111 000011000 0000010111
0000011000 0000001000 00001100111 00001101000 00001101100 00000110111 00000101000 00000010111 00000011000 000011001010
000011001011 000011001100 000011001101 000001101000 000001101001 000001101010 000001101011 000011010010 000011010011
000011010100 000011010101 000011010110 000011010111 000001101100 000001101101 000011011010 000011011011 000001010100
000001010101 000001010110 000001010111 000001100100 000001100101 000001010010 000001010011 000000100100 000000110111
000000111000 000000100111 000000101000 000001011000 000001011001 000000101011 000000101100 000001011010 000001100110
000001100111
"""
_WHITE_STEPS = """
11011 10010 010111 0110111 00110110 00110111 01100100 01100101 01101000 01100111 011001100 011001101 011010010 011010011
011010100 011010101 011010110 011010111 011011000 011011001 011011010 011011011 010011000 010011001 010011010 011000
010011011
"""
_BLACK_STEPS = """
0000001111 000011001000 000011001001 000001011011 000000110011 000000110100 000000110101 0000001101100 0000001101101
0000001001010 0000001001011 0000001001100 0000001001101 0000001110010 0000001110011 0000001110100 0000001110101
0000001110110 0000001110111 0000001010010 0000001010011 0000001010100 0000001010101 0000001011010 0000001011011
0000001100100 0000001100101
"""
_LONG_STEPS = """
00000001000 00000001100 00000001101 000000010010 000000010011 000000010100 000000010101 000000010110 000000010111
000000011100 000000011101 000000011110 000000011111
"""
"""Codes of runs: of 0 to 63, and of 64 to 2,560 in steps of 64, behind which is one of the first (T.4, tables 2, 3)."""
_PASS, _HORIZONTAL = 100, 101
_CODES_OF_MODES = {
    "1": 0, "011": 1, "000011": 2, "0000011": 3, "010": -1, "000010": -2, "0000010": -3,
    "0001": _PASS, "001": _HORIZONTAL,
}  # fmt: skip
"""T.4, table 4: how far a run ends from that of the line above, or how it is told otherwise."""

Table = list[tuple[int, int]]
"""For each window of 13 bits the value of the code that it begins with, and its length; 0 for no code."""


def _table(codes: dict[str, int]) -> Table:
    table = [(0, 0)] * (1 << _WINDOW)
    for code, value in codes.items():
        rest = _WINDOW - len(code)
        first = int(code, 2) << rest
        table[first : first + (1 << rest)] = [(value, len(code))] * (1 << rest)
    return table


def _runs(ends: str, steps: str) -> Table:
    codes = {code: length for length, code in enumerate(ends.split())}
    return _table(codes | {code: 64 * number for number, code in enumerate((steps + _LONG_STEPS).split(), 1)})


_RUNS = (_runs(_WHITE_ENDS, _WHITE_STEPS), _runs(_BLACK_ENDS, _BLACK_STEPS))
_MODES = _table(_CODES_OF_MODES | {"1" * count: 0 for count in range(2, _WINDOW + 1)})
"""Several ends right below others, which most codes are, are taken as one code."""


def decode(part: memoryview, compression: int, options: int, width: int, height: int) -> Pixels:
    """(height, width) uint8, 1 for black. Raises ValueError for damage, and where rows are missing."""
    reader = _Reader(part, width)
    flips = np.zeros(height * width, np.uint8)
    above: list[int] = []
    for row in range(height):
        is_plain = reader.begin(compression, bool(options & _TWO_DIMENSIONAL))
        above = reader.read_runs() if is_plain else reader.read_beside(above)
        flips[np.array(above, np.int64) + row * width] = 1
    return np.cumsum(flips.reshape(height, width), axis=1, dtype=np.uint8) & 1


class _Reader:
    """Lines as the places at which colours change, the first to black; only places before the end of the line."""

    def __init__(self, part: memoryview, width: int) -> None:
        stored = np.frombuffer(bytes(part) + bytes(4), np.uint8).astype(np.uint32)
        three = stored[:-2] << 16 | stored[1:-1] << 8 | stored[2:]
        shifts = np.arange(24 - _WINDOW, 16 - _WINDOW, -1, dtype=np.uint32)
        windows = (three[:, None] >> shifts & ((1 << _WINDOW) - 1)).astype(np.uint16)
        self._windows = memoryview(windows.tobytes()).cast("H")
        """The 13 bits from each on; zeros follow the last."""
        self._end = 8 * len(part)
        self._at = 0
        self._width = width

    def begin(self, compression: int, has_both: bool) -> bool:
        """Goes to the next line; whether it is coded by itself."""
        if compression == RUNS:
            self._at = (self._at + 7) // 8 * 8
        if compression != T4:
            return compression == RUNS
        while self._windows[self._at] >> 1 == 0 and self._at < self._end:  # fill
            self._at += 1
        if self._windows[self._at] >> 1 != 1:
            if has_both:
                raise ValueError("no end of line")
            return True  # some writers leave them out
        self._at += 12 + has_both
        return not has_both or self._windows[self._at - 1] >> (_WINDOW - 1) == 1

    def read_runs(self) -> list[int]:
        changes: list[int] = []
        place = color = 0
        while place < self._width:
            place += self._run(color)
            changes.append(place)
            color ^= 1
        return self._whole(changes, place)

    def _run(self, color: int) -> int:
        length = 0
        while True:
            value, _ = self._next(_RUNS[color])
            length += value
            if value < 64:
                return length

    def read_beside(self, above: list[int]) -> list[int]:
        """A line coded by the one above."""
        width, last = self._width, len(above)
        above = [*above, width, width]
        changes: list[int] = []
        place, color, beside = -1, 0, 0
        while place < width:
            while beside and above[beside - 1] > place:
                beside -= 1
            while beside < last and (above[beside] <= place or beside & 1 != color):
                beside += 1
            value, bits = self._next(_MODES)
            if value == _PASS:
                place = above[beside + 1]
            elif value == _HORIZONTAL:
                first = max(place, 0) + self._run(color)
                place = first + self._run(color ^ 1)
                changes += first, place
            elif value == 0:
                count = min(bits, last + 1 - beside)
                self._at -= bits - count
                changes += above[beside : beside + count]
                place = changes[-1]
                color ^= count & 1
            else:
                if not place < above[beside] + value:
                    raise ValueError("a run that ends before it begins")
                place = above[beside] + value
                changes.append(place)
                color ^= 1
        return self._whole(changes, place)

    def _next(self, table: Table) -> tuple[int, int]:
        """The value and length of the next code, which is read."""
        value, bits = table[self._windows[self._at]]
        self._at += bits
        if not bits or self._at > self._end:
            raise ValueError("no code, or none more")
        return value, bits

    def _whole(self, changes: list[int], place: int) -> list[int]:
        """Without those at the line's end, and without runs of no pixels."""
        if place != self._width:
            raise ValueError("a line of another length")
        kept = [change for change in changes if change < place]
        if len(set(kept)) == len(kept):
            return kept
        return sorted(change for change, count in Counter(kept).items() if count % 2)
