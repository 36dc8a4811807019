"""Fixtures of the tests of serving."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from called import Called

from pixelserve.serving.direct import Direct
from pixelserve.settings import Settings


@pytest.fixture
def direct(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Called]]:
    """`direct(source, settings=...)` loads a handler; the process is as before after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    (tmp_path / "handler").mkdir()
    (tmp_path / "model").mkdir()

    def load(source: str, **settings: Any) -> Called:
        (tmp_path / "handler" / "inference.py").write_text(textwrap.dedent(source))
        given = {"submit_directory": str(tmp_path / "handler"), "model_dir": str(tmp_path / "model")} | settings
        return Called(Direct.load(Settings(**given)))

    yield load
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
