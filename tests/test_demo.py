"""`make demo` as people run it: a process, their pictures, and nothing left of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


@pytest.fixture
def environment(tmp_path):
    """The import paths of this process, absolute: the demo runs in another folder. No weights are fetched yet."""
    paths = os.pathsep.join(os.path.abspath(path) for path in sys.path if path)
    return os.environ | {"PYTHONPATH": paths, "PIXELSERVE_WEIGHTS_DIR": str(tmp_path / "weights")}


def size(path):
    with Image.open(path) as picture:
        return picture.size


@pytest.mark.timeout(600)
def test_the_demo_writes_its_pictures(tmp_path, environment):
    done = subprocess.run(
        [sys.executable, NOTEBOOKS / "demo.py"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "human-image-segmentation runs with selfie-segmentation, recommended" in done.stderr
    assert "astronaut" in done.stdout
    out = tmp_path / "build" / "demo"
    assert size(out / "astronaut.x4.result.png") == (512, 512)
    assert size(out / "chelsea.x2.result.png") == (448, 300)
    assert size(out / "readme.png") == size(NOTEBOOKS.parent / "docs" / "super-resolution.png")
    sheets = list(out.glob("*.x?.side-by-side.png"))
    assert len(sheets) == 8
    assert size(out / "cut-out.png") == (3 * 512, 512)
    with Image.open(out / "astronaut.foreground.png") as foreground:
        assert foreground.mode == "RGBA"
        assert 0.2 < sum(foreground.getchannel("A").histogram()[128:]) / 512**2 < 0.7
    table = {
        line.split()[3]: [float(number) for number in line.split()[4:]]
        for line in done.stdout.splitlines()
        if line.startswith("a copy of ")
    }
    assert len(table) == 4
    for index, cosines in enumerate(table.values()):
        assert cosines[index] > 0.3
        assert all(cosine < 0.3 for other, cosine in enumerate(cosines) if other != index)
    assert size(out / "side-by-side.png") == (size(sheets[0])[0], sum(size(sheet)[1] for sheet in sheets))


def test_an_interrupted_demo_leaves_no_process(tmp_path, environment):
    command = [sys.executable, NOTEBOOKS / "demo.py"]
    unreachable = environment | {"PIP_NO_INDEX": "1"}
    with subprocess.Popen(command, cwd=tmp_path, env=unreachable, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        assert demo.stdout.readline().startswith("Without the recommended weights selfie-segmentation: mediapipe==")
        assert demo.stdout.readline()  # the endpoints run
        children = {pid for task in Path(f"/proc/{demo.pid}/task").iterdir() for pid in _children(task)}
        demo.terminate()
        assert demo.wait(60) == 1
    assert children
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)


def _children(task: Path) -> list[str]:
    return (task / "children").read_text().split()
