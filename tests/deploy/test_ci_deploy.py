"""`deploy/ci_deploy.py` from plan to production: moto for AWS, a local runtime for the endpoints that are called."""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import ci_deploy
import pytest
import yaml
from cloud import name_image, open_account
from servers import ROOT

from pixelserve.local import LocalRuntime, Source, running

REGION = "us-east-2"
NAMES = ("upscaler-staging", "upscaler")
TABLE = '[endpoints.{}]\nimage = "{}"\nregion = "us-east-2"\nfeatures = ["image-super-resolution"]\n'
FILE = "".join(TABLE.format(name, name_image(REGION)) for name in NAMES)


@pytest.fixture(scope="module")
def runtime() -> Iterator[LocalRuntime]:
    """What SageMaker would run: the endpoints of the file, and one whose handler does not answer pictures."""
    with running([Source.parse(f"{name}=image-super-resolution") for name in NAMES]) as local:
        yield local


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout in CI, without credentials."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pixelserve.toml").write_text(FILE)
    return tmp_path


@pytest.fixture
def aws(cloud: str, runtime: LocalRuntime, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    client = open_account(cloud, REGION, monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", runtime.url)
    return client


def run(*words: str) -> int:
    return ci_deploy.main([*words, "--poll", "0.01"])


@pytest.fixture
def run_step(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs the step of a job of deploy.yml that calls `ci_deploy.py`, as a runner does; returns what it outputs."""
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "deploy").symlink_to(ROOT / "deploy")
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "deploy.yml").read_text())["jobs"]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "container"), str(ROOT / "deploy")]))

    def act(job: str, **values: str) -> str:
        (step,) = [step for step in jobs[job]["steps"] if "ci_deploy.py" in step.get("run", "")]
        given = {name: values[re.sub(r"\W+", "_", text[3:-2]).strip("_")] for name, text in step["env"].items()}
        files = {name: str(folder / name.lower()) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        for file in files.values():
            Path(file).write_text("")
        subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            env=os.environ | {"GITHUB_REPOSITORY": "owner/name"} | given | files,
            check=True,
        )
        return Path(files["GITHUB_OUTPUT"]).read_text()

    return act


@pytest.mark.timeout(600)  # four processes that import the SageMaker SDK
@pytest.mark.skipif(shutil.which("jq") is None, reason="jq, which GitHub's runners have, is not installed")
def test_the_workflow_takes_one_image_from_a_plan_to_production(
    aws: Callable[[str], Any],
    run_step: Callable[..., str],
    comments: list[str],
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = {"vars_STAGING": NAMES[0], "vars_PRODUCTION": NAMES[1]}
    first, *lines, last = run_step("plan", **names).splitlines()
    plan = "\n".join(lines)
    assert first == f"plan<<{last}"
    assert plan.count("| add | Endpoint | AWS::SageMaker::Endpoint |") == 2
    assert plan.count("| an hour at rest | $0.000 | $0.736 | +$0.736 |") == 2
    assert aws("sagemaker").list_endpoints()["Endpoints"] == []
    given = {"github_token": "secret", "needs_plan_outputs_plan": plan, "github_event_pull_request_number": "12"}
    run_step("comment", **given)
    assert comments[3].rstrip() == plan.rstrip()
    image = run_step("staging", **names).removeprefix("image=").strip()
    assert re.fullmatch(r".*/pixelserve@sha256:[0-9a-f]{64}", image)
    assert json.loads((folder / "deployed.json").read_text())["smoke"] == "answered a picture of 64 x 64 pixels."
    run_step("production", **names, needs_staging_outputs_image=image)
    assert "**Smoke test:** answered a picture" in (folder / "github_step_summary").read_text()
    models = aws("sagemaker").list_models()["Models"]
    images = [
        aws("sagemaker").describe_model(ModelName=one["ModelName"])["PrimaryContainer"]["Image"] for one in models
    ]
    assert images == [image, image]
    assert run("plan", *NAMES) == 0
    assert capsys.readouterr().out.count("Nothing changes.") == 2


def test_an_endpoint_that_does_not_answer_needs_a_person(
    aws: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("deploy", "silent", "--image", name_image(REGION)) == 4
    told = capsys.readouterr().out
    assert told.startswith("### silent: needs person\n")
    assert "**Cause:** The endpoint is there, but the smoke test failed: " in told
    assert "Endpoint silent" in told
    assert run("deploy", "upscaler", "--accept", "application/json", "--json") == 0
    assert json.loads(capsys.readouterr().out)["smoke"].startswith("answered JSON with ")
    assert run("deploy", "function", "--image", name_image(REGION), "--mode", "lambda") == 0
    assert "**Smoke test:** not called: a Predictor does not call lambda endpoints." in capsys.readouterr().out


def test_a_role_in_china_is_taken_on_for_its_own_audience() -> None:
    """The trust that is printed asks for it, and the action's own default is sts.amazonaws.com."""
    audience = "${{ startsWith(vars.AWS_REGION, 'cn-') && 'sts.amazonaws.com.cn' || 'sts.amazonaws.com' }}"
    found = []
    for name in ("deploy.yml", "release.yml"):
        jobs = yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())["jobs"].values()
        steps = [step for job in jobs for step in job["steps"]]
        found += [step["with"].get("audience") for step in steps if "configure-aws" in step.get("uses", "")]
    assert found == 4 * [audience]


def test_what_is_no_picture_fails_the_smoke_test() -> None:
    with pytest.raises(ValueError, match=r"the answer of 5 bytes is no picture: b'hello'"):
        ci_deploy.judge(b"hello", "image/png")
    with pytest.raises(ValueError, match="Expecting value"):
        ci_deploy.judge(b"hello", "application/json")


def test_the_costs_of_a_change_stand_side_by_side(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "main.toml").write_text(FILE)
    assert run("plan", "upscaler", "--against", "main.toml", "--image", name_image(REGION, "2"), "--count", "2") == 10
    told = capsys.readouterr().out
    assert "| modify | Endpoint | AWS::SageMaker::Endpoint | EndpointConfigName: EndpointConfig is replaced |" in told
    assert "| an hour at rest | $0.736 | $1.473 | +$0.736 |" in told
    assert told in (ROOT / "docs" / "deploy.md").read_text()


def test_a_plan_that_is_refused_says_why(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan", *NAMES, "--mode", "async", "--instances", "ml.g4dn.xlarge") == 3
    told = capsys.readouterr().out
    assert told.count("### upscaler") == 2
    assert "**Cause:** instances: ml.g4dn.xlarge is not offered for asynchronous endpoints" in told


def test_a_price_that_no_book_has_is_not_guessed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan", "upscaler", "--instances", "ml.g99.xlarge") == 10
    assert "| an hour at rest | $0.000 | unknown | unknown |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["promote", "upscaler", "--image", name_image(REGION)], "is no digest: give the image that `deploy` printed"),
        (["deploy", "upscaler", "--plans"], "unrecognized arguments: --plans"),
        (["comment", "--repository", "a/b", "--pull", "1", "--region", "x"], "unrecognized arguments: --region"),
        (["comment", "--repository", "a/b", "--pull", "1"], "GITHUB_TOKEN is not set"),
        ([], "required: ACTION"),
    ],
)
def test_wrong_command_lines(
    words: list[str], said: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    try:
        code = ci_deploy.main(words)
    except SystemExit as end:
        code = int(str(end.code))
    assert code == 2
    assert said in capsys.readouterr().err


class Several(http.server.BaseHTTPRequestHandler):
    """A multi-model endpoint by InvokeEndpoint's API reference: TargetModel goes in a header, and has to be there."""

    protocol_version = "HTTP/1.1"
    answers: ClassVar[dict[str, tuple[str, bytes]]] = {
        "image-super-resolution.tar.gz": ("image/png", ci_deploy.draw_picture()),
        "image-similarity.tar.gz": ("application/json", b'{"embedding": []}'),
    }

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        refused = ("application/json", b'{"message": "Model does not exist"}')
        kind, body = self.answers.get(self.headers["x-amzn-sagemaker-target-model"], refused)
        self.send_response(400 if body is refused[1] or self.headers["accept"] != kind else 200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_each_of_several_features_is_called(
    cloud: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    aws = open_account(cloud, REGION, monkeypatch)
    aws("s3").create_bucket(Bucket="weights", CreateBucketConfiguration={"LocationConstraint": REGION})
    aws("s3").put_object(Bucket="weights", Key="a/image-similarity.tar.gz", Body=b"x")
    features = [name.removesuffix(".tar.gz") for name in Several.answers]
    (folder / "pixelserve.toml").write_text(
        f'[endpoints.pictures]\nimage = "{name_image(REGION)}"\nfeatures = {json.dumps(features)}\n'
        'weights = "s3://weights/a/"\n'
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Several) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", f"http://127.0.0.1:{server.server_port}")
        code = run("deploy", "pictures", "--json")
        server.shutdown()
    told = json.loads(capsys.readouterr().out)
    assert told["smoke"] == "answered a picture of 32 x 32 pixels. answered JSON with embedding."
    assert code == 0


class Comments(http.server.BaseHTTPRequestHandler):
    """The comments of one pull request, two a page, with the paths, fields and links of GitHub's REST API.

    The first three are somebody's.

    "List issue comments", "Create an issue comment", "Update an issue comment": docs.github.com/rest/issues/comments.
    """

    protocol_version = "HTTP/1.1"
    bodies: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        assert path == "/repos/owner/name/issues/12/comments"
        start = int(query.removeprefix("start=")) if query.startswith("start=") else 0
        page = [
            {
                "id": start + n + 1,
                "body": body,
                "user": {"login": "somebody" if start + n < 3 else "github-actions[bot]"},
            }
            for n, body in enumerate(self.bodies[start : start + 2])
        ]
        more = start + 2 < len(self.bodies)
        link = f'<http://{self.headers["host"]}{path}?start={start + 2}>; rel="next"' if more else ""
        self._answer(200, page, link)

    def do_POST(self) -> None:
        assert self.path == "/repos/owner/name/issues/12/comments"
        self.bodies.append(self._read())
        self._answer(201, {"html_url": f"https://github.com/owner/name/pull/12#issuecomment-{len(self.bodies)}"})

    def do_PATCH(self) -> None:
        number = int(self.path.removeprefix("/repos/owner/name/issues/comments/"))
        self.bodies[number - 1] = self._read()
        self._answer(200, {"html_url": f"https://github.com/owner/name/pull/12#issuecomment-{number}"})

    def _read(self) -> str:
        assert self.headers["authorization"] == "Bearer secret"
        return str(json.loads(self.rfile.read(int(self.headers["content-length"])))["body"])

    def _answer(self, status: int, fields: Any, link: str = "") -> None:
        body = json.dumps(fields).encode()
        self.send_response(status)
        if link:
            self.send_header("link", link)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def comments(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The bodies of the comments that a server has, and which `ci_deploy.py comment` is led to."""

    class Server(Comments):
        bodies: ClassVar[list[str]] = ["first", "second", "third"]

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        monkeypatch.setenv("GITHUB_API_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("GITHUB_TOKEN", "secret")
        yield Server.bodies
        server.shutdown()


def test_a_pull_request_has_one_comment_which_is_edited(
    comments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["comment", str(tmp_path / "plan.md"), "--repository", "owner/name", "--pull", "12"]
    for text in (f"{ci_deploy.MARK}\n\none", "two"):
        (tmp_path / "plan.md").write_text(text)
        assert ci_deploy.main(words) == 0
        assert capsys.readouterr().out == "https://github.com/owner/name/pull/12#issuecomment-4\n"
        assert comments == ["first", "second", "third", f"{ci_deploy.MARK}\n\n{text[-3:]}"]
    comments[2] = f"{ci_deploy.MARK}\n\nwhat somebody likes"
    assert ci_deploy.main(words) == 0
    assert comments[2:] == [f"{ci_deploy.MARK}\n\nwhat somebody likes", f"{ci_deploy.MARK}\n\ntwo"]
    words[-3] = "owner/other"
    assert ci_deploy.main(words) == 1
    assert "ci_deploy.py: GitHub: " in capsys.readouterr().err
