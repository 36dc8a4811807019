"""schemathesis sends what the gateway's own OpenAPI describes, and its opposite: no answer is undocumented."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from gateway_servers import Gateway

NOT_CHECKED = "positive_data_acceptance"
"""What fits the schema may still be no picture, or lie where nothing answers. All other checks of schemathesis run."""


@pytest.mark.parametrize("examples", [8, pytest.param(150, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])])
def test_every_answer_is_documented(gateway: Gateway, examples: int, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run"]
    options = {"exclude-checks": NOT_CHECKED, "max-examples": examples, "seed": 1, "generation-database": "none"}
    written = [f"--{name}={value}" for name, value in options.items()]
    run = subprocess.run(
        [*command, f"{gateway.url}/openapi.json", "--no-color", "--request-timeout=60", *written],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"Tested: (\d+)$", run.stdout, re.MULTILINE)
    assert "Traceback" not in gateway.log_text()
