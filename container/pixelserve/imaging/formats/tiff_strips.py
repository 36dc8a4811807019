"""The strips and tiles of a TIFF file: bytes to samples as stored.

Deflate is zlib's to decode, JPEG libjpeg-turbo's, fax `fax`'s, and LZW and PackBits libtiff's, through Pillow: libtiff
gets them as a grey picture of bytes, whose samples it has no reason to interpret.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image as Pillow

from pixelserve.imaging.formats import fax, jpeg
from pixelserve.imaging.formats.bits import unpack
from pixelserve.imaging.image import Pixels
from pixelserve.imaging.sizes import check_scans

PLAIN, LZW, JPEG, PACK_BITS = 1, 5, 7, 32773
FAX = (fax.RUNS, fax.T4, fax.T6)
DEFLATE = (8, 32946)
COMPRESSIONS = (PLAIN, *FAX, LZW, JPEG, *DEFLATE, PACK_BITS)
_REVERSED_BYTES = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
_BLOCK = 16
"""Rows to whole numbers of which a JPEG may be filled up."""


@dataclass(frozen=True)
class Strips:
    """Equal parts of one plane, `width` samples across and `rows` high; tiles are taken for strips one below another.

    The last of strips may be lower: together they have `height` rows.
    """

    width: int
    rows: int
    height: int
    samples: int
    bits: int
    order: str
    compression: int
    fax_options: int
    has_differences: bool
    """Predictor 2: each sample is stored as its difference to the one before it in the row."""
    is_reversed: bool
    """Bytes have their first bit lowest. Does not count for JPEG."""
    parts: list[memoryview]

    @property
    def row_bytes(self) -> int:
        return (self.width * self.samples * self.bits + 7) // 8

    def decode(self) -> Pixels:
        """(height, width, samples) uint8 or uint16, as stored. Raises ValueError or OSError for damage."""
        if self.compression in FAX:
            return np.concatenate([self._decode_fax(number) for number in range(len(self.parts))])[..., None]
        if self.compression == PLAIN or self.compression in DEFLATE:
            rows = self._read_rows()
        else:
            rows = self._through_libtiff()
        samples = self._unpack(rows)
        if self.has_differences:
            return np.cumsum(samples, axis=1, dtype=samples.dtype)
        return samples

    def decode_jpeg(self, tables: bytes | None, transform: int) -> Pixels:
        """The same of parts that are JPEG streams; `transform` as `jpeg.read_part` has it.

        Raises ImageTooLarge for too many scans.
        """
        shared = (tables or b"")[2:-2]
        found = np.empty((self.height, self.width, self.samples), np.uint8)
        for number, part in enumerate(self.parts):
            header, decode = jpeg.read_part(b"".join([b"\xff\xd8", shared, part[2:]]), transform)
            top = number * self.rows
            rows = self._rows_of(number)
            is_high = header.height > -(-self.rows // _BLOCK) * _BLOCK
            if header.height < rows or is_high or (header.width, header.channels) != (self.width, self.samples):
                raise ValueError("a strip of another size")
            check_scans(self.width, self.height, header.scans)
            found[top : top + rows] = decode()[:rows]
        return found

    def _rows_of(self, number: int) -> int:
        return min(self.rows, self.height - number * self.rows)

    def _decode_fax(self, number: int) -> Pixels:
        part = self._in_order(self.parts[number])
        return fax.decode(part, self.compression, self.fax_options, self.width, self._rows_of(number))

    def _in_order(self, part: memoryview) -> memoryview:
        """With the first bit of each byte highest."""
        return memoryview(part.tobytes().translate(_REVERSED_BYTES)) if self.is_reversed else part

    def _read_rows(self) -> Pixels:
        """(height, row_bytes) uint8."""
        whole = bytearray()
        for number, part in enumerate(self.parts):
            wanted = self._rows_of(number) * self.row_bytes
            if self.compression in DEFLATE:
                read = self._inflate(self._in_order(part))[:wanted]
            else:
                read = self._in_order(part[:wanted])
            if len(read) < wanted:
                raise ValueError("a strip that is too short")
            whole += read
        return np.frombuffer(whole, np.uint8).reshape(self.height, self.row_bytes)

    def _inflate(self, part: memoryview) -> memoryview:
        """A whole strip, its checksum compared. Some writers fill up the last one."""
        inflater = zlib.decompressobj()
        found = inflater.decompress(part, self.rows * self.row_bytes + 1)
        if not inflater.eof:
            raise ValueError("a strip that is cut off, or longer than it may be")
        return memoryview(found)

    def _through_libtiff(self) -> Pixels:
        """The parts as strips of a grey picture of bytes: (height, row_bytes) uint8."""
        sizes = [len(part) for part in self.parts]
        offsets = np.cumsum([8, *sizes])
        arrays = int(offsets[-1])
        tags = [
            (256, self.row_bytes), (257, self.height), (258, 8), (259, self.compression), (262, 1),
            (273, arrays if len(sizes) > 1 else 8), (277, 1), (278, self.rows),
            (279, arrays + 4 * len(sizes) if len(sizes) > 1 else sizes[0]),
        ]  # fmt: skip
        counts = {273: len(sizes), 279: len(sizes)}
        entries = b"".join(struct.pack("<HHII", tag, 4, counts.get(tag, 1), value) for tag, value in tags)
        directory = struct.pack("<H", len(tags)) + entries + bytes(4)
        lists = np.concatenate([offsets[:-1], sizes]).astype("<u4").tobytes()
        head = b"II*\0" + struct.pack("<I", arrays + len(lists))
        with Pillow.open(
            io.BytesIO(b"".join([head, *map(self._in_order, self.parts), lists, directory])), formats=("TIFF",)
        ) as picture:
            return np.asarray(picture)

    def _unpack(self, rows: Pixels) -> Pixels:
        values: Pixels = (
            rows.view(f"{self.order}u2").astype(np.uint16, copy=False) if self.bits == 16 else unpack(rows, self.bits)
        )
        return values[:, : self.width * self.samples].reshape(self.height, self.width, self.samples)
