"""Milliseconds and kilobytes of the codecs, beside OpenCV's and Pillow's, on one thread and one 9.8-megapixel picture.

The fall-back is what pixelserve writes without isal.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import report
from PIL import Image as Pillow
from pipeline import photograph

from pixelserve.imaging import Image, Pixels, decode, encode, encoders
from pixelserve.settings import Settings

WIDTH, HEIGHT = 3840, 2560
QUALITY = 90

Work = Callable[[], Any]


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--times", type=int, default=7, help="runs of each, after one that does not count")
    times = parser.parse_args().times
    cv2.setNumThreads(1)
    jpeg = photograph(WIDTH, HEIGHT)
    pixels = decode(jpeg, Settings()).pixels
    png = b"".join(encode(Image(pixels), "png"))
    rows = [
        *compare("decode jpeg", times, decoders(jpeg)),
        *compare("decode png", times, decoders(png)),
        *compare("encode jpeg", times, jpeg_encoders(pixels)),
        *compare("encode png", times, png_encoders(pixels)),
    ]
    report.table(rows, ("task", "codec", "ms", "kB", "of_pixelserve"))
    report.write("codecs", rows)


def decoders(data: bytes) -> dict[str, Work]:
    return {
        "pixelserve": lambda: decode(data, Settings()),
        "OpenCV": lambda: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR),
        "Pillow": lambda: np.asarray(Pillow.open(io.BytesIO(data))),
    }


def jpeg_encoders(pixels: Pixels) -> dict[str, Work]:
    reversed_channels = np.ascontiguousarray(pixels[..., ::-1])
    return {
        "pixelserve": lambda: b"".join(encode(Image(pixels), "jpeg", QUALITY)),
        "OpenCV": lambda: cv2.imencode(".jpg", reversed_channels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1],
        "Pillow": lambda: with_pillow(pixels, "JPEG", quality=QUALITY),
    }


def png_encoders(pixels: Pixels) -> dict[str, Work]:
    reversed_channels = np.ascontiguousarray(pixels[..., ::-1])
    return {
        "pixelserve": lambda: b"".join(encode(Image(pixels), "png")),
        "pixelserve, fall-back": without_isal(lambda: b"".join(encode(Image(pixels), "png"))),
        "OpenCV": lambda: cv2.imencode(".png", reversed_channels)[1],
        "Pillow": lambda: with_pillow(pixels, "PNG"),
        "Pillow, level 1": lambda: with_pillow(pixels, "PNG", compress_level=1),
    }


def without_isal(work: Work) -> Work:
    def slower() -> Any:
        with patch.object(encoders, "isal_zlib", None):
            return work()

    return slower


def with_pillow(pixels: Pixels, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, format, **options)
    return buffer.getvalue()


def compare(task: str, times: int, works: dict[str, Work]) -> list[dict[str, Any]]:
    """One row for each codec; `of_pixelserve` is its median time by that of the first."""
    rows: list[dict[str, Any]] = []
    for codec, work in works.items():
        result, seconds = work(), []
        for _ in range(times):
            started = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - started)
        figures = report.distribution(seconds)
        size = len(result) if task.startswith("encode") else None
        rows.append(
            {
                "task": task,
                "codec": codec,
                "ms": round(1000 * figures["p50"], 1),
                "kB": "" if size is None else size // 1000,
                "of_pixelserve": round(figures["p50"] / (rows[0]["seconds"]["p50"] if rows else figures["p50"]), 2),
                "seconds": figures,
                "sizes": {"width": WIDTH, "height": HEIGHT} | ({} if size is None else {"answer": size}),
            }
        )
    return rows


if __name__ == "__main__":
    main()
