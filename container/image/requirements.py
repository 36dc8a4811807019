"""Writes torch.txt, requirements.txt and constraints.txt for an image: `requirements.py DEVICE_FILE EXTRA...`.

The packages are those of setup.cfg with the extras named; the device's file replaces its own among them, and leaves out
those that it names with a - before them. torch.txt has torch alone, which is installed first.
"""

from __future__ import annotations

import configparser
import re
import sys
from pathlib import Path


def name_of(requirement: str) -> str:
    """The package's name; the GPU build of a package counts as the package."""
    return re.split(r"[\[<>=!~; ]", requirement)[0].lower().replace("_", "-").removesuffix("-gpu")


def main(device_file: str, *extras: str) -> None:
    setup = configparser.ConfigParser()
    setup.read("setup.cfg")
    wanted = setup["options"]["install_requires"].split()
    for extra in extras:
        wanted += setup["options.extras_require"][extra].split()
    lines = Path(device_file).read_text().splitlines()
    device = [line for line in lines if line and not line.startswith(("#", "-"))]
    replaced = {name_of(line.removeprefix("-")) for line in lines if line and not line.startswith("#")}
    constraints = Path("constraints.txt").read_text().splitlines()
    kept = [requirement for requirement in dict.fromkeys(wanted) if name_of(requirement) not in replaced]
    Path("torch.txt").write_text(_lines([line for line in device if name_of(line) == "torch"]))
    Path("requirements.txt").write_text(_lines(kept + device))
    Path("constraints.txt").write_text(_lines([line for line in constraints if name_of(line) not in replaced]))


def _lines(requirements: list[str]) -> str:
    return "\n".join(requirements) + "\n"


if __name__ == "__main__":
    main(*sys.argv[1:])
