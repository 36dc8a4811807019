"""`pixelserve check --image` on an image that keeps the contract, ours, and on one that breaks it, which is not."""

from __future__ import annotations

import json
from pathlib import Path

import docker
import jsonschema
import pytest
from containers import TIME_TO_BUILD, built

from pixelserve_deploy import cli

pytestmark = TIME_TO_BUILD
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "scripts.schema.json").read_text())
HANDLER = "def model_fn(model_dir):\n    return 1\n\n\ndef predict_fn(data, model):\n    return {'data': data}\n"
BREAKER = """
import http.server
import signal

signal.signal(signal.SIGTERM, lambda *_: exit(3))


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer()

    def do_POST(self):
        size = int(self.headers.get("content-length", 0))
        if size > 1_000_000:
            self.connection.close()
            return
        self.rfile.read(size)
        self.answer()

    def answer(self):
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")


http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""


def check(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, str]]:
    """The exit code, and the kind of each finding by its check."""
    code = cli.main(["check", "--json", *words])
    told = json.loads(capsys.readouterr().out)
    jsonschema.validate(told, {**SCHEMA, "$ref": "#/$defs/check"})
    return code, {finding["check"]: finding["kind"] for finding in told["findings"]}


@pytest.fixture
def request_file(tmp_path: Path) -> str:
    path = tmp_path / "request.json"
    path.write_text('{"x": 1}')
    return str(path)


def test_our_image_keeps_every_line(client: docker.DockerClient, tmp_path: Path, request_file: str, capsys) -> None:
    (tmp_path / "model" / "code").mkdir(parents=True)
    (tmp_path / "model" / "code" / "inference.py").write_text(HANDLER)
    words = ["--image", built(client), "--model-dir", str(tmp_path / "model"), "--body", request_file]
    code, kinds = check(capsys, *words)
    assert (code, set(kinds.values()), len(kinds)) == (0, {"ok"}, 12)


def test_another_image_is_told_what_it_breaks(
    client: docker.DockerClient, tmp_path: Path, request_file, capsys
) -> None:
    (tmp_path / "serve.py").write_text(BREAKER)
    entry = 'ENTRYPOINT ["python", "/serve.py"]\nLABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port=false\n'
    (tmp_path / "Dockerfile").write_text(f"FROM {built(client)}\nCOPY serve.py /serve.py\n{entry}")
    image, _ = client.images.build(path=str(tmp_path), rm=True)
    code, kinds = check(capsys, "--image", image.id, "--body", request_file)
    assert code == 1
    assert {name for name, kind in kinds.items() if kind == "problem"} == {"large body", "execution parameters"}
    assert {name for name, kind in kinds.items() if kind == "note"} == {
        "empty body",
        "unknown type",
        "unknown route",
        "stop",
        "bind to port",
    }


def test_an_image_that_ends_at_once_is_told_with_its_last_words(client: docker.DockerClient, tmp_path, capsys) -> None:
    (tmp_path / "Dockerfile").write_text(
        f'FROM {built(client)}\nENTRYPOINT ["sh", "-c", "echo no model here; exit 7"]\n'
    )
    image, _ = client.images.build(path=str(tmp_path), rm=True)
    assert cli.main(["check", "--image", image.id]) == 1
    told = capsys.readouterr().out
    assert "ended with exit code 7: it wrote no model here" in told


def test_an_image_that_is_not_here_is_told(client: docker.DockerClient, capsys) -> None:
    assert cli.main(["check", "--image", "no-such-image:1"]) == 1
    assert "There is no image no-such-image:1 here" in capsys.readouterr().err
