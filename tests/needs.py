"""What tests need beside Python: where it is missing they are skipped, but on machines of CI they fail."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def lacking(what: str) -> NoReturn:
    """Ends the test that needs something. CI (variable CI, as GitHub sets it) has all: there it fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}; in CI nothing that can be fetched may be missing")
    pytest.skip(what)
