"""ICC profiles: from the colours of a file to sRGB. What a profile is counts, not what it is called."""

from __future__ import annotations

import functools
import io
import logging
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import ImageCms

from pixelserve.imaging.formats import MOST_PROFILE_BYTES
from pixelserve.imaging.image import Pixels

logger = logging.getLogger("pixelserve.imaging")

_SPACES = {"GRAY": "GRAY", "RGB ": "RGB", "CMYK": "CMYK"}
_MODES = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}
_CLASSES = ("scnr", "mntr", "prtr", "spac")
"""Profiles of devices and colour spaces; others describe no picture's colours (ICC.1:2022, 7.2.5)."""
_ALIKE = 2
"""Levels of 255 by which a profile may differ from sRGB and still be it: writers round its numbers differently."""
_PROBE = 17
_KEPT = 8
"""Profiles of callers of which it is remembered what they are: they may be large."""


def to_srgb(pixels: Pixels, space: str, profile: bytes | None) -> tuple[Pixels, bytes | None]:
    """Pixels (H, W, C) of a colour space, GRAY, RGB or CMYK, each but CMYK with or without alpha, in grey or RGB.

    8 bits become sRGB; 16 bits stay as they are, with their profile. A profile that does not fit the pixels is dropped,
    with a line in the log.
    """
    if profile is not None and len(profile) > MOST_PROFILE_BYTES:
        logger.warning("a profile is dropped: it has %d bytes, %d are read", len(profile), MOST_PROFILE_BYTES)
        profile = None
    if profile is not None and not _fits(profile, space):
        profile = None
    if pixels.dtype == np.uint16:
        return pixels, profile
    if profile is not None and not _is_srgb(profile, space):
        return _convert(pixels, space, profile), None
    if space == "CMYK":
        return np.asarray(Pillow.fromarray(pixels, "CMYK").convert("RGB")), None
    return pixels, None


@functools.lru_cache(maxsize=_KEPT)
def _fits(profile: bytes, space: str) -> bool:
    """Whether this is a profile of pixels in `space`, from which there is a way to sRGB."""
    try:
        described = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile
        found, kind = _SPACES.get(described.xcolor_space, described.xcolor_space.strip()), described.device_class
        if (found, kind in _CLASSES) == (space, True):
            _transform(profile, space)
            return True
        reason = f"one of {found} ({kind})"
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        reason = f"damaged ({error})"
    logger.warning("a profile is dropped: the picture is %s, the profile is %s", space, reason)
    return False


@functools.lru_cache(maxsize=_KEPT)
def _is_srgb(profile: bytes, space: str) -> bool:
    """Whether the profile leaves RGB colours as they are, or grey ones."""
    if space == "CMYK":
        return False
    steps = np.linspace(0, 255, _PROBE).round().astype(np.uint8)
    if space == "GRAY":
        probe = np.arange(256, dtype=np.uint8)[None, :, None]
    else:
        probe = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    return bool(np.abs(_convert(probe, space, profile).astype(int) - probe).max() <= _ALIKE)


def _transform(profile: bytes, space: str) -> ImageCms.ImageCmsTransform:
    """For grey not as fast as it could be, since lcms then errs by up to 10 levels in the dark of linear profiles."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    target: Any = ImageCms.createProfile("sRGB")
    flags = ImageCms.Flags.NOOPTIMIZE if space == "GRAY" else ImageCms.Flags.NONE
    return ImageCms.buildTransform(source, target, _MODES[space], "RGB", flags=flags)


def _convert(pixels: Pixels, space: str, profile: bytes) -> Pixels:
    """uint8 pixels in sRGB, grey still grey, alpha kept."""
    count = {"GRAY": 1, "RGB": 3, "CMYK": 4}[space]
    colors = pixels[..., :count]
    if space == "GRAY":
        converted = _apply(np.arange(256, dtype=np.uint8)[None], space, profile)[0, :, 1:2][colors[..., 0]]
    else:
        converted = _apply(np.ascontiguousarray(colors), space, profile)
    if pixels.shape[2] > count:
        return np.concatenate([converted, pixels[..., count:]], axis=2)
    return converted


def _apply(colors: Pixels, space: str, profile: bytes) -> Pixels:
    """(H, W) grey, or (H, W, 3 or 4), to (H, W, 3)."""
    return np.asarray(_transform(profile, space).apply(Pillow.fromarray(colors, _MODES[space])))
