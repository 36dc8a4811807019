"""The wheel holds the source tree, and works where nothing of the source tree is."""

from __future__ import annotations

import re
import subprocess
import zipfile
from pathlib import Path

import cv2
import pytest
from drawing import picture
from servers import ROOT
from wheels import build_wheel, environ_without_paths, install_wheel, tracked_files

from pixelserve_deploy.image.recipe import FILES

PACKAGES = {
    "container/pixelserve/": "pixelserve/",
    "container/pixelserve_gateway/": "pixelserve_gateway/",
    "deploy/pixelserve_deploy/": "pixelserve_deploy/",
    "code/": "pixelserve_handlers/",
}
SOURCE = "pixelserve_deploy/image/source/"
"""Where the wheel has what builds an image beside the packages."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("dist"))


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {
        target + name.removeprefix(folder)
        for name in tracked_files()
        for folder, target in PACKAGES.items()
        if name.startswith(folder)
    }
    expected |= {SOURCE + name for name in tracked_files() if name in FILES or name.startswith("container/image/")}
    assert packed == expected


def test_the_readme_is_the_description(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        assert (ROOT / "README.md").read_text().strip() in archive.read(metadata).decode()


def test_up_and_invoke_work_from_the_wheel_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    """The environment holds the wheel; only what it needs comes from this one, and not its link to the source tree."""
    environment, empty = tmp_path / "env", tmp_path / "empty"
    empty.mkdir()
    programs = install_wheel(wheel, environment)
    environ = environ_without_paths(PIXELSERVE_STATE_DIR=str(tmp_path / "state"))
    where = subprocess.check_output(
        [programs / "python", "-c", "import pixelserve; print(pixelserve.__file__)"], text=True, cwd=empty, env=environ
    )
    assert Path(where.strip()).is_relative_to(environment)

    cv2.imwrite(str(empty / "small.png"), picture(30, 40))
    command = [str(programs / "pixelserve"), "up", "--port", "0"]
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
