"""`pixelserve build` on a real engine: a handler of the user's own, published weights, and what goes wrong."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import docker
import httpx
import pytest
from containers import TIME_TO_BUILD, Container, build_options, built, printed_line, recipe, running_printed
from drawing import picture
from servers import ROOT, wait_for
from wheels import build_wheel, environ_without_paths, install_wheel

from pixelserve import __version__
from pixelserve_deploy import cli
from pixelserve_deploy.image import ImageError, Recipe, build

pytestmark = TIME_TO_BUILD
PROXY = "http://me:secret@proxy.example:3128"
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


class Files(SimpleHTTPRequestHandler):
    """Serves a folder, and keeps the paths that it was asked for."""

    def __init__(self, *arguments: Any, asked: list[str], **options: Any) -> None:
        self._asked = asked
        super().__init__(*arguments, **options)

    def log_message(self, format: str, *arguments: Any) -> None:
        self._asked.append(self.path)


@contextmanager
def serving_files(folder: Path, asked: list[str]) -> Iterator[str]:
    handler = partial(Files, directory=str(folder), asked=asked)
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
    assert cli.main(["build", str(folder), "--name", "pixelserve-test-own", "--json", *build_options()]) == 0
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


NEEDS_WEIGHTS = """
from pathlib import Path

def model_fn(model_dir):
    return Path(model_dir, "bias.txt").read_text()

def predict_fn(data, model):
    return [model, data]
"""


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A folder of weights, which only its owner may read."""
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "bias.txt").write_text("seven")
    (folder / "bias.txt").chmod(0o600)
    return folder


def test_the_printed_line_serves_a_handler_with_its_weights(
    client: docker.DockerClient, folder: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "inference.py").write_text(NEEDS_WEIGHTS)
    words = ["build", str(folder), "--model-dir", str(weights), "--name", "pixelserve-test-line", "-q"]
    assert cli.main([*words, *build_options()]) == 0
    with running_printed(printed_line(capsys.readouterr().out)) as url:
        assert httpx.post(f"{url}/invocations", json=1, trust_env=False).json() == ["seven", 1]


def test_a_packaged_model_is_built_with_its_weights(
    client: docker.DockerClient, folder: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "inference.py").write_text(NEEDS_WEIGHTS)
    archive, unpacked = tmp_path / "model.tar.gz", tmp_path / "unpacked"
    for output in (archive, unpacked):
        assert cli.main(["package", str(folder), "--model-dir", str(weights), "-o", str(output)]) == 0
    tags = []
    for model in (archive, unpacked):
        capsys.readouterr()
        assert (
            cli.main(["build", str(model), "--name", "pixelserve-test-layout", "--json", "-q", *build_options()]) == 0
        )
        tags.append(json.loads(capsys.readouterr().out)["tag"])
    assert tags[0] == tags[1]
    container = Container(client, tags[0], tmp_path, None, {}, user="1234")
    try:
        assert container.ready().invoke("2").json() == ["seven", 2]
    finally:
        container.close()


