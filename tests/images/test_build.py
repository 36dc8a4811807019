"""`pixelserve build` on a real engine: a handler of the user's own, published weights, and what goes wrong."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import docker
import pytest
from containers import NEEDS_ENGINE, Container, recipe
from servers import ROOT

from pixelserve import __version__
from pixelserve.errors import BadRequest
from pixelserve_deploy import cli
from pixelserve_deploy.image import ImageError, Recipe, build
from pixelserve_deploy.image.builder import _copy_handler

pytestmark = NEEDS_ENGINE
HANDLER = """
import greeting

def model_fn(model_dir):
    import os
    return sorted(os.listdir(model_dir))

def predict_fn(data, model):
    return {"greeting": greeting.TEXT, "files": model}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "my_model"
    path.mkdir()
    (path / "inference.py").write_text(HANDLER)
    (path / "greeting.py").write_text("TEXT = 'hello'\n")
    return path


def options() -> list[str]:
    """Where builds of torch are had in tests, as words of the command line."""
    find_links = os.environ.get("PIP_FIND_LINKS_URL")
    return ["--network", "host", *(["--torch-find-links", find_links] if find_links else [])]


@contextmanager
def serving_files(folder: Path) -> Iterator[str]:
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_handler_of_ones_own_lies_in_the_image(
    client: docker.DockerClient, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["build", str(folder), "--name", "pixelserve-test-own", "--json", *options()]) == 0
    said = capsys.readouterr()
    made = json.loads(said.out)
    assert made["tag"].startswith(f"pixelserve-test-own:{__version__}")
    assert made["bytes"] > 1e8
    assert "Step " in said.err
    container = Container(client, made["tag"], tmp_path, {}, {})
    try:
        assert container.ready().invoke("1").json() == {"greeting": "hello", "files": ["code"]}
    finally:
        container.close()


def test_published_weights_lie_in_the_image_until_the_model_brings_its_own(
    client: docker.DockerClient, folder: Path, tmp_path: Path, assets: Path
) -> None:
    with serving_files(assets / "face") as mirror:
        wanted = recipe(handler=str(folder), weights=("yunet-2023mar",))
        arguments = {**wanted.arguments, "PIXELSERVE_WEIGHTS_MIRROR": mirror}
        tag = build(
            client,
            Recipe(ROOT, str(folder), weights=wanted.weights, name="pixelserve-test-weights",
                   arguments=arguments, network="host"),
            lambda line: None,
        )  # fmt: skip
    for files, expected in ((None, ["face_detection_yunet_2023mar.onnx"]), ({"notes.txt": ""}, ["code"])):
        container = Container(client, tag, tmp_path, files, {})
        try:
            assert container.ready().invoke("1").json()["files"] == expected
        finally:
            container.close()


def test_dry_run_shows_what_would_be_built(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["build", "image-similarity", "--device", "cuda", "--mms", "--base", "mine:1", "--dry-run"]
    assert cli.main(arguments) == 0
    plan = json.loads(capsys.readouterr().out)
    assert re.fullmatch(rf"pixelserve:{re.escape(__version__)}-\w+(-dirty)?-image-similarity-cuda-mms", plan["tag"])
    assert plan["target"] == "server"
    shown = {key: plan["arguments"][key] for key in ("DEVICE", "MMS", "FEATURE", "BASE")}
    assert shown == {"DEVICE": "cuda", "MMS": "true", "FEATURE": "image_similarity", "BASE": "mine:1"}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["no_such_feature"], 1, "is no feature (image_super_resolution"),
        (["--weights", "no-such-weights"], 1, "no-such-weights"),
        (["--target", "lambda", "--mms"], 2, "does not go with --target lambda"),
        (["--source", "/nowhere"], 1, "no Dockerfile"),
    ],
)
def test_what_cannot_be_built_is_told(
    words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        got = cli.main(["build", "--dry-run", *words])
    except SystemExit as end:
        got = int(str(end.code))
    assert got == code
    assert message in capsys.readouterr().err


def test_tags_tell_handlers_apart(folder: Path) -> None:
    first = Recipe(ROOT, str(folder)).tag
    (folder / "greeting.py").write_text("TEXT = 'goodbye'\n")
    assert len({first, Recipe(ROOT, str(folder)).tag, Recipe(ROOT).tag, Recipe(ROOT, "image_similarity").tag}) == 4


def test_what_is_hidden_in_a_handlers_folder_stays_out_of_the_image(folder: Path, tmp_path: Path) -> None:
    (folder / ".env").write_text("SECRET=1")
    (folder / "here.py").symlink_to("greeting.py")
    _copy_handler(folder, tmp_path / "copy")
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == ["greeting.py", "here.py", "inference.py"]
    (folder / "keys").symlink_to(tmp_path)
    with pytest.raises(BadRequest, match="keys is a link out of the handler's folder"):
        _copy_handler(folder, tmp_path / "other")


def test_credentials_do_not_get_into_the_images_history(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["build", "--dry-run", "--torch-index", "https://me:secret@index.example/simple"])
    assert "has a user in its URL" in capsys.readouterr().err


def test_a_name_that_the_engine_refuses(client: docker.DockerClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["build", "--name", "Bad Name", "-q"]) == 1
    assert "Building Bad Name:" in capsys.readouterr().err


def test_without_an_engine(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    assert cli.main(["build"]) == 1
    assert "No Docker Engine listens on unix:///nowhere/docker.sock. Start Docker" in capsys.readouterr().err


def test_a_step_that_fails_is_told_with_its_last_lines(client: docker.DockerClient, folder: Path) -> None:
    (folder / "requirements.txt").write_text("no-such-package-anywhere-at-all==1\n")
    wanted = recipe(handler=str(folder))
    with pytest.raises(ImageError, match=r"(?s)Building pixelserve-test:.* failed.*no-such-package-anywhere-at-all"):
        build(client, wanted, lambda line: None)
