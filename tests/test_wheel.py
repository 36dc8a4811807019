"""The wheel holds the source tree, and works where nothing of the source tree is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import cv2
import pytest
from drawing import picture

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "container/pixelserve/": "pixelserve/",
    "deploy/pixelserve_deploy/": "pixelserve_deploy/",
    "code/": "pixelserve_handlers/",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    source = folder / "source"
    for name in _files():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return next(folder.glob("*.whl"))


def _files() -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [name for name in listed.splitlines() if (ROOT / name).is_file()]


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {
        target + name.removeprefix(folder)
        for name in _files()
        for folder, target in PACKAGES.items()
        if name.startswith(folder)
    }
    assert packed == expected


def test_the_readme_is_the_description(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        assert (ROOT / "README.md").read_text().strip() in archive.read(metadata).decode()


def test_up_and_invoke_work_from_the_wheel_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    """The environment holds the wheel; only what it needs comes from this one, and not its link to the source tree."""
    environment, empty = tmp_path / "env", tmp_path / "empty"
    empty.mkdir()
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", str(wheel)], check=True, capture_output=True)
    packages = next((environment / "lib").glob("python*/site-packages"))
    (packages / "needed.pth").write_text(sysconfig.get_path("purelib"))
    environ = {**os.environ, "PIXELSERVE_STATE_DIR": str(tmp_path / "state")}
    environ.pop("PYTHONPATH", None)
    where = subprocess.check_output(
        [python, "-c", "import pixelserve; print(pixelserve.__file__)"], text=True, cwd=empty, env=environ
    )
    assert Path(where.strip()).is_relative_to(environment)

    cv2.imwrite(str(empty / "small.png"), picture(30, 40))
    command = [str(environment / "bin" / "pixelserve"), "up", "--port", "0"]
    with subprocess.Popen(command, cwd=empty, env=environ, stdout=subprocess.PIPE, text=True) as up:
        try:
            assert up.stdout is not None
            assert any("export AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME=" in line for line in up.stdout)
            invoke = [command[0], "invoke", "image-super-resolution", "small.png", "--scale", "4", "-o", "large.png"]
            said = subprocess.run(invoke, cwd=empty, env=environ, check=True, capture_output=True, text=True)
            assert re.search(r"120x160|160x120", said.stdout)
            assert "starting it for this call" not in said.stderr
        finally:
            up.terminate()
            up.communicate(timeout=60)
    assert cv2.imread(str(empty / "large.png")).shape == (120, 160, 3)
    assert sorted(path.name for path in empty.iterdir()) == ["large.png", "small.png"]
