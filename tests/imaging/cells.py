"""The kinds of files there are: for each a picture of random samples, and what reading it must give, or its refusal.

The files are written byte by byte, by the modules beside this one, and what is expected is what they were written from.
WebP alone is libwebp's to write.
"""

from __future__ import annotations

import io
import itertools
import struct
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any, NamedTuple

import bmp_files as bmp
import jpeg_files as jpeg
import numpy as np
import png_files as png
import tiff_files as tiff
from hypothesis import strategies as st
from jpeg_files import Jpeg
from numpy.typing import NDArray
from PIL import Image as Pillow

Random = np.random.Generator


class File(NamedTuple):
    data: bytes
    pixels: NDArray[Any] | None = None
    """(H, W, C) uint8 or uint16; None where the file is to be refused."""
    near: int = 0
    """How many levels pixels may be off: JPEG's way from YCbCr to RGB rounds."""
    refused: str = ""
    """What the refusal has to name."""


Cell = Callable[[Random, int, int], File]


def cells() -> dict[str, Cell]:
    return dict(itertools.chain(_png_cells(), _bmp_cells(), _tiff_cells(), _jpeg_cells(), _webp_cells()))


def any_name(names: Collection[str]) -> st.SearchStrategy[str]:
    """Of a cell. The format is drawn first: most cells are TIFF's."""
    formats: dict[str, list[str]] = {}
    for name in sorted(names):
        formats.setdefault(name.partition("-")[0], []).append(name)
    return st.sampled_from(sorted(formats)).flatmap(lambda format: st.sampled_from(formats[format]))


def _scaled(samples: NDArray[Any], bits: int) -> NDArray[Any]:
    """Samples of up to 8 bits brought to 255, those of 16 as they are."""
    if bits == 16:
        return samples.astype(np.uint16)
    return np.rint(samples * (255 / ((1 << bits) - 1))).astype(np.uint8)


def _random(rng: Random, width: int, height: int, count: int, bits: int) -> NDArray[Any]:
    return rng.integers(0, 1 << bits, (height, width, count))


def _with_alpha(pixels: NDArray[Any], hidden: NDArray[np.bool_]) -> NDArray[Any]:
    alpha = np.where(hidden, 0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)
    return np.concatenate([pixels, alpha[..., None]], axis=2)


# PNG


def _png_cells() -> Iterator[tuple[str, Cell]]:
    depths = {
        png.GREY: (1, 2, 4, 8, 16), png.RGB: (8, 16), png.PALETTE: (1, 2, 4, 8), png.GREY_ALPHA: (8, 16),
        png.RGBA: (8, 16),
    }  # fmt: skip
    for color, interlaced in itertools.product(depths, (False, True)):
        for bits in depths[color]:
            for has_key in (False, True) if color in (png.GREY, png.RGB, png.PALETTE) else (False,):
                name = f"png-{color}-{bits}{'-interlaced' * interlaced}{'-trns' * has_key}"
                make = _png_palette if color == png.PALETTE else partial(_png_plain, color)
                yield name, partial(make, bits, interlaced, has_key)


def _png_plain(color: int, bits: int, interlaced: bool, has_key: bool, rng: Random, width: int, height: int) -> File:
    count = {png.GREY: 1, png.RGB: 3, png.GREY_ALPHA: 2, png.RGBA: 4}[color]
    samples = _random(rng, width, height, count, bits)
    pixels = _scaled(samples, bits)
    if not has_key:
        return File(png.write_png(samples, bits, color, interlaced=interlaced), pixels)
    key = samples[rng.integers(height), rng.integers(width)]
    stored = struct.pack(f"!{count}H", *key.tolist())
    data = png.write_png(samples, bits, color, interlaced=interlaced, transparent=stored)
    return File(data, _with_alpha(pixels, (samples == key).all(axis=2)))


