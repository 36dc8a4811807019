"""OpenVINO without its telemetry: by itself it tells a service on the web of each import and conversion."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from typing import Any


def is_installed() -> bool:
    """Whether OpenVINO is."""
    return importlib.util.find_spec("openvino") is not None


def import_openvino() -> Any:
    """The package `openvino`. Raises ModuleNotFoundError."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # its import fails: a stub is taken
    import openvino

    return openvino


@cache
def get_core() -> Any:
    """OpenVINO's Core, one for the whole life of the process.

    OpenVINO gives the thread that first compiles a model a stack for signal handlers, and frees it with the last model
    unless a Core lives on. Where another thread drops that model, the first one's next signal ended the process (seen
    with 2026.4.1).
    """
    return import_openvino().Core()
