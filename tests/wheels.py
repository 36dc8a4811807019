"""What tests of the installed package share: this tree's wheel, and an environment that holds it alone."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from servers import ROOT


def tracked_files() -> list[str]:
    """The files of this tree that git knows or would know."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [name for name in listed.splitlines() if (ROOT / name).is_file()]


def build_wheel(folder: Path) -> Path:
    """The wheel of this tree, made in `folder`."""
    source = folder / "source"
    for name in tracked_files():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return next(folder.glob("*.whl"))


def install_wheel(wheel: Path, environment: Path) -> Path:
    """The `bin` of a new environment with the wheel; only what it needs comes from this one, not its source tree."""
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", str(wheel)], check=True, capture_output=True)
    packages = next((environment / "lib").glob("python*/site-packages"))
    (packages / "needed.pth").write_text(sysconfig.get_path("purelib"))
    return python.parent


def environ_without_paths(**more: str) -> dict[str, str]:
    """This process's environment without what leads Python to the source tree."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | more
