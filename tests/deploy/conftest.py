"""What several tests of deploying ask of cfn-lint and moto."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.loaders
import botocore.session
import pytest
from cfnlint.api import ManualArgs, lint
from cfnlint.core import get_rules
from cloud import open_account, taught_cloud


@pytest.fixture(scope="session")
def judge() -> Callable[[str, str], list[Any]]:
    """cfn-lint's findings in a region, informational ones too. Its rules take long to load, so they load once."""
    rules = get_rules([], [], ["I", "W", "E"])
    return lambda text, region: lint(text, rules, config=ManualArgs(regions=[region], include_checks=["I"]))


@pytest.fixture(scope="module")
def cloud() -> Iterator[str]:
    with taught_cloud() as url:
        yield url


@pytest.fixture(autouse=True, scope="module")
def _one_loader() -> Iterator[None]:
    """botocore reads the models of services once for all sessions."""
    loader = botocore.loaders.create_loader()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", lambda path=None: loader)
        yield


@pytest.fixture
def region(request: pytest.FixtureRequest) -> str:
    return str(getattr(request, "param", "us-east-2"))


@pytest.fixture
def aws(cloud: str, region: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Any]:
    """Clients of an account with nothing in it but an image."""
    monkeypatch.chdir(tmp_path)
    return open_account(cloud, region, monkeypatch)
