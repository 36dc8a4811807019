"""`pixelserve check --image` on an image that keeps the contract, ours, and on one that breaks it, which is not."""

from __future__ import annotations

from pathlib import Path

import docker
import pytest
from containers import TIME_TO_BUILD, built
from told import read_told

from pixelserve.processes import Stop
from pixelserve_deploy import cli
from pixelserve_deploy.conformance import Trial, check_image

pytestmark = TIME_TO_BUILD
JSON_TYPE = {"Content-Type": "application/json", "Accept": "*/*"}
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


INSISTS = """
import os
from pathlib import Path

from pixelserve import BadRequest


def model_fn(model_dir):
    return Path(model_dir, "weights").read_text() + os.environ["WORD"]


def input_fn(body, content_type):
    if (body, content_type) != ("1,2\\n", "text/csv"):
        raise BadRequest(f"This is {content_type}.")
    return 1


def predict_fn(data, model):
    return model


def output_fn(prediction, accept):
    if accept != "text/csv":
        raise BadRequest(f"Accept is {accept}.")
    return prediction, accept
"""
PATIENT = 60.0
"""Seconds for a /ping where the machine is busy with other tests; SageMaker's 2 s are not what these are about."""


REFUSES = """if size > 1_000_000:
            self.connection.close()
            return
        self.rfile.read(size)
"""
ANSWERS_502 = """            self.send_error(502)
            return
"""


def find_kinds(client: docker.DockerClient, trial: Trial) -> dict[str, str]:
    """The kind of each finding by its check."""
    return {finding.check: finding.kind for finding in check_image(client, trial, Stop())}


def build_on(client: docker.DockerClient, folder: Path, instructions: str) -> str:
    """An image upon ours."""
    (folder / "Dockerfile").write_text(f"FROM {built(client)}\n{instructions}\n")
    image, _ = client.images.build(path=str(folder), rm=True)
    return str(image.id)


def test_our_image_keeps_every_line(client: docker.DockerClient, tmp_path: Path, capsys) -> None:
    """By the command, whose body, model, variable and types the handler insists on. A /ping may be late here."""
    (tmp_path / "model" / "code").mkdir(parents=True)
    (tmp_path / "model" / "code" / "inference.py").write_text(INSISTS)
    (tmp_path / "model" / "weights").write_text("as")
    (tmp_path / "row.csv").write_bytes(b"1,2\n")
    sent = ["--body", str(tmp_path / "row.csv"), "--accept", "text/csv", "--env", "WORD=ked"]
    code = cli.main(["check", "--image", built(client), *sent, "--model-dir", str(tmp_path / "model"), "--json"])
    told = read_told(capsys.readouterr().out, "check")
    assert (code == 0) == (told["problems"] == 0)
    assert (len(told["findings"]), told["unchecked"]) == (12, 0)
    found = {finding["check"]: finding for finding in told["findings"]}
    assert found["invocations"]["text"].startswith("200, text/csv")
    assert found["invocations"]["text"].endswith(" 5 bytes")
    assert {name for name in found if found[name]["kind"] != "ok"} <= {"ping", "ping when busy"}


def test_another_image_is_told_what_it_breaks(client: docker.DockerClient, tmp_path: Path) -> None:
    (tmp_path / "serve.py").write_text(BREAKER)
    label = "LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port=false"
    image = build_on(client, tmp_path, f'COPY serve.py /serve.py\nENTRYPOINT ["python", "/serve.py"]\n{label}')
    kinds = find_kinds(client, Trial(image, b'{"x": 1}', JSON_TYPE, ping_seconds=PATIENT))
    assert {name for name, kind in kinds.items() if kind == "problem"} == {"large body", "execution parameters"}
    assert {name for name, kind in kinds.items() if kind == "note"} == {
        "empty body",
        "unknown type",
        "unknown route",
        "stop",
        "bind to port",
    }


@pytest.mark.parametrize(("fails", "kind"), [("size > 1_000_000", "problem"), ("body[0] == 0", "note")])
def test_a_server_that_fails_on_what_is_large_has_a_problem(
    fails: str, kind: str, client: docker.DockerClient, tmp_path: Path
) -> None:
    failing = BREAKER.replace(REFUSES, f"body = self.rfile.read(size)\n        if size and {fails}:\n{ANSWERS_502}")
    assert failing != BREAKER
    (tmp_path / "serve.py").write_text(failing)
    image = build_on(client, tmp_path, 'COPY serve.py /serve.py\nENTRYPOINT ["python", "/serve.py"]')
    found = check_image(client, Trial(image, b'{"x": 1}', JSON_TYPE, ping_seconds=PATIENT), Stop())
    (large,) = [finding for finding in found if finding.check == "large body"]
    assert (large.kind, "answered 502" in large.text) == (kind, True)


def test_an_image_that_ends_at_once_is_told_with_its_last_words(client: docker.DockerClient, tmp_path, capsys) -> None:
    image = build_on(client, tmp_path, 'ENTRYPOINT ["sh", "-c", "echo no model here; exit 7"]')
    assert cli.main(["check", "--image", image]) == 1
    told = capsys.readouterr().out
    assert "ended with exit code 7: it wrote no model here" in told


def test_an_image_without_serve_is_told_and_leaves_no_container(client: docker.DockerClient, tmp_path, capsys) -> None:
    image = build_on(client, tmp_path, 'ENTRYPOINT ["/no-program-of-this-name"]')
    assert cli.main(["check", "--image", image, "--json"]) == 1
    told = read_told(capsys.readouterr().out, "check")
    (finding,) = told["findings"]
    assert (finding["kind"], finding["check"]) == ("problem", "serve")
    assert "/no-program-of-this-name" in finding["text"]
    assert client.containers.list(all=True, filters={"ancestor": image}) == []


def test_an_image_that_is_not_here_is_told(client: docker.DockerClient, capsys) -> None:
    assert cli.main(["check", "--image", "no-such-image:1"]) == 1
    assert "There is no image no-such-image:1 here" in capsys.readouterr().err
