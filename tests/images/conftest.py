from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from containers import engine_or_skip
from needs import lacking
from servers import ROOT

SAM = "aws-sam-cli==1.170.0"
EMULATOR = "samcli/local/rapid/aws-lambda-rie-x86_64"


@pytest.fixture(scope="session")
def client() -> Iterator[docker.DockerClient]:
    with engine_or_skip() as client:
        yield client


@pytest.fixture(scope="session")
def emulator() -> Path:
    """AWS's emulator out of the package that brings it; kept between runs."""
    place = ROOT / "build" / "lambda" / SAM.replace("==", "-") / "aws-lambda-rie"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(place.parent), SAM]
        if subprocess.run(command, capture_output=True).returncode:
            lacking(f"{SAM}, which brings the emulator, cannot be had here")
        with zipfile.ZipFile(next(place.parent.glob("*.whl"))) as wheel:
            place.write_bytes(wheel.read(EMULATOR))
        place.chmod(0o755)
    return place
