"""JPEG (ITU-T T.81): its segments and scans are read here, its pixels by libjpeg-turbo (simplejpeg), which is strict.

libjpeg-turbo gets the picture without its metadata, which therefore cannot cost it; a segment of Adobe's tells it the
colours.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import simplejpeg

from pixelserve.errors import InvalidImage
from pixelserve.imaging.formats.exif import read_orientation
from pixelserve.imaging.formats.header import Header, Source, damaged, unsupported
from pixelserve.imaging.image import Pixels

MOST_SEGMENTS = 5_000
MOST_SCANS = 100
"""Of one JPEG; encoders write about ten."""

_TEM, _EOI, _SOS, _DHT, _DQT, _DRI = 0x01, 0xD9, 0xDA, 0xC4, 0xDB, 0xDD
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), 0xC2
_NOT_READ = {
    0xC3: "Lossless JPEG",
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "Hierarchical JPEG"),
    **dict.fromkeys((0xC9, 0xCA, 0xCB), "JPEG with arithmetic coding"),
    0xF7: "JPEG-LS",
}
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
"""All but those that stand between pixels, RST0 to RST7. Of FF that fill up the space before, the last is found."""
_SAMPLINGS = ((2, 1), (2, 2), (1, 2), (4, 1), (1, 4))
"""Factors of luma beside chroma of (1, 1) that TurboJPEG's API takes."""
_SPACES = {1: "GRAY", 3: "RGB", 4: "CMYK"}
_LONGEST_SCAN_HEAD = 12
_COEFFICIENTS, _BITS = 64, 8


