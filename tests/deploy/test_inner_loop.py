"""A model while it is written: `up --reload`, addresses for scripts, `measure`, and results with real endings."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from ci_deploy import draw_picture
from servers import wait_for
from told import read_told

from pixelserve_deploy import cli
from pixelserve_deploy.cost import read_benchmark

HANDLER = """
def model_fn(model_dir):
    return 1


def predict_fn(data, model):
    return {"version": VERSION, "data": data}
"""


PICKY = """

def input_fn(body, content_type):
    if content_type != "image/png":
        raise ValueError(content_type)
    return len(body)
"""


CHOOSY = """
from pixelserve import BadRequest


def input_fn(body, content_type):
    raise BadRequest("Send two.")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("first", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "inference.py").write_text(f"VERSION = 1\n{HANDLER}")
    (tmp_path / "request.json").write_text('{"x": 1}')
    monkeypatch.setenv("PIXELSERVE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@contextmanager
def up(*arguments: str) -> Iterator[tuple[dict[str, Any], subprocess.Popen[str]]]:
    """What a running `up --json` printed."""
    command = [sys.executable, "-m", "pixelserve_deploy", "up", "--port", "0", "--json", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield read_told(process.stdout.readline(), "up"), process
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate()
    assert process.returncode == 0


def ask(served: dict[str, Any], number: int = 0) -> Any:
    url = served["endpoints"][number]["invocations"]
    headers = {"Content-Type": "application/json"}
    return httpx.post(url, content=b'{"x": 1}', headers=headers, trust_env=False).json()


def find_server(name: str) -> set[int]:
    """Processes whose code lies in the folder of that name."""
    found = set()
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = environ.read_bytes().split(b"\0")
        except OSError:
            continue
        if f"SAGEMAKER_SUBMIT_DIRECTORY={Path(name).resolve()}".encode() in variables:
            found.add(int(environ.parent.name))
    return found


def test_an_endpoint_is_restarted_when_its_folder_changes_and_the_others_stay(folder: Path) -> None:
    with up("first", "other", "--reload") as (served, _):
        assert ask(served) == {"version": 1, "data": {"x": 1}}
        others = find_server("other")
        (folder / "first" / "inference.py").write_text(f"VERSION = 2\n{HANDLER}")
        wait_for(lambda: ask(served)["version"] == 2, what="the second version", seconds=90)
        (folder / "first" / "inference.py").write_text("def model_fn(model_dir):\n    raise ValueError('broken')\n")
        before = find_server("first")
        wait_for(lambda: find_server("first") - before, what="an attempt with the broken version", seconds=90)
        wait_for(lambda: not find_server("first") - before, what="the end of that attempt", seconds=90)
        assert ask(served)["version"] == 2
        (folder / "first" / "inference.py").write_text(f"VERSION = 3\n{HANDLER}")
        wait_for(lambda: ask(served)["version"] == 3, what="the third version", seconds=90)
        assert ask(served, 1)["version"] == 1
        assert find_server("other") == others
    assert not find_server("first")


def test_asynchronous_inputs_are_paths_too(folder: Path) -> None:
    with up("first", "--async-output", "out", "--async-input", ".") as (served, _):
        assert served["endpoints"][0]["asynchronous"] == "first-async"
        headers = {"x-amzn-sagemaker-content-type": "application/json"}
        for location in ("request.json", str(folder / "request.json"), (folder / "request.json").as_uri()):
            answer = httpx.post(
                f"{served['runtime']}/endpoints/first-async/async-invocations",
                headers={**headers, "x-amzn-sagemaker-inputlocation": location},
                trust_env=False,
            )
            output = Path(answer.headers["x-amzn-sagemaker-outputlocation"].removeprefix("file://"))
            wait_for(output.exists, what=f"the output of {location}", seconds=60)
            assert json.loads(output.read_text())["data"] == {"x": 1}
        lost = httpx.post(
            f"{served['runtime']}/endpoints/first-async/async-invocations",
            headers={"x-amzn-sagemaker-inputlocation": "/etc/passwd"},
            trust_env=False,
        )
        assert (lost.status_code, "--async-input PLACE" in lost.text) == (400, True)


def test_what_is_measured_is_priced(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with up("first", "--no-gateway"):
        words = ["measure", "first", "--body", "request.json", "--clients", "3", "--seconds", "2"]
        assert cli.main([*words, "--json"]) == 0
        told = read_told(capsys.readouterr().out, "measure")
        (row,) = told["rows"]
        assert row["failures"] == 0
        assert row["seconds"]["p50"] <= row["seconds"]["p90"] <= row["seconds"]["p99"] <= row["seconds"]["max"]
        assert row["requests_per_second"] * 2 <= row["seconds"]["count"] * 1.01
        assert json.loads((folder / "measured.json").read_text()) == told
    assert read_benchmark(folder / "measured.json").rows[0].image
    priced = ["cost", "from-benchmark", "measured.json", "--format", "json"]
    assert cli.main([*priced, "--instance", "ml.c6i.xlarge"]) == 0
    rate = json.loads(capsys.readouterr().out)["rows"][0]["images_per_second"]
    assert float(rate) == row["requests_per_second"]
    with pytest.raises(SystemExit):
        cli.main(priced)
    assert "give --instance" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main([*priced, "--instance", "ml.c6i.xlarge", "--scale", "4"])
    assert "--scale 4: no row of measure first has a scale" in capsys.readouterr().err


def test_seconds_of_one_instance_price_no_other(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"connections": 1, "images_per_second": 2.0, "seconds": {"count": 9, "mean": 0.5, "p50": 0.5, "p90": 0.5,
           "p99": 0.5, "max": 0.5}, "scale": 2, "sizes": {"pixels": 4_000_000}}  # fmt: skip
    machine = {"cpu": "ml.g5.xlarge", "cores": None, "gpu": None, "instance": "ml.g5.xlarge"}
    result = {"schema": "pixelserve-benchmark/1", "name": "m", "date": "2026-11-30", "machine": machine, "rows": [row]}
    (folder / "aws.json").write_text(json.dumps(result))
    assert cli.main(["cost", "from-benchmark", "aws.json"]) == 0
    assert "priced as ml.g5.xlarge" in capsys.readouterr().out
    for words in (["from-benchmark", "aws.json"], ["estimate", "--measured", "aws.json"]):
        with pytest.raises(SystemExit) as end:
            cli.main(["cost", *words, "--instance", "ml.c6i.xlarge"])
        assert end.value.code == 2
        assert "says nothing of an" in capsys.readouterr().err
    assert cli.main(["cost", "estimate", "--measured", "aws.json", "--format", "json"]) == 0
    (bill,) = json.loads(capsys.readouterr().out)
    assert "0.5 on ml.g5.xlarge, measured" in bill["assumptions"]["seconds"]


def test_results_have_real_endings_and_failures_are_told_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "in").mkdir()
    (folder / "in" / "good.json").write_text('{"x": 1}')
    (folder / "in" / "bad.json").write_text("{")
    words = ["transform", "first", "in", "out", "--accept", "application/json", "--endings"]
    assert cli.main(words) == 1
    told = capsys.readouterr().err
    assert told.count("bad.json: ") == 1
    assert [path.name for path in (folder / "out").iterdir()] == ["good.json.json"]
    assert cli.main([*words, "--json"]) == 1
    summary = read_told(capsys.readouterr().out, "transform")
    assert (summary["skipped"], list(summary["failures"])) == (1, ["bad.json"])


def test_a_model_that_takes_pictures_alone_is_told_how_to_get_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "first" / "inference.py").write_text(f"VERSION = 1\n{HANDLER}{PICKY}")
    (folder / "photo.png").write_bytes(draw_picture())
    (folder / "other" / "inference.py").write_text(f"VERSION = 1\n{HANDLER}{CHOOSY}")
    with up("first", "other", "--no-gateway"):
        words = ["invoke", "first", "photo.png", "-o", "a.json"]
        assert cli.main(words) == 1
        told = capsys.readouterr().err
        hint = "The picture was sent as `img` in JSON. If it takes pictures alone, --content-type image/png sends it as"
        assert hint in told
        assert cli.main([*words, "--set", "radius=2"]) == 1
        assert hint not in capsys.readouterr().err
        assert cli.main([*words, "--content-type", "image/png"]) == 0
        assert cli.main(["invoke", "other", "photo.png", "-o", "a.json"]) == 1
        assert hint not in capsys.readouterr().err


def test_an_answer_is_told_to_scripts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with up("first", "--no-gateway"):
        assert cli.main(["invoke", "first", "request.json", "--json"]) == 0
        told = read_told(capsys.readouterr().out, "invoke")
        assert told["answer"] == {"version": 1, "data": {"x": 1}}
        assert cli.main(["invoke", "first", "request.json", "--json", "-o", "a.json"]) == 0
        told = read_told(capsys.readouterr().out, "invoke")
        assert json.loads((folder / told["output"]).read_text())["version"] == 1
        assert cli.main(["invoke", "frist", "request.json"]) == 1
        assert "A running `pixelserve up` has first." in capsys.readouterr().err
        assert cli.main(["invoke", "first", "request.json", "--accept", "application/x-npy", "-o", "a.npy"]) == 1
        assert "accept application/json" in capsys.readouterr().err
        assert not (folder / "a.npy").exists()
