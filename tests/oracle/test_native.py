"""Our own server answers as SageMaker's stack does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from oracle import hosts
from oracle.idioms import CASES


@pytest.mark.parametrize("name", CASES)
def test_native(name: str, tmp_path: Path, judge: Any) -> None:
    judge("native", name, hosts.native(CASES[name], tmp_path))
