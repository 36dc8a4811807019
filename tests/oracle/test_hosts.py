"""Our other hosts answer as SageMaker's stack does: direct, Lambda, and the back end `mms` under one Java server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from oracle.hosts import SharedMms
from oracle.idioms import CASES
from oracle.in_process import InProcess


@pytest.fixture(scope="module")
def in_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with InProcess(tmp_path_factory.mktemp("in_process")) as process:
        yield process


@pytest.fixture(scope="module")
def shared_mms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedMms]:
    with SharedMms(tmp_path_factory.mktemp("mms")) as server:
        yield server


@pytest.mark.parametrize("host", ["direct", "lambda"])
@pytest.mark.parametrize("name", CASES)
def test_in_process(name: str, host: str, in_process: InProcess, tmp_path: Path, judge: Any) -> None:
    CASES[name].write(tmp_path / "model")
    judge(host, name, in_process.ask(host, CASES[name], tmp_path / "model"))


@pytest.mark.parametrize("name", CASES)
def test_mms(name: str, shared_mms: SharedMms, tmp_path: Path, judge: Any) -> None:
    judge("mms", name, shared_mms.ask(CASES[name], tmp_path))
