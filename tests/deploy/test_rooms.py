"""The deploy side's packages: what they export, who reaches past that, and what a command loads."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import pixelserve_deploy
from pixelserve_deploy import cli

FOLDER = Path(pixelserve_deploy.__file__).parent
PACKAGES = ("aws", "cost", "handlers", "image", "options", "reports")
HEAVY = {"torch", "cv2", "onnxruntime", "boto3", "botocore", "docker", "sagemaker"}
NEEDED = {"push": {"boto3", "botocore", "docker"}, "up": {"cv2"}}
"""What a command loads for its work; `up` does by pixelserve.local.runtime."""


def imports() -> list[tuple[str, str, str]]:
    """(module, package, name) of every import of a name from another package of the deploy side."""
    found = []
    for path in FOLDER.rglob("*.py"):
        module = ".".join(("pixelserve_deploy", *path.relative_to(FOLDER).with_suffix("").parts))
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pixelserve_deploy."):
                found += [(module, str(node.module), alias.name) for alias in node.names]
    return [(module, source, name) for module, source, name in found if module.split(".")[1] != source.split(".")[1]]


def test_nothing_reaches_past_what_a_package_exports() -> None:
    past = [
        f"{module}: from {source} import {name}"
        for module, source, name in imports()
        if source.split(".")[1] in PACKAGES
        and (source.count(".") > 1 or name not in importlib.import_module(source).__all__)
    ]
    assert past == []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_has_what_it_exports(package: str) -> None:
    module = importlib.import_module(f"pixelserve_deploy.{package}")
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    assert len(set(module.__all__)) == len(module.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = module.nothing


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