def _png_palette(bits: int, interlaced: bool, has_alpha: bool, rng: Random, width: int, height: int) -> File:
    entries = int(rng.integers(1, (1 << bits) + 1))
    palette = rng.integers(0, 256, (entries, 3), np.uint8)
    samples = rng.integers(0, entries, (height, width, 1))
    alpha = np.full(entries, 255, np.uint8)
    given = int(rng.integers(1, entries + 1)) if has_alpha else 0
    alpha[:given] = rng.integers(0, 256, given)
    data = png.write_png(
        samples,
        bits,
        png.PALETTE,
        interlaced=interlaced,
        palette=palette.tobytes(),
        transparent=alpha[:given].tobytes(),
    )
    colors = np.column_stack([palette, alpha]) if has_alpha else palette
    return File(data, colors[samples[..., 0]])


# BMP


def _bmp_cells() -> Iterator[tuple[str, Cell]]:
    for bits, header in itertools.product((1, 2, 4, 8, 16, 24, 32), (bmp.CORE, bmp.INFO, bmp.V4, bmp.V5, bmp.OS2)):
        if header != bmp.CORE or bits not in (16, 32):
            for from_top in (False, True) if header != bmp.CORE else (False,):
                yield f"bmp-{bits}-{header}{'-top' * from_top}", partial(_bmp_plain, bits, header, from_top)
    layouts = {
        "555": (16, (0x7C00, 0x3E0, 0x1F)),
        "565": (16, (0xF800, 0x7E0, 0x1F)),
        "bgr-444": (16, (0xF, 0xF0, 0xF00)),
        "4444": (16, (0xF00, 0xF0, 0xF, 0xF000)),
        "1555": (16, (0x7C00, 0x3E0, 0x1F, 0x8000)),
        "888": (32, (0xFF0000, 0xFF00, 0xFF)),
        "rgbx": (32, (0xFF000000, 0xFF0000, 0xFF00)),
        "8888": (32, (0xFF, 0xFF00, 0xFF0000, 0xFF000000)),
        "101010": (32, (0x3FF00000, 0xFFC00, 0x3FF)),
        "1010102": (32, (0x3FF, 0xFFC00, 0x3FF00000, 0xC0000000)),
    }
    for name, (bits, masks) in layouts.items():
        for header in (bmp.V3, bmp.V4, bmp.V5) if len(masks) == 4 else (bmp.INFO, bmp.V2, bmp.V4, bmp.V5):
            yield f"bmp-masks-{name}-{header}", partial(_bmp_masks, bits, masks, header, bmp.MASKS)
        if len(masks) == 4:
            yield f"bmp-masks-{name}-alpha", partial(_bmp_masks, bits, masks, bmp.INFO, bmp.ALPHA_MASKS)
    for bits, header in itertools.product((4, 8), (bmp.INFO, bmp.V4, bmp.OS2)):
        yield f"bmp-runs-{bits}-{header}", partial(_bmp_runs, bits, header)
    yield "bmp-runs-24", _bmp_runs_of_24
    yield "bmp-huffman", _bmp_huffman
    for compression, make in (
        (bmp.JPEG, partial(_jpeg_plain, "ycc", {})),
        (bmp.PNG, partial(_png_plain, 2, 8, False, False)),
    ):
        yield f"bmp-holds-{compression}", partial(_bmp_holding, compression, make)
    for name, (bits, header, compression) in {
        "CMYK": (32, bmp.INFO, 11), "64 bits": (64, bmp.INFO, 0),
    }.items():  # fmt: skip
        yield f"bmp-refused-{name}", partial(_bmp_refused, name, bits, header, compression)


def _palette(rng: Random, entries: int) -> NDArray[np.uint8]:
    palette = rng.integers(0, 256, (entries, 3), np.uint8)
    palette[0] = (1, 2, 3)  # so that it is never a grey one
    return palette


def _bmp_plain(bits: int, header: int, from_top: bool, rng: Random, width: int, height: int) -> File:
    palette = None
    if bits <= 8:
        palette = _palette(rng, 1 << bits if header == bmp.CORE else int(rng.integers(1, (1 << bits) + 1)))
        values = rng.integers(0, len(palette), (height, width))
        pixels = palette[values]
    elif bits == 24:
        values = pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
    else:
        values = rng.integers(0, 1 << bits, (height, width))
        pixels = _unmasked(values, (0x7C00, 0x3E0, 0x1F) if bits == 16 else (0xFF0000, 0xFF00, 0xFF))
    gap = int(rng.integers(0, 3)) * 4 if palette is None else 0
    rows = bmp.rows_of(values, bits, from_top=from_top)
    return File(
        bmp.write_bmp(rows, width, height, bits, header=header, palette=palette, from_top=from_top, gap=gap), pixels
    )


