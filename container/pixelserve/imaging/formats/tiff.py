"""TIFF 6.0, and BigTIFF: kinds are read here, samples in `tiff_strips`. Of several pictures it is the first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pixelserve.imaging.formats import fax
from pixelserve.imaging.formats import tiff_tags as tags_of
from pixelserve.imaging.formats.header import Header, Source, damaged, unsupported
from pixelserve.imaging.formats.tiff_strips import COMPRESSIONS, DEFLATE, FAX, JPEG, LZW, PLAIN, Strips
from pixelserve.imaging.formats.tiff_tags import Tags, Values, read_tags
from pixelserve.imaging.image import Pixels

_MISSING = -1
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCC = 0, 1, 2, 3, 5, 6
_SAMPLES = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _YCC: 3}
_COLORS = {
    4: "of a transparency mask", 8: "in LAB colours", 9: "in LAB colours", 10: "in LAB colours",
    32803: "of a camera's raw samples", 32844: "in LogL samples", 32845: "in LogLuv samples",
    34892: "of a camera's raw samples",
}  # fmt: skip
_FORMATS = {2: "signed", 3: "floating-point", 5: "complex", 6: "complex"}
_COMPRESSIONS = {
    6: "old-style JPEG", 32766: "NeXT's", 32809: "ThunderScan's", 33003: "JPEG 2000", 33005: "JPEG 2000",
    34712: "JPEG 2000", 34676: "SGI's LogLuv", 34677: "SGI's LogLuv", 34887: "LERC", 34892: "lossy JPEG", 34925: "LZMA",
    50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip
_ASSOCIATED, _UNASSOCIATED = 1, 2
_REVERSED = 2
"""FillOrder: bytes have their first bit lowest. Said of all that is not JPEG, as to libtiff, whatever its bits."""
_PREVIEW, _MASK = 1, 4
"""Bits of NewSubfileType."""
_CANON = b"CR\2"
"""What a CR2 has behind its header."""
_BAND = 1 << 16
"""Pixels that are computed with at once: in 32 bits, which would be much memory for all of a picture."""
_MOST_SAMPLES = 8
_MOST_OVERLAP, _SMALL_BYTES = 4, 32_000_000
"""Compressed strips may share their bytes, as blank ones do: together they have at most so many times the file's
length, or so many bytes.
"""
_MOST_TILED, _SMALL_TILED = 2, 1 << 24
"""Tiles hang over the edges: they have at most so many times the pixels of the picture, and so many more."""


@dataclass(frozen=True)
class _File:
    tags: Tags
    width: int
    height: int
    samples: int
    bits: int
    compression: int
    photometric: int
    is_planar: bool
    alpha: int
    """Which of the samples is alpha, -1 for none; `is_associated` says whether colours are multiplied by it."""
    is_associated: bool
    tile: tuple[int, int] | None
    """Width and height."""

    @property
    def colors(self) -> int:
        return _SAMPLES[self.photometric]

    @property
    def space(self) -> str:
        if self.photometric == _CMYK:
            return "CMYK"
        return "GRAY" if self.photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO) else "RGB"


def read(data: bytes) -> Source:
    """Raises UnsupportedMediaType naming the kind, InvalidImage for damage."""
    if data[8:11] == _CANON:
        raise unsupported("CR2, a camera's raw file,")
    file = _read_kind(read_tags(data))
    parts = _read_parts(file, data)
    header = Header(
        "tiff", file.width, file.height, {"GRAY": 1, "RGB": 3, "CMYK": 4}[file.space] + (file.alpha >= 0),
        file.samples * file.bits, depth=16 if file.bits == 16 and file.space != "CMYK" else 8, space=file.space,
        orientation=_orientation(file.tags), profile=file.tags.bytes(tags_of.PROFILE),
    )  # fmt: skip
    return Source(header, lambda: _decode(file, parts))


def _orientation(tags: Tags) -> int:
    orientation = tags.one(tags_of.ORIENTATION, 1)
    return orientation if 1 <= orientation <= 8 else 1


def _read_kind(tags: Tags) -> _File:
    width, height = tags.one(tags_of.WIDTH), tags.one(tags_of.LENGTH)
    samples = tags.one(tags_of.SAMPLES, 1)
    _check_kind(tags)
    photometric = tags.one(tags_of.PHOTOMETRIC, _MISSING)
    if photometric == _MISSING:
        raise damaged("TIFF", "does not say what its samples are")
    if width < 1 or height < 1 or samples < _SAMPLES[photometric]:
        raise damaged("TIFF")
    extra = tags.all(tags_of.EXTRA_SAMPLES).tolist() or [_UNASSOCIATED] * (photometric == _RGB and samples == 4)
    alpha = next((i for i, kind in enumerate(extra) if kind in (_ASSOCIATED, _UNASSOCIATED)), -1)
    if photometric == _CMYK and alpha >= 0:
        raise unsupported("TIFF with CMYK colours and alpha")
    if alpha >= samples - _SAMPLES[photometric]:
        raise damaged("TIFF")
    if _SAMPLES[photometric] == 1 and samples > 1 + (alpha >= 0):
        raise unsupported(f"TIFF of {samples} bands that are no colours")
    has_tiles = tags_of.TILE_WIDTH in tags.values
    return _File(
        tags, width, height, samples, tags.one(tags_of.BITS, 1), tags.one(tags_of.COMPRESSION, PLAIN), photometric,
        samples > 1 and tags.one(tags_of.PLANAR, 1) == 2, alpha + _SAMPLES[photometric] if alpha >= 0 else -1,
        alpha >= 0 and extra[alpha] == _ASSOCIATED, _read_tile(tags, width, height) if has_tiles else None,
    )  # fmt: skip


def _check_kind(tags: Tags) -> None:
    """Raises UnsupportedMediaType naming the kind."""
    photometric, compression = tags.one(tags_of.PHOTOMETRIC, _MISSING), tags.one(tags_of.COMPRESSION, PLAIN)
    predictor, planar = tags.one(tags_of.PREDICTOR, 1), tags.one(tags_of.PLANAR, 1)
    bits = set(tags.all(tags_of.BITS).tolist()) or {1}
    formats = set(tags.all(tags_of.SAMPLE_FORMAT).tolist()) - {1, 4}  # unsigned, and undefined
    depth = f"{' and '.join(map(str, sorted(bits)))}-bit"
    samples = tags.one(tags_of.SAMPLES, 1)
    has_fax_of_grey = compression in FAX and (bits, samples) != ({1}, 1)
    kinds = [
        (tags_of.DNG_VERSION in tags.values, "DNG, a camera's raw file,"),
        (
            tags.one(tags_of.SUBFILE_TYPE) & (_PREVIEW | _MASK),
            "TIFF whose first picture is a preview or a mask, as in a camera's raw file,",
        ),
        (photometric in _COLORS, f"{depth} TIFF {_COLORS.get(photometric)}"),
        (photometric not in (_MISSING, *_COLORS, *_SAMPLES), f"TIFF of the photometric kind {photometric}"),
        (formats, f"{depth} {_FORMATS.get(min(formats, default=1), 'unknown')} TIFF"),
        (len(bits) > 1 or not bits <= {1, 2, 4, 8, 16}, f"{depth} TIFF"),
        (photometric == _PALETTE and bits == {16}, f"{depth} TIFF with a palette"),
        (
            compression not in COMPRESSIONS,
            f"TIFF with {_COMPRESSIONS.get(compression, f'the {compression}th')} compression",
        ),
        (compression == JPEG and bits != {8}, f"{depth} TIFF with JPEG compression"),
        (has_fax_of_grey, "TIFF with fax compression of more than one bit a pixel"),
        (photometric == _CMYK and tags.one(tags_of.INK_SET, 1) != 1, "TIFF with other inks than CMYK"),
        (photometric == _YCC and (compression, planar) != (JPEG, 1), "TIFF in YCbCr colours outside JPEG"),
        (samples > _MOST_SAMPLES, f"TIFF of {samples} samples a pixel"),
        (
            _has_predictor(tags) and (predictor != 2 or not bits <= {8, 16}),
            f"{depth} TIFF with the predictor {predictor}",
        ),
    ]
    for is_of_it, kind in kinds:
        if is_of_it:
            raise unsupported(kind)


def _has_predictor(tags: Tags) -> bool:
    """The tag counts for LZW and Deflate only."""
    return tags.one(tags_of.COMPRESSION) in (LZW, *DEFLATE) and tags.one(tags_of.PREDICTOR, 1) != 1


def _read_tile(tags: Tags, width: int, height: int) -> tuple[int, int]:
    tile = tags.one(tags_of.TILE_WIDTH), tags.one(tags_of.TILE_LENGTH)
    if min(tile) < 1:
        raise damaged("TIFF")
    tiled = -(-width // tile[0]) * tile[0] * -(-height // tile[1]) * tile[1]
    if tiled > _MOST_TILED * width * height + _SMALL_TILED:
        raise damaged("TIFF", f"has tiles of {tile[0]} x {tile[1]} pixels, larger than its picture")
    return tile


def _read_parts(file: _File, data: bytes) -> list[Strips]:
    """The strips of each plane."""
    tags = file.tags
    width, rows = file.tile or (
        file.width,
        min(tags.one(tags_of.ROWS_PER_STRIP, file.height), file.height) or file.height,
    )
    across, down = -(-file.width // width), -(-file.height // rows)
    planes = file.samples if file.is_planar else 1
    count = across * down * planes
    offsets, sizes = _find_parts(file, count, len(data))
    if file.compression in FAX and sizes.sum() > fax.MOST_BYTES:
        raise unsupported(f"TIFF with more than {fax.MOST_BYTES:,} bytes of fax compression")
    view = memoryview(data)
    parts = [view[offset : offset + size] for offset, size in zip(offsets.tolist(), sizes.tolist(), strict=True)]
    each = count // planes
    return [
        Strips(
            width, rows, across * down * rows if file.tile else file.height, 1 if file.is_planar else file.samples,
            file.bits, tags.order, file.compression, tags.one(tags_of.FAX_OPTIONS),
            _has_predictor(tags), tags.one(tags_of.FILL_ORDER, 1) == _REVERSED, parts[first : first + each],
        )
        for first in range(0, count, each)
    ]  # fmt: skip


def _find_parts(file: _File, count: int, length: int) -> tuple[Values, Values]:
    """Offsets and sizes of strips or tiles. Raises InvalidImage for those that are missing, or outside the file."""
    if count > tags_of.MOST_VALUES:
        raise damaged("TIFF", f"has more than {tags_of.MOST_VALUES:,} strips or tiles")
    by_tile = tags_of.TILE_OFFSETS in file.tags.values
    offsets = file.tags.all(tags_of.TILE_OFFSETS if by_tile else tags_of.STRIP_OFFSETS)[:count]
    sizes = file.tags.all(tags_of.TILE_SIZES if by_tile else tags_of.STRIP_SIZES)[:count]
    if len(offsets) == 1 and not len(sizes):  # old writers leave out the size of the only strip
        sizes = length - offsets
    if len(offsets) < count or len(sizes) < count:
        raise damaged("TIFF")
    if file.compression == PLAIN:  # whose sizes follow from those of the picture
        sizes = np.minimum(sizes, length - offsets)
    if not sizes.all():
        raise damaged("TIFF", "has strips or tiles without any bytes")
    if offsets.min() < 0 or sizes.min() < 1 or (offsets + sizes).max() > length:
        raise damaged("TIFF", "is cut off")
    if file.compression != PLAIN and sizes.sum() > max(_MOST_OVERLAP * length, _SMALL_BYTES):
        raise damaged("TIFF", "has strips that lie over each other")
    return offsets, sizes


def _decode(file: _File, planes: list[Strips]) -> Pixels:
    samples = [_join(file, _decode_plane(file, plane)) for plane in planes]
    return _interpret(file, np.concatenate(samples, axis=2) if file.is_planar else samples[0])


def _decode_plane(file: _File, plane: Strips) -> Pixels:
    if file.compression == JPEG:
        return plane.decode_jpeg(file.tags.bytes(tags_of.JPEG_TABLES), int(file.photometric == _YCC))
    return plane.decode()


def _join(file: _File, samples: Pixels) -> Pixels:
    """Tiles, one below another, beside each other."""
    if file.tile is None:
        return samples
    width, height = file.tile
    across = -(-file.width // width)
    tiles = samples.reshape(-1, across, height, width, samples.shape[2]).swapaxes(1, 2)
    return tiles.reshape(-1, across * width, samples.shape[2])[: file.height, : file.width]


def _interpret(file: _File, samples: Pixels) -> Pixels:
    """Samples as stored to grey, RGB or CMYK, with alpha where there is one."""
    most = (1 << file.bits) - 1
    colors = samples[..., : file.colors]
    if file.photometric == _PALETTE:
        colors = _palette(file)[colors[..., 0]]
    elif file.photometric == _WHITE_IS_ZERO:
        colors = most - colors
    if file.bits < 8 and file.photometric != _PALETTE:
        colors = colors * np.uint8(255 // most)
    if file.photometric == _CMYK and file.bits == 16:
        return np.right_shift(colors, 8, out=np.empty(colors.shape, np.uint8), casting="unsafe")
    if file.alpha < 0:
        return colors
    alpha = samples[..., file.alpha : file.alpha + 1]
    if file.bits < 8:
        alpha = alpha * np.uint8(255 // most)
    if file.is_associated:
        colors = _unassociated(colors, alpha)
    return np.concatenate([colors, alpha], axis=2)


def _unassociated(colors: Pixels, alpha: Pixels) -> Pixels:
    """Colours that were multiplied by alpha, divided by it; black where nothing can be seen."""
    most = int(np.iinfo(alpha.dtype).max)
    found = np.empty(colors.shape, alpha.dtype)
    step = max(1, _BAND // colors.shape[1])
    for rows in (slice(top, top + step) for top in range(0, len(colors), step)):
        divisor = np.maximum(alpha[rows], 1).astype(np.uint32)
        divided = np.minimum((colors[rows].astype(np.uint32) * most + divisor // 2) // divisor, most)
        found[rows] = np.where(alpha[rows] > 0, divided, 0)
    return found


def _palette(file: _File) -> Pixels:
    """(N, 3) uint8 of the colour map, which has all reds first. Raises ValueError for one that is too short."""
    values = file.tags.all(tags_of.COLOR_MAP)
    if len(values) < 3 << file.bits:
        raise ValueError("a colour map that is too short")
    colors = values[: 3 << file.bits].reshape(3, -1).T
    return (colors if values.max() < 256 else colors >> 8).astype(np.uint8)  # some writers fill only the lower byte
