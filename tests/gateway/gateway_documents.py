"""The documents whose samples are run: where they are, and how a reader takes a sample from one and fills it in."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from servers import ROOT

SEEDS = Path(os.environ.get("PIXELSERVE_DOCUMENTS", ROOT.parent / "shared" / "spec" / "seeds"))


def section(document: str, title: str, end: str) -> str:
    """The lines between two lines."""
    found = re.search(rf"^{re.escape(title)}\n(.*?)^{re.escape(end)}$", document, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[1]


def fill_in(sample: str, table: Mapping[str, str]) -> str:
    """The sample with each line of the table replaced; each must occur."""
    for old, new in table.items():
        assert old in sample, f"{old} is not in the sample"
        sample = sample.replace(old, new)
    return sample