def _unmasked(values: NDArray[Any], masks: tuple[int, ...]) -> NDArray[Any]:
    samples = []
    for mask in masks:
        shift = (mask & -mask).bit_length() - 1
        samples.append(np.floor(((values & mask) >> shift) * 255 / (mask >> shift) + 0.5))
    return np.stack(samples, axis=2).astype(np.uint8)


def _bmp_masks(
    bits: int, masks: tuple[int, ...], header: int, compression: int, rng: Random, width: int, height: int
) -> File:
    values = rng.integers(0, 1 << bits, (height, width))
    rows = bmp.rows_of(values, bits)
    data = bmp.write_bmp(rows, width, height, bits, header=header, compression=compression, masks=masks)
    return File(data, _unmasked(values, masks))


def _bmp_runs(bits: int, header: int, rng: Random, width: int, height: int) -> File:
    palette = _palette(rng, 1 << bits)
    runs, indices = bmp.runs_of(rng.integers(0, len(palette), (height, width)), bits)
    compression = bmp.RUNS_8 if bits == 8 else bmp.RUNS_4
    data = bmp.write_bmp(runs, width, height, bits, header=header, compression=compression, palette=palette)
    return File(data, palette[indices])


def _bmp_runs_of_24(rng: Random, width: int, height: int) -> File:
    pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
    return File(
        bmp.write_bmp(bmp.runs_of_24(pixels), width, height, 24, header=bmp.OS2, compression=bmp.RUNS_24), pixels
    )


def _bmp_huffman(rng: Random, width: int, height: int) -> File:
    palette = _palette(rng, 2)
    rows = rng.integers(0, 2, (height, 1 + width % 4)).repeat(8, axis=1)
    codes = tiff.fax(rows[::-1], tiff.FAX_3)
    options: dict[str, Any] = {"header": bmp.OS2, "compression": bmp.HUFFMAN, "palette": palette}
    return File(bmp.write_bmp(codes, rows.shape[1], height, 1, **options), palette[rows])


def _bmp_holding(compression: int, make: Cell, rng: Random, width: int, height: int) -> File:
    """A whole file in the place of pixels."""
    held = make(rng, width, height)
    return held._replace(data=bmp.write_bmp(held.data, width, height, 0, compression=compression))


def _bmp_refused(name: str, bits: int, header: int, compression: int, rng: Random, width: int, height: int) -> File:
    body = rng.bytes(width * height * 8)
    return File(bmp.write_bmp(body, width, height, bits, header=header, compression=compression), refused=name)


# TIFF


