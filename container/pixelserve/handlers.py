"""The handlers that come with pixelserve: a folder each, in the installed package or the source tree."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from pixelserve.errors import NotFound

PACKAGE = "pixelserve_handlers"


def find_handler(name: str) -> Path:
    """The folder of this name that has an inference.py; hyphens stand for underscores, as in endpoints' names.

    Raises NotFound listing those there are.
    """
    name = name.replace("-", "_")
    folders = _folders()
    for folder in folders:
        if (folder / name / "inference.py").is_file():
            return folder / name
    known = sorted({path.parent.name for folder in folders for path in folder.glob("*/inference.py")})
    raise NotFound(f"There is no handler {name} here. Those installed: {', '.join(known) or 'none'}.")


def _folders() -> list[Path]:
    spec = importlib.util.find_spec(PACKAGE)
    places = [Path(place) for place in (spec.submodule_search_locations or [] if spec else [])]
    return [*(place for place in places if place.is_dir()), Path(__file__).parents[2] / "code"]