@dataclass
class _File:
    """What the segments say."""

    kept: list[bytes] = field(default_factory=list)
    """Those that a decoder needs before the first scan."""
    process: int = 0
    width: int = 0
    height: int = 0
    factors: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Of each component, by its identifier."""
    unsent: dict[int, list[int]] = field(default_factory=dict)
    """For each component and coefficient how many of the lowest bits no scan has had yet."""
    scans: int = 0
    begin: int = 0
    """Where the first scan begins; `end` is where the last ends."""
    end: int = 0
    has_jfif: bool = False
    adobe: int | None = None
    exif: bytes | None = None
    profile: list[bytes] = field(default_factory=list)
    """Its parts, each behind its number and how many there are (ICC.1:2022, B.4)."""

    def note(self, marker: int, content: bytes) -> None:
        if marker in _NOT_READ:
            raise unsupported(_NOT_READ[marker])
        if marker in (*_SEQUENTIAL, _PROGRESSIVE):
            self._note_frame(marker, content)
        elif marker == _APP0 and content.startswith(b"JFIF\0"):
            self.has_jfif = True
        elif marker == _APP1 and content.startswith(b"Exif\0"):
            self.exif = self.exif or content
        elif marker == _APP2 and content.startswith(b"ICC_PROFILE\0"):
            self.profile.append(content[12:])
        elif marker == _APP14 and content.startswith(b"Adobe") and len(content) > 11:
            self.adobe = content[11]
        if marker in (_DHT, _DQT, _DRI) and not self.scans:
            self.kept.append(_segment(marker, content))

    def _note_frame(self, marker: int, content: bytes) -> None:
        if self.process or len(content) < 6 or len(content) != 6 + 3 * content[5]:
            raise damaged("JPEG")
        self.process = marker
        bits, self.height, self.width, _ = struct.unpack_from("!BHHB", content)
        for identifier, factors, _ in struct.iter_unpack("BBB", content[6:]):
            self.factors[identifier] = (factors >> 4, factors & 15)
            self.unsent[identifier] = [_BITS] * _COEFFICIENTS
        self.kept.append(_segment(marker, content))
        if bits != 8:
            raise unsupported(f"{bits}-bit JPEG")
        if not self.height:
            raise unsupported("JPEG with its height behind its pixels")
        if 3 * len(self.factors) != len(content) - 6 or not self.width or not all(map(all, self.factors.values())):
            raise damaged("JPEG")

    def note_scan(self, content: bytes) -> None:
        """Content up to the pixels."""
        self.scans += 1
        if self.scans > MOST_SCANS:
            raise InvalidImage(f"The JPEG file has more than {MOST_SCANS} scans. Save it again.")
        count = content[0] if content else 0
        if not 1 <= count <= 4 or len(content) < 4 + 2 * count:
            raise damaged("JPEG")
        first, last, low = content[1 + 2 * count], content[2 + 2 * count], content[3 + 2 * count] & 15
        if self.process != _PROGRESSIVE:
            first, last, low = 0, _COEFFICIENTS - 1, 0
        for identifier in content[1 : 1 + 2 * count : 2]:
            if identifier not in self.unsent or not first <= last < _COEFFICIENTS:
                raise damaged("JPEG")
            self.unsent[identifier][first : last + 1] = [low] * (last + 1 - first)

    def check(self) -> None:
        """Raises UnsupportedMediaType and InvalidImage for what the segments tell together."""
        if not self.scans:
            raise damaged("JPEG")
        if any(map(any, self.unsent.values())):
            raise damaged("JPEG", "is cut off: its last scans are missing")
        if len(self.factors) not in _SPACES:
            raise unsupported(f"JPEG of {len(self.factors)} components")
        factors = list(self.factors.values())
        luma, chroma = factors[0], set(factors[1:3])
        is_even = chroma <= {luma} or (chroma == {(1, 1)} and luma in _SAMPLINGS)
        if not (is_even or (luma == (2, 2) and chroma in ({(1, 2)}, {(2, 1)}))) or factors[3:] not in ([], [luma]):
            raise unsupported(f"JPEG with the sampling factors {', '.join(f'{a}x{d}' for a, d in factors)}")

    def transform(self) -> int:
        """The colours, as Adobe's segment tells them: 0 as stored, 1 YCbCr, 2 YCCK. libjpeg's rule (jdapimin.c)."""
        if len(self.factors) == 1:
            return 0
        if len(self.factors) == 4:
            return 0 if self.adobe in (None, 0) else 2
        if self.has_jfif:
            return 1
        if self.adobe is not None:
            return int(self.adobe != 0)
        return int(bytes(self.factors) != b"RGB")


def read(data: bytes) -> Source:
    """Raises UnsupportedMediaType naming the kind, InvalidImage for damage."""
    file = _read(data)
    count = len(file.factors)
    profile = b"".join(part[2:] for part in sorted(file.profile))
    header = Header(
        "jpeg", file.width, file.height, count, 8 * count, space=_SPACES[count],
        orientation=read_orientation(file.exif), profile=profile or None, scans=file.scans,
    )  # fmt: skip
    return Source(header, lambda: _decode(file, data))


def read_part(data: bytes, transform: int) -> Source:
    """A JPEG stream inside a file of another format that tells its colours: 1 for YCbCr, 0 for samples as stored.

    Raises what `read` raises.
    """
    file = _read(data)
    count = len(file.factors)
    header = Header("jpeg", file.width, file.height, count, 8 * count, space=_SPACES[count], scans=file.scans)
    return Source(header, lambda: _samples(file, data, transform))


def _read(data: bytes) -> _File:
    file = _File()
    for marker, start, end in _segments(data):
        if marker == _SOS:
            file.note_scan(data[start : start + _LONGEST_SCAN_HEAD])
            file.begin = file.begin or start - 4
            file.end = end
        else:
            file.note(marker, data[start:end])
    file.check()
    return file


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment's content, in which a scan has its pixels. Ends before EOI, or without."""
    position = 2
    for _ in range(MOST_SEGMENTS):
        found = _MARKER.search(data, position)  # what lies between segments is nothing, as to libjpeg
        if found is None or found[1][0] == _EOI:
            return
        start = found.end() + 2
        end = start - 2 + int.from_bytes(data[start - 2 : start], "big")
        if found[1][0] == _TEM:
            position = found.end()
            continue
        if not start <= end <= len(data):
            raise damaged("JPEG")
        if found[1][0] == _SOS:
            following = _MARKER.search(data, end)
            end = len(data) if following is None else following.start()
        yield found[1][0], start, end
        position = end
    raise InvalidImage(f"The JPEG file has more than {MOST_SEGMENTS:,} segments. Save it again.")


def _decode(file: _File, data: bytes) -> Pixels:
    samples = _samples(file, data, file.transform())
    return 255 - samples if samples.shape[2] == 4 else samples  # stored as Adobe's products do, with 0 for all ink


def _samples(file: _File, data: bytes, transform: int) -> Pixels:
    adobe = b"Adobe" + struct.pack("!HHHB", 100, 0, 0, transform)
    scans = memoryview(data)[file.begin : file.end]
    parts: list[bytes | memoryview] = [b"\xff\xd8", _segment(_APP14, adobe), *file.kept, scans, b"\xff\xd9"]
    try:
        pixels: Pixels = simplejpeg.decode_jpeg(b"".join(parts), _SPACES[len(file.factors)])
    except ValueError:
        if file.scans > 1 or not scans.tobytes().endswith(b"\0"):
            raise
        parts[-2] = scans.tobytes().rstrip(b"\0")  # some cameras fill up what lies behind the last code
        pixels = simplejpeg.decode_jpeg(b"".join(parts), _SPACES[len(file.factors)])
    return pixels


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack("!BBH", 0xFF, marker, 2 + len(content)) + content
