"""What several tests of deploying ask of cfn-lint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cfnlint.api import ManualArgs, lint
from cfnlint.core import get_rules


@pytest.fixture(scope="session")
def judge() -> Callable[[str, str], list[Any]]:
    """cfn-lint's findings in a region, informational ones too. Its rules take long to load, so they load once."""
    rules = get_rules([], [], ["I", "W", "E"])
    return lambda text, region: lint(text, rules, config=ManualArgs(regions=[region], include_checks=["I"]))
