"""The cost estimator's speed, and how large answers are: what `data/answers.json` of the estimator is made from.

Start of `pixelserve cost table` beside `import sagemaker`, 30 simulated days of one-minute traffic, and bytes of x2 and
x4 answers by codec beside the JPEG that was sent.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from decimal import Decimal
from typing import Any

import report
from pipeline import photograph

from pixelserve.imaging import decode, encode
from pixelserve.models.super_resolution import Upscaler
from pixelserve.settings import Settings
from pixelserve_deploy.cost import Fleet, make_diurnal, simulate

CODECS = ("jpeg", "webp", "png")
QUALITY = 90
DAYS = 30


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--times", type=int, default=5, help="starts of each command")
    times = parser.parse_args().times
    rows = [*starts(times), simulation(times), *answers()]
    for columns in (("task", "ms", "of_sagemaker"), ("task", "scale", "codec", "of_request")):
        report.table([row for row in rows if columns[-1] in row], columns)
    report.write("cost", rows)


def starts(times: int) -> list[dict[str, Any]]:
    """Wall time of fresh processes, taken in turns."""
    commands = {
        "pixelserve cost table": ["-m", "pixelserve_deploy", "cost", "table"],
        "import sagemaker": ["-c", "import sagemaker"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(times + 1):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, "-W", "ignore", *command], check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(taken[1:]) for name, taken in seconds.items()}
    return [
        {
            "task": name,
            "ms": round(1000 * median, 1),
            "of_sagemaker": round(median / medians["import sagemaker"], 3),
            "seconds": report.distribution(seconds[name][1:]),
        }
        for name, median in medians.items()
    ]


def simulation(times: int) -> dict[str, Any]:
    """30 days of a day-and-night trace, its making included."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        simulate(make_diurnal(1_000_000, DAYS), Fleet(seconds=1.0))
        taken.append(time.perf_counter() - started)
    return {"task": f"simulate {DAYS} days by the minute", "ms": round(1000 * statistics.median(taken), 1),
            "of_sagemaker": "", "seconds": report.distribution(taken)}  # fmt: skip


def answers() -> list[dict[str, Any]]:
    """Sizes of answers to one 512x512 JPEG."""
    settings = Settings()
    jpeg = photograph()
    image = decode(jpeg, settings)
    upscaler = Upscaler.load("", settings)
    rows = []
    for scale in (2, 4):
        picture = upscaler.upscale(image, scale)
        for codec in CODECS:
            size = sum(map(len, encode(picture, codec, QUALITY)))
            ratio = (Decimal(size) / len(jpeg)).quantize(Decimal("0.01"))
            sizes = {"request": len(jpeg), "answer": size, "width": image.width, "height": image.height}
            rows.append({"task": "answer", "scale": scale, "codec": codec, "of_request": float(ratio), "sizes": sizes})
    return rows


if __name__ == "__main__":
    main()
