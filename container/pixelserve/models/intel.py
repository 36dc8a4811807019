"""OpenVINO without its telemetry: by itself it tells a service on the web of each import and conversion."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any


def is_installed() -> bool:
    """Whether OpenVINO is."""
    return importlib.util.find_spec("openvino") is not None


def import_openvino() -> Any:
    """The package `openvino`. Raises ModuleNotFoundError."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # its import fails: a stub is taken
    import openvino

    return openvino