def _tiff_cells() -> Iterator[tuple[str, Cell]]:
    orders, layouts = ("<", ">"), ("strips", "tiles")
    methods = {
        "plain": (tiff.PLAIN, False), "lzw": (tiff.LZW, False), "lzw-differences": (tiff.LZW, True),
        "deflate": (tiff.DEFLATE, False), "deflate-differences": (tiff.OLD_DEFLATE, True),
        "packbits": (tiff.PACK_BITS, False),
    }  # fmt: skip
    colors = {
        "white-is-zero": (tiff.WHITE_IS_ZERO, ()), "grey": (tiff.BLACK_IS_ZERO, ()),
        "grey-alpha": (tiff.BLACK_IS_ZERO, (2,)), "grey-associated": (tiff.BLACK_IS_ZERO, (1,)),
        "rgb": (tiff.RGB, ()), "rgb-alpha": (tiff.RGB, (2,)),
        "rgb-associated": (tiff.RGB, (1,)), "rgb-other": (tiff.RGB, (0,)), "rgb-other-alpha": (tiff.RGB, (0, 2)),
        "palette": (tiff.PALETTE, ()),
    }  # fmt: skip
    for (method, (compression, differences)), order, layout in itertools.product(methods.items(), orders, layouts):
        for (name, (photometric, extra)), bits, planar in itertools.product(
            colors.items(), (1, 2, 4, 8, 16), (False, True)
        ):
            if bits in (1, 2, 4) and (differences or (bits != 1 and compression != tiff.PLAIN)):
                continue
            if photometric == tiff.PALETTE and (planar or bits == 16):
                continue
            if planar and not extra and photometric != tiff.RGB:
                continue
            yield (
                f"tiff-{name}-{bits}-{method}-{layout}{order}{'-planar' * planar}",
                partial(_tiff_plain, photometric, extra, bits, compression, differences, order, layout, planar),
            )
    for order, bits in itertools.product(orders, (8, 16)):
        yield f"tiff-big-{bits}{order}", partial(_tiff_big, order, bits)
    for compression, back, white in itertools.product((2, 3, 4), (False, True), (False, True)):
        yield (
            f"tiff-fax-{compression}{'-reversed' * back}{'-white' * white}",
            partial(_tiff_fax, compression, back, white),
        )
    for bits in (1, 2, 4, 8, 16):
        yield f"tiff-reversed-{bits}", partial(_tiff_reversed, bits)
    yield "tiff-no-extra-samples", _tiff_unexplained
    for bits, order, planar in itertools.product((8, 16), orders, (False, True)):
        yield f"tiff-cmyk-{bits}{order}{'-planar' * planar}", partial(_tiff_cmyk, bits, order, planar)
    for photometric, layout in itertools.product((tiff.BLACK_IS_ZERO, tiff.RGB, tiff.YCC), ("strips", "tiles")):
        yield f"tiff-jpeg-{photometric}-{layout}", partial(_tiff_jpeg, photometric, layout)
    yield from {
        f"tiff-refused-{name}-{number}": partial(_tiff_refused, name, options)
        for number, (name, options) in enumerate(_TIFF_REFUSED)
    }.items()


def _layout(layout: str, rng: Random) -> dict[str, Any]:
    if layout == "tiles":
        return {"tile": (16 * int(rng.integers(1, 3)), 16)}
    return {"rows": int(rng.integers(1, 25))}


def _tiff_plain(
    photometric: int, extra: tuple[int, ...], bits: int, compression: int, differences: bool, order: str, layout: str,
    planar: bool, rng: Random, width: int, height: int,
) -> File:  # fmt: skip
    base = 3 if photometric == tiff.RGB else 1
    most = (1 << bits) - 1
    samples = _random(rng, width, height, base + len(extra), bits)
    alpha = next((base + i for i, kind in enumerate(extra) if kind in (1, 2)), None)
    tags: dict[int, tuple[int, ...]] = {338: extra} if extra else {}
    pixels = samples[..., :base].astype(float)
    if 1 in extra:
        assert alpha is not None
        samples[..., :base] = np.minimum(samples[..., :base], samples[..., alpha : alpha + 1])
        pixels = samples[..., :base] * most / np.maximum(samples[..., alpha : alpha + 1], 1)
    if photometric == tiff.PALETTE:
        colors = rng.integers(0, 65_536, (3, 1 << bits))
        colors[0, 0] = 65_535  # so that its entries are no bytes
        tags[320] = tuple(colors.ravel().tolist())
        shown = (colors >> 8).T[samples[..., 0]].astype(np.uint8)
    else:
        pixels = most - pixels if photometric == tiff.WHITE_IS_ZERO else pixels
        if alpha is not None:
            pixels = np.concatenate([pixels, samples[..., alpha : alpha + 1]], axis=2)
        scale = 1 if bits == 16 else 255 / most
        shown = np.floor(pixels * scale + 0.5).astype(np.uint16 if bits == 16 else np.uint8)
    data = tiff.write_tiff(
        samples, bits, photometric, order=order, compression=compression, differences=differences, is_planar=planar,
        tags=tags, **_layout(layout, rng),
    )  # fmt: skip
    return File(data, shown)


def _tiff_big(order: str, bits: int, rng: Random, width: int, height: int) -> File:
    samples = _random(rng, width, height, 3, bits)
    return File(tiff.write_tiff(samples, bits, tiff.RGB, order=order, big=True, rows=3), _scaled(samples, bits))


