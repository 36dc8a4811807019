"""Handlers called from start to end in the test's own process, as Lambda and multi-model-server's workers call them."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pixelserve.serving.answers import Answer
from pixelserve.serving.context import Context
from pixelserve.serving.direct import Direct
from pixelserve.settings import Settings


class Called:
    """A loaded handler; calling it is a request."""

    def __init__(self, direct: Direct) -> None:
        self._direct = direct

    def __call__(self, body: bytes | str, content_type: str = "application/json", **headers: str) -> Answer:
        given = {"content-type": content_type} | {name.replace("_", "-"): value for name, value in headers.items()}
        data = body.encode() if isinstance(body, str) else body
        return self._direct.answer(data, Context.from_headers(given, "request-1", 60))

    def body(self, body: bytes | str, content_type: str = "application/json", **headers: str) -> bytes:
        return b"".join(self(body, content_type, **headers).parts)


@pytest.fixture
def direct(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Called]]:
    """`direct(source, settings=...)` loads a handler; the process is as before after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    (tmp_path / "handler").mkdir()
    (tmp_path / "model").mkdir()

    def load(source: str, files: Mapping[str, str] | None = None, **settings: Any) -> Called:
        (tmp_path / "handler" / "inference.py").write_text(textwrap.dedent(source))
        for name, text in (files or {}).items():
            path = tmp_path / "handler" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        given = {"submit_directory": str(tmp_path / "handler"), "model_dir": str(tmp_path / "model")} | settings
        return Called(Direct.load(Settings(**given)))

    yield load
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
