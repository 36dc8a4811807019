"""The pages' lines of `pip install`, as they stand, in environments of their own. They need a package index."""

from __future__ import annotations

import os
import re
import subprocess
import venv
from pathlib import Path

import pytest
from documents import blocks
from servers import ROOT


def run_block(name: str, environment: Path, cwd: Path) -> None:
    """Runs the block of that name with the environment's own pip."""
    text = next(block.text for block in blocks(name.partition(":")[0]) if block.name == name)
    environ = os.environ | {"PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    environ.pop("PYTHONPATH", None)
    subprocess.run(["bash", "-euc", text], cwd=cwd, env=environ, check=True, capture_output=True, text=True)


def ask(environment: Path, program: str) -> str:
    """What a program prints in the environment."""
    command = [environment / "bin" / "python", "-c", program]
    return subprocess.check_output(command, cwd=environment, text=True).strip()


def list_distributions(environment: Path) -> str:
    """Name==version of each, separated by blanks."""
    return ask(
        environment, "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()))"
    )


def test_basicsr_comes_without_a_second_torch(tmp_path: Path) -> None:
    environment = tmp_path / "env"
    venv.create(environment, with_pip=True)
    run_block("docs/own-model.md: basicsr itself", environment, tmp_path)
    installed = list_distributions(environment)
    assert "basicsr==1.4.2" in installed
    assert not re.search("torch|nvidia", installed)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_the_readmes_lines_install_a_clone(tmp_path: Path) -> None:
    environment = tmp_path / "env"
    venv.create(environment, with_pip=True)
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
    run_block("README.md: Install", environment, clone)
    assert ask(environment, "import torch; print(torch.version.cuda)") == "None"
    assert "nvidia" not in list_distributions(environment)
    version = [environment / "bin" / "pixelserve", "--version"]
    assert subprocess.check_output(version, cwd=tmp_path, text=True).startswith("pixelserve ")
    subprocess.run([environment / "bin" / "pixelserve", "new", "one"], cwd=tmp_path, check=True)
    subprocess.run([environment / "bin" / "pixelserve", "check", "one"], cwd=tmp_path, check=True)
