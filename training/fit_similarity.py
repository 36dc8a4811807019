"""Learns the embedded similarity's vocabulary: `python training/fit_similarity.py --out FILE`."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
from procedural import image

from pixelserve.models.vlad import fit

FIRST_SEED = 77_000_000
"""Far from the seeds of other trainings."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors file to write")
    parser.add_argument("--images", type=int, default=1_000)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    fit(image(FIRST_SEED + number) for number in range(arguments.images)).save(arguments.out)


if __name__ == "__main__":
    main()
