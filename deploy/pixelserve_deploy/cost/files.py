"""The package's data files."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any


def load_data(name: str) -> Any:
    """The content of `data/NAME`."""
    return json.loads((resources.files("pixelserve_deploy.cost") / "data" / name).read_text("utf-8"))
