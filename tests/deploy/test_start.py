"""What a command loads before it does anything."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pixelserve_deploy import cli

HEAVY = {"torch", "cv2", "onnxruntime", "boto3", "botocore", "docker", "sagemaker"}
NEEDED = {"push": {"boto3", "botocore", "docker"}, "up": {"cv2"}}
"""What a command loads for its work; `up` does by pixelserve.local.runtime."""


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_the_help_of_a_command_loads_nothing_heavy(command: str) -> None:
    heavy = HEAVY - NEEDED.get(command, set())
    program = (
        "import sys; from pixelserve_deploy import cli\n"
        f"try: cli.main([{command!r}, '--help'])\n"
        "except SystemExit: pass\n"
        f"heavy = {heavy!r} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)
