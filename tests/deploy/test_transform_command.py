"""`pixelserve transform` as a user types it: a folder of pictures, one that is none, and the same again."""

import io
import json
import shutil
import tarfile

import pytest
from PIL import Image

from pixelserve_deploy import cli

SHRINK = """
import io
from PIL import Image
from pixelserve.errors import BadRequest

def model_fn(model_dir):
    with open(model_dir + "/size.txt") as file:
        return int(file.read())

def input_fn(body, content_type):
    if not content_type.startswith("image/"):
        raise BadRequest("This is no picture.\\x1b[31m")
    return Image.open(io.BytesIO(body))

def predict_fn(image, model):
    return image.resize((model, model))

def output_fn(image, accept):
    file = io.BytesIO()
    image.save(file, accept.removeprefix("image/"))
    return file.getvalue(), accept
"""


DOUBLE = """
import numpy as np

def model_fn(model_dir):
    return 2

def predict_fn(data, model):
    return np.asarray(data) * model
"""


@pytest.fixture
def handler(tmp_path):
    (tmp_path / "shrink").mkdir()
    (tmp_path / "shrink" / "inference.py").write_text(SHRINK)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "size.txt").write_text("3")
    return tmp_path / "shrink"


def test_a_folder_of_pictures(handler, tmp_path, capsys):
    photos, small = tmp_path / "photos", tmp_path / "small"
    (photos / "2026").mkdir(parents=True)
    Image.new("RGB", (6, 4), "red").save(photos / "2026" / "a.jpg")
    Image.new("RGB", (6, 4), "red").save(photos / "b.png")
    (photos / "notes.txt").write_text("none")
    command = ["transform", str(handler), str(photos), str(small), "--accept", "image/webp"]
    command += ["--model-dir", str(tmp_path / "weights"), "--max-concurrent", "1", "--max-payload", "2"]

    assert cli.main(command) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "1/3 2026/a.jpg: " in printed.err
    assert printed.err.splitlines()[-1] == "2 transformed, 1 failed."
    assert printed.err.count(r"notes.txt: failed: This is no picture.\x1b[31m") == 1
    assert sorted(path.relative_to(small).as_posix() for path in small.rglob("*.*")) == ["2026/a.jpg.out", "b.png.out"]
    answer = Image.open(io.BytesIO((small / "b.png.out").read_bytes()))
    assert (answer.format, answer.size) == ("WEBP", (3, 3))

    (photos / "notes.txt").unlink()
    assert cli.main(command) == 0
    assert capsys.readouterr().err.splitlines()[-1] == "0 transformed, 2 there already, 0 failed."


def test_an_archive_with_its_weights_beside_the_code(handler, tmp_path):
    photos, small = tmp_path / "photos", tmp_path / "small"
    photos.mkdir()
    Image.new("RGB", (6, 4), "red").save(photos / "a.png")
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
        archive.add(handler, "code")
        archive.add(tmp_path / "weights" / "size.txt", "size.txt")
    command = ["transform", str(tmp_path / "model.tar.gz"), str(photos), str(small), "--accept", "image/png"]
    assert cli.main(command) == 0
    with Image.open(small / "a.png.out") as answer:
        assert answer.size == (3, 3)


def test_multi_model_server_serves_a_job(tmp_path, monkeypatch, capsys):
    """It has no /execution-parameters."""
    if shutil.which("java") is None:
        pytest.skip("multi-model-server needs Java")
    for name, text in {"double/inference.py": DOUBLE, "in/a.json": "3", "in/b.json": "[4]"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("PIXELSERVE_BACKEND", "mms")
    assert cli.main(["transform", *(str(tmp_path / name) for name in ("double", "in", "out"))]) == 0
    assert "2 transformed, 0 failed." in capsys.readouterr().err
    assert {path.name: json.loads(path.read_text()) for path in (tmp_path / "out").iterdir()} == {
        "a.json.out": 6,
        "b.json.out": [8],
    }