@pytest.mark.parametrize(("program", "others"), [("serve.py", {}), ("entry/serve.py", {"other.py": "nothing = 1\n"})])
def test_another_entry_than_inference_py_is_served(
    client: docker.DockerClient,
    tmp_path: Path,
    program: str,
    others: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The only file of code/ is served whatever its name; SAGEMAKER_PROGRAM names one of several."""
    model = tmp_path / "layout"
    for name, text in {program: HANDLER, "greeting.py" if others else "lib/greeting.py": "TEXT = 'hello'\n"}.items():
        (model / "code" / name).parent.mkdir(parents=True, exist_ok=True)
        (model / "code" / name).write_text(text)
    for name, text in others.items():
        (model / "code" / name).write_text(text)
        monkeypatch.setenv("SAGEMAKER_PROGRAM", program)
    assert cli.main(["build", str(model), "--name", "pixelserve-test-entry", "--json", "-q", *build_options()]) == 0
    container = Container(client, json.loads(capsys.readouterr().out)["tag"], tmp_path, None, {})
    try:
        assert container.ready().invoke("1").json()["greeting"] == "hello"
    finally:
        container.close()


def test_weights_that_are_missing_are_told_once(
    client: docker.DockerClient, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "inference.py").write_text(NEEDS_WEIGHTS)
    assert cli.main(["build", str(folder), "--name", "pixelserve-test-missing", "-q", *build_options()]) == 0
    said = capsys.readouterr().out
    tag = printed_line(said).split()[-2]
    assert 'With weights: docker run --rm -p 127.0.0.1:8080:8080 -v "$PWD/WEIGHTS:/opt/ml/model:ro"' in said
    container = Container(client, tag, tmp_path, None, {})
    try:
        wait_for(lambda: container.log_text().count("the next starts in") >= 3, what="three attempts", seconds=60)
        assert container.log_text().count('"traceback"') == 1
        told = container.ping().json()["error"]["message"]
        assert "No such file or directory: '/opt/pixelserve/handler/bias.txt'" in told
        assert "docker run -v FOLDER:/opt/ml/model:ro" in told
    finally:
        container.close()


def test_a_cpu_image_has_nothing_of_cuda(client: docker.DockerClient) -> None:
    program = (
        "import importlib.metadata as m, torch; print(torch.version.cuda, *(d.name.lower() for d in m.distributions()))"
    )
    for fields in ({}, {"mms": True}, {"target": "lambda"}):
        said = client.containers.run(built(client, **fields), ["-c", program], entrypoint="python", remove=True)
        cuda, *names = said.decode().split()
        assert cuda == "None"
        assert "torch" in names
        assert [name for name in names if name.startswith(("nvidia", "cuda", "triton"))] == []


@pytest.fixture(scope="module")
def from_wheel(
    client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, list[str]]]:
    """The tag of what the installed wheel built, with a mirror and a proxy set, and what the mirror was asked for."""
    place = tmp_path_factory.mktemp("installed")
    (place / "mirror").mkdir()
    programs = install_wheel(build_wheel(place), place / "env")
    asked: list[str] = []
    with serving_files(place / "mirror", asked) as mirror:
        environ = environ_without_paths(
            PIP_EXTRA_INDEX_URL=f"{mirror}/simple", HTTP_PROXY=PROXY, http_proxy=PROXY, NO_PROXY="127.0.0.1"
        )
        words = [programs / "pixelserve", "build", "--name", "pixelserve-test-wheel", "--json", "-q", *build_options()]
        done = subprocess.run(words, cwd=place, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    yield json.loads(done.stdout)["tag"], asked
    client.images.remove(json.loads(done.stdout)["tag"], force=True)


def test_build_works_from_the_installed_wheel(
    client: docker.DockerClient, from_wheel: tuple[str, list[str]], tmp_path: Path
) -> None:
    tag, _ = from_wheel
    assert tag == f"pixelserve-test-wheel:{__version__}"
    container = Container(client, tag, tmp_path, None, {})
    try:
        answer = container.ready().invoke(cv2.imencode(".png", picture(30, 40))[1].tobytes(), "image/png")
        assert answer.status_code == 200
    finally:
        container.close()


def test_a_mirror_is_passed_on_and_a_proxys_secret_stays_out(
    client: docker.DockerClient, from_wheel: tuple[str, list[str]]
) -> None:
    tag, asked = from_wheel
    assert any("/simple/numpy" in path for path in asked)
    image = client.images.get(tag)
    assert "secret" not in json.dumps([image.history(), image.attrs])
    assert [line for line in image.attrs["Config"]["Env"] if re.match("(?i)pip|.*proxy", line)] == []


def test_published_weights_lie_in_the_image_until_the_model_brings_its_own(
    client: docker.DockerClient, folder: Path, tmp_path: Path, assets: Path
) -> None:
    with serving_files(assets / "seg", []) as mirror:
        tuning = tmp_path / "selfie_segmentation.tuning.json"
        tuning.write_text("{}")
        wanted = recipe(handler=str(folder), weights=("selfie-segmentation",))
        arguments = {**wanted.arguments, "PIXELSERVE_WEIGHTS_MIRROR": mirror}
        tag = build(
            client,
            Recipe(ROOT, str(folder), weights=wanted.weights, tuning=(tuning,), name="pixelserve-test-weights",
                   arguments=arguments, network="host"),
            lambda line: None,
        )  # fmt: skip
    for files, expected in ((None, ["selfie_segmentation.tflite", tuning.name]), ({"notes.txt": ""}, ["code"])):
        container = Container(client, tag, tmp_path, files, {})
        try:
            assert container.ready().invoke("1").json()["files"] == expected
        finally:
            container.close()


def test_what_was_tuned_goes_with_published_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIXELSERVE_WEIGHTS_DIR", str(tmp_path))
    file = tmp_path / "realesr-general-x4v3" / "realesr-general-x4v3.tuning.json"
    file.parent.mkdir()
    tags = set()
    for content in ("", "{}", '{"avx2": {"runtime": "torch", "dtype": "float32", "sha256": ""}}'):
        if content:
            file.write_text(content)
        assert cli.main(["build", "--weights", "realesr-general-x4v3", "--dry-run"]) == 0
        tags.add(json.loads(capsys.readouterr().out)["tag"])
    assert len(tags) == 3
    context = Recipe(ROOT, weights=("realesr-general-x4v3",), tuning=(file,)).list_context()
    assert context[f"own/weights/{file.name}"] == file
    file.write_text('{"avx2": {}}')
    assert cli.main(["build", "--weights", "realesr-general-x4v3", "--dry-run"]) == 1
    assert "realesr-general-x4v3.tuning.json is no tuning file" in capsys.readouterr().err


def test_the_image_for_cpus_runs_openvino_as_it_was_tested(client: docker.DockerClient) -> None:
    """Without a network, and as SageMaker runs it: nothing that it does asks or tells anybody."""
    code = """
from importlib.metadata import version
from pixelserve.models.super_resolution import Upscaler
from pixelserve.settings import Settings
print(version("openvino"), Upscaler.load("", Settings(runtime="openvino")).choice(2).runtime)
"""
    said = client.containers.run(
        built(client), ["-c", code], entrypoint="python", network_mode="none", read_only=True, user="1234", remove=True
    )
    pinned = re.search(r"^openvino==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert said.decode().split() == [pinned[1], "openvino"]


def test_dry_run_shows_what_would_be_built(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["build", "image-similarity", "--device", "cuda", "--mms", "--base", "mine:1", "--dry-run"]
    assert cli.main(arguments) == 0
    plan = json.loads(capsys.readouterr().out)
    assert re.fullmatch(rf"pixelserve:{re.escape(__version__)}-\w+(-dirty)?-image_similarity-cuda-mms", plan["tag"])
    assert plan["target"] == "server"
    shown = {key: plan["arguments"][key] for key in ("DEVICE", "MMS", "FEATURE", "BASE")}
    assert shown == {"DEVICE": "cuda", "MMS": "true", "FEATURE": "image_similarity", "BASE": "mine:1"}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["no_such_feature"], 1, "no feature no_such_feature"),
        (["--model-dir", "/nowhere"], 1, "no folder /nowhere"),
        (["--weights", "no-such-weights"], 1, "no-such-weights"),
        (["--target", "lambda", "--mms"], 2, "does not go with --target lambda"),
        (["--target", "gateway", "--mms"], 2, "does not go with --target gateway"),
        (["image_similarity", "--target", "gateway"], 2, "the gateway has no model"),
        (["--target", "gateway", "--device", "cuda"], 2, "the gateway has no model"),
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
    assert Recipe(ROOT, str(folder), program="greeting.py").tag != first
    (folder / "greeting.py").write_text("TEXT = 'goodbye'\n")
    assert len({first, Recipe(ROOT, str(folder)).tag, Recipe(ROOT).tag, Recipe(ROOT, "image_similarity").tag}) == 4


@pytest.mark.parametrize("name", ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"])
def test_a_mirror_with_a_password_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, "https://mirror.example/simple https://me:secret@index.example/simple")
    with pytest.raises(SystemExit, match="2"):
        cli.main(["build", "--dry-run"])
    said = capsys.readouterr().err
    assert f"{name} has a user in its URL" in said
    assert "secret" not in said


def test_torch_comes_from_where_the_command_line_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a word the Dockerfile's own index stands."""
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    expected = {
        (): None,
        ("--device", "cuda"): "",
        ("--torch-find-links", "https://a.example"): "",
        ("--torch-index", "https://b.example/@scope"): "https://b.example/@scope",
    }
    for words, index in expected.items():
        assert cli.main(["build", "--dry-run", *words]) == 0
        assert json.loads(capsys.readouterr().out)["arguments"].get("TORCH_INDEX_URL") == index
    assert "ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu\n" in (ROOT / "Dockerfile").read_text()


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


def test_an_index_without_torch_is_told(client: docker.DockerClient, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["build", "--torch-index", "http://127.0.0.1:1/simple", "--network", "host", "-q"]
    assert cli.main(words) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "Name another place that has torch==2.13.0+cpu: --torch-index or --torch-find-links." in said
