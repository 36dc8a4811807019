"""A virtual environment with SageMaker SDK v3, which cannot be installed beside v2; kept in build/ between runs."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from needs import lacking
from servers import ROOT

CONSTRAINTS = Path(__file__).with_name("constraints-sdk3.txt")


def python() -> Path:
    """Its interpreter. Where pip reaches no registry the test is skipped, or fails in CI."""
    folder = ROOT / "build" / f"sdk3-venv-{hashlib.sha256(CONSTRAINTS.read_bytes()).hexdigest()[:12]}"
    interpreter, complete = folder / "bin" / "python", folder / "complete"
    if complete.exists():
        return interpreter
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(interpreter)]
    install = ["install", "--no-deps", "--only-binary", ":all:", "--retries", "2", "-r", str(CONSTRAINTS)]
    done = subprocess.run([*pip, *install], capture_output=True, text=True)
    if done.returncode:
        if "connection broken" in done.stderr:
            lacking("pip reaches no registry to install SageMaker SDK v3 from")
        pytest.fail(done.stdout + done.stderr)
    complete.touch()
    return interpreter