def _tiff_fax(compression: int, back: bool, white: bool, rng: Random, width: int, height: int) -> File:
    black = rng.integers(0, 2, (height, 1 + width % 4)).repeat(8, axis=1)[..., None]
    data = tiff.write_tiff(
        black, 1, tiff.WHITE_IS_ZERO if white else tiff.BLACK_IS_ZERO, compression=compression, reversed_bits=back,
        rows=int(rng.integers(1, height + 1)),
    )  # fmt: skip
    return File(data, _scaled(1 - black if white else black, 1))


def _tiff_reversed(bits: int, rng: Random, width: int, height: int) -> File:
    samples = _random(rng, width, height, 1, bits)
    return File(tiff.write_tiff(samples, bits, tiff.BLACK_IS_ZERO, reversed_bits=True, rows=4), _scaled(samples, bits))


def _tiff_cmyk(bits: int, order: str, planar: bool, rng: Random, width: int, height: int) -> File:
    """255, or 65,535, is all of an ink."""
    samples = _random(rng, width, height, 4, bits)
    light = 255 - (samples >> (bits - 8))
    data = tiff.write_tiff(
        samples, bits, tiff.CMYK, order=order, is_planar=planar, compression=tiff.DEFLATE, rows=int(rng.integers(1, 25))
    )
    return File(data, np.rint(light[..., :3] * (light[..., 3:] / 255.0)).astype(np.uint8), near=1)


def _tiff_unexplained(rng: Random, width: int, height: int) -> File:
    """Writers that forget to say so mean alpha."""
    samples = _random(rng, width, height, 4, 8)
    return File(tiff.write_tiff(samples, 8, tiff.RGB), _scaled(samples, 8))


