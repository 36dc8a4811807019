"""Where no server runs, `up` says so in one line; the rest of the command works without what only Linux has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pixelserve.errors import Unavailable
from pixelserve.processes import ServerProcess

ELSEWHERE = """
import asyncio, os, signal, socket, subprocess, sys
del os.pipe2, os.pidfd_open, os.sched_getaffinity, signal.SIGHUP, signal.SIGQUIT, socket.AF_UNIX
sys.platform = {platform!r}
from pixelserve_deploy import cli
sys.exit(cli.main({words!r}))
"""


def run(platform: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A command in a process that lacks what Windows lacks."""
    program = ELSEWHERE.format(platform=platform, words=list(words))
    environ = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    return subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("platform", ["darwin", "win32"])
@pytest.mark.parametrize("words", [("up",), ("transform", "image-similarity", "a", "b")])
def test_a_server_needs_linux(platform: str, words: tuple[str, ...]) -> None:
    done = run(platform, *words)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"The server needs Linux, and this is {platform}." in done.stderr
    assert "docker run --rm -p 127.0.0.1:8080:8080 IMAGE serve" in done.stderr


def test_models_are_packed_and_images_planned_everywhere(tmp_path: Path) -> None:
    """The platform's name is left, for the standard library goes by it."""
    (tmp_path / "my_model").mkdir()
    (tmp_path / "my_model" / "inference.py").write_text("")
    packed = run("linux", "package", str(tmp_path / "my_model"), "-o", str(tmp_path / "model.tar.gz"))
    assert packed.returncode == 0, packed.stderr
    planned = run("linux", "build", str(tmp_path / "my_model"), "--dry-run")
    assert planned.returncode == 0, planned.stderr


def test_whoever_starts_a_server_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `invoke` does where no `up` runs."""
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(Unavailable, match="The server needs Linux, and this is darwin"):
        ServerProcess("one", {})
