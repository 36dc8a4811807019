"""The README does what it says: its Python runs, its files are there, and both languages show the same code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from drawing import picture

from pixelserve.local import Source
from pixelserve.local.runtime import running
from pixelserve_deploy import cli

ROOT = Path(__file__).parents[1]
READMES = ("README.md", "README.zh.md")


def _blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)


def test_the_python_runs_against_a_local_endpoint(tmp_path: Path) -> None:
    (block,) = _blocks("README.md", "python")
    cv2.imwrite(str(tmp_path / "photo.jpg"), picture(30, 40))
    (tmp_path / "example.py").write_text(block)
    with running([Source.parse("image-super-resolution")]) as runtime:
        environ = {**os.environ, **runtime.environment()}
        subprocess.run([sys.executable, "example.py"], cwd=tmp_path, env=environ, check=True, timeout=120)
    assert cv2.imread(str(tmp_path / "large.webp")).shape == (60, 80, 3)


@pytest.mark.parametrize("name", READMES)
def test_every_link_leads_to_a_file(name: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / name).read_text())
    assert len(links) > 5
    assert [link for link in links if not (ROOT / link).is_file()] == []


@pytest.mark.parametrize("name", READMES)
def test_every_command_exists(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = "".join(_blocks(name, "console")).splitlines()
    targets = {line.split()[1] for line in lines if line.startswith("make ")}
    assert targets == {"demo", "test"}
    assert all(re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE) for target in targets)
    commands = {line.split()[1] for line in lines if line.startswith("pixelserve ")}
    assert commands == {"build", "check", "cost", "invoke", "new", "push", "transform", "up", "weights"}
    for command in commands:
        with pytest.raises(SystemExit, match="0"):
            cli.main([command, "--help"])
        assert f"pixelserve {command}" in capsys.readouterr().out


def test_both_languages_show_the_same_code() -> None:
    without_comments = [
        [re.sub(r" +#.*", "", block) for language in ("console", "python") for block in _blocks(name, language)]
        for name in READMES
    ]
    assert without_comments[0] == without_comments[1]