def _tiff_jpeg(photometric: int, layout: str, rng: Random, width: int, height: int) -> File:
    count = 1 if photometric == tiff.BLACK_IS_ZERO else 3
    width, height = max(16, width // 16 * 16), max(16, height // 16 * 16)
    blocks = rng.integers(0, 256, (height // 8, width // 8, count), np.uint8)
    samples = blocks.repeat(8, axis=0).repeat(8, axis=1)

    def encode(part: NDArray[Any]) -> bytes:
        planes = [np.ascontiguousarray(part[::8, ::8, i]) for i in range(count)]
        return Jpeg(part.shape[1], part.shape[0], planes).write()

    place: dict[str, Any] = {"tile": (16, 16)} if layout == "tiles" else {"rows": 8}
    data = tiff.write_tiff(samples, 8, photometric, compression=tiff.JPEG, encode=encode, **place)
    return File(data, _from_ycc(samples) if photometric == tiff.YCC else samples, near=2)


_TIFF_REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("32-bit floating-point", {"bits": 32, "tags": {339: (3, 3, 3)}}),
    ("16-bit floating-point", {"bits": 16, "tags": {339: (3, 3, 3)}}),
    ("8-bit signed", {"bits": 8, "tags": {339: (2, 2, 2)}}),
    ("16-bit signed", {"bits": 16, "tags": {339: (2, 2, 2)}}),
    ("32-bit TIFF", {"bits": 32}),
    ("64-bit TIFF", {"bits": 64}),
    ("8-bit TIFF in LAB", {"bits": 8, "photometric": 8}),
    ("16-bit TIFF in LAB", {"bits": 16, "photometric": 8}),
    ("camera's raw", {"bits": 8, "photometric": 32803}),
    ("YCbCr", {"bits": 8, "photometric": 6}),
    ("old-style JPEG", {"bits": 8, "compression": 6}),
    ("JPEG 2000", {"bits": 8, "compression": 34712}),
    ("LZMA", {"bits": 8, "compression": 34925}),
    ("Zstandard", {"bits": 8, "compression": 50000}),
    ("WebP", {"bits": 8, "compression": 50001}),
    ("12345th", {"bits": 8, "compression": 12345}),
    ("DNG", {"bits": 8, "undefined": {50706: b"\1\4\0\0"}}),
    ("a preview", {"bits": 8, "tags": {254: (1,)}}),
    ("a preview", {"bits": 8, "tags": {254: (3,), 330: (8, 8)}}),
    ("a mask", {"bits": 8, "tags": {254: (4,)}}),
    ("3 bands", {"bits": 8, "photometric": tiff.BLACK_IS_ZERO, "tags": {338: (0, 0)}}),
    ("3 bands", {"bits": 16, "photometric": tiff.WHITE_IS_ZERO}),
    ("3 bands", {"bits": 8, "photometric": tiff.BLACK_IS_ZERO, "tags": {338: (2, 0)}}),
    ("3 bands", {"bits": 8, "photometric": tiff.PALETTE, "tags": {320: (0,) * 768}}),
    ("predictor 3", {"bits": 8, "compression": tiff.LZW, "tags": {317: (3,)}}),
]


def _tiff_refused(name: str, options: dict[str, Any], rng: Random, width: int, height: int) -> File:
    given = {"photometric": tiff.RGB} | options
    samples = _random(rng, width, height, 3, 8)
    return File(tiff.write_tiff(samples, given.pop("bits"), given.pop("photometric"), **given), refused=name)


# JPEG


def _jpeg_cells() -> Iterator[tuple[str, Cell]]:
    processes = {"baseline": jpeg.BASELINE, "extended": jpeg.EXTENDED, "progressive": jpeg.PROGRESSIVE}
    for (name, process), interleaved, restart in itertools.product(processes.items(), (True, False), (0, 2)):
        end = f"{name}{'' if interleaved else '-apart'}{'-restart' * bool(restart)}"
        options = {"process": process, "interleaved": interleaved, "restart": restart}
        yield f"jpeg-grey-{end}", partial(_jpeg_plain, "grey", options)
        yield f"jpeg-ycc-{end}", partial(_jpeg_plain, "ycc", options)
    yield "jpeg-ycc-refined", partial(_jpeg_plain, "ycc", {"process": jpeg.PROGRESSIVE, "refined": True})
    jfif = [(0xE0, b"JFIF\0\1\2\0\0\1\0\1\0\0")]
    yield "jpeg-ycc-jfif", partial(_jpeg_plain, "ycc", {"segments": jfif, "identifiers": b"RGB"})
    yield "jpeg-ycc-adobe", partial(_jpeg_plain, "ycc", {"transform": 1})
    yield "jpeg-ycc-other-identifiers", partial(_jpeg_plain, "ycc", {"identifiers": b"\0\1\2"})
    yield "jpeg-rgb-adobe", partial(_jpeg_plain, "rgb", {"transform": 0})
    yield "jpeg-rgb-identifiers", partial(_jpeg_plain, "rgb", {"identifiers": b"RGB"})
    yield "jpeg-cmyk-adobe", partial(_jpeg_plain, "cmyk", {"transform": 0})
    yield "jpeg-cmyk", partial(_jpeg_plain, "cmyk", {})
    yield "jpeg-ycck-adobe", partial(_jpeg_plain, "ycck", {"transform": 2})
    yield "jpeg-ycck-adobe-other", partial(_jpeg_plain, "ycck", {"transform": 1})
    for luma in ((2, 1), (2, 2), (1, 2), (4, 1), (1, 4)):
        yield f"jpeg-sampling-{luma[0]}x{luma[1]}", partial(_jpeg_sampled, [luma, (1, 1), (1, 1)])
    for chroma in ((1, 2), (2, 1)):
        yield f"jpeg-sampling-2x2-{chroma[0]}x{chroma[1]}", partial(_jpeg_sampled, [(2, 2), chroma, chroma])
    for name, options in {
        "12-bit JPEG": {"bits": 12, "process": jpeg.EXTENDED}, "Lossless JPEG": {"process": jpeg.LOSSLESS},
        "arithmetic": {"process": jpeg.ARITHMETIC}, "Hierarchical": {"process": 0xC5}, "JPEG-LS": {"process": 0xF7},
        "sampling factors 3x1": {"factors": [(3, 1), (1, 1), (1, 1)]},
    }.items():  # fmt: skip
        yield f"jpeg-refused-{name}", partial(_jpeg_refused, name, options)
    yield "jpeg-refused-components", _jpeg_of_two
    yield "jpeg-refused-height", _jpeg_without_height


def _blocks(rng: Random, width: int, height: int, count: int) -> list[NDArray[np.uint8]]:
    return list(rng.integers(0, 256, (count, -(-height // 8), -(-width // 8)), np.uint8))


def _spread(blocks: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    return blocks.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]


def _from_ycc(samples: NDArray[Any]) -> NDArray[Any]:
    """ITU-T T.871, section 7."""
    y, b, r = samples[..., 0].astype(float), samples[..., 1] - 128.0, samples[..., 2] - 128.0
    rgb = np.stack([y + 1.402 * r, y - 0.344136 * b - 0.714136 * r, y + 1.772 * b], axis=2)
    return np.clip(np.floor(rgb + 0.5), 0, 255).astype(np.uint8)


def _jpeg_plain(space: str, options: dict[str, Any], rng: Random, width: int, height: int) -> File:
    count = {"grey": 1, "ycc": 3, "rgb": 3, "cmyk": 4, "ycck": 4}[space]
    blocks = _blocks(rng, width, height, count)
    samples = np.stack([_spread(plane, width, height) for plane in blocks], axis=2)
    data = Jpeg(width, height, blocks, **options).write()
    if space in ("grey", "rgb"):
        return File(data, samples)
    if space == "ycc":
        return File(data, _from_ycc(samples), near=2)
    light = samples[..., :3] if space == "cmyk" else 255 - _from_ycc(samples[..., :3])  # 255 is stored for no ink
    return File(data, np.rint(light * (samples[..., 3:] / 255.0)).astype(np.uint8), near=3)


def _jpeg_sampled(factors: list[tuple[int, int]], rng: Random, width: int, height: int) -> File:
    """Chroma of one value, so that no way of spreading it matters."""
    (luma,) = _blocks(rng, width, height, 1)
    blue, red = rng.integers(0, 256, 2)
    planes = [luma, np.full((1, 1), blue, np.uint8), np.full((1, 1), red, np.uint8)]
    if factors[1:] != [(1, 1), (1, 1)]:
        across, down = factors[0][0] // factors[1][0], factors[0][1] // factors[1][1]
        assert across * down == 2
    samples = np.stack([_spread(luma, width, height), *(np.full((height, width), v) for v in (blue, red))], axis=2)
    return File(Jpeg(width, height, planes, factors).write(), _from_ycc(samples), near=2)


def _jpeg_refused(name: str, options: dict[str, Any], rng: Random, width: int, height: int) -> File:
    return File(Jpeg(width, height, _blocks(rng, width, height, 3), **options).write(), refused=name)


def _jpeg_of_two(rng: Random, width: int, height: int) -> File:
    return File(Jpeg(width, height, _blocks(rng, width, height, 2)).write(), refused="2 components")


def _jpeg_without_height(rng: Random, width: int, height: int) -> File:
    data = bytearray(Jpeg(width, height, _blocks(rng, width, height, 1)).write())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 2] = b"\0\0"
    return File(bytes(data), refused="height behind its pixels")


# WebP


def _webp_cells() -> Iterator[tuple[str, Cell]]:
    yield "webp-RGBA-extended-unsaid", _webp_without_flag
    for mode, exif in itertools.product(("RGB", "RGBA"), (False, True)):
        yield f"webp-{mode}{'-extended' * exif}", partial(_webp, mode, exif)


def _webp_without_flag(rng: Random, width: int, height: int) -> File:
    """VP8X says nothing of alpha, VP8L does."""
    data, pixels, *_ = _webp("RGBA", True, rng, width, height)
    return File(data[:20] + bytes([data[20] & ~0x10]) + data[21:], pixels)


def _webp(mode: str, extended: bool, rng: Random, width: int, height: int) -> File:
    pixels = rng.integers(0, 256, (height, width, len(mode)), np.uint8)
    pixels[..., 3:] |= 1  # libwebp drops an alpha that hides nothing, and this file is to have one
    pixels[0, 0, 3:] = 7
    buffer = io.BytesIO()
    options = {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0"} if extended else {}
    Pillow.fromarray(pixels, mode).save(buffer, "WEBP", lossless=True, exact=True, **options)
    return File(buffer.getvalue(), pixels)
