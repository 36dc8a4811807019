"""The command line: help, versions, wrong words, `up` and `invoke` as processes and against each other."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from PIL import Image
from servers import wait_for

from pixelserve import __version__
from pixelserve.local import state
from pixelserve_deploy import cli

FLIP = """
from pixelserve.errors import BadRequest

PIPELINE = True

def model_fn(model_dir):
    return None

def input_fn(body, content_type, context):
    if "bad=1" in context.custom_attributes:
        raise BadRequest("bad is 1: leave it out.", param="bad")
    return content_type, context.custom_attributes, body

def predict_fn(data, model):
    return data

def output_fn(prediction, accept):
    content_type, attributes, body = prediction
    if accept == "application/json":
        import json
        request = json.loads(body)
        return json.dumps({"fields": sorted(request), "content_type": content_type}), accept
    return body, accept
"""


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch):
    monkeypatch.setenv("PIXELSERVE_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "flip_it"
    path.mkdir()
    (path / "inference.py").write_text(FLIP)
    return path


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.jpg"  # a PNG by its content: that is what counts
    Image.new("RGB", (6, 4), "red").save(path, "png")
    return path


@contextmanager
def up(*arguments):
    """A running `pixelserve up` and what it printed when it was ready."""
    command = [sys.executable, "-m", "pixelserve_deploy", "up", "--port", "0", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            printed = "".join(iter(process.stdout.readline, 'open("result.png", "wb").write(answer["Body"].read())\n'))
            yield process, printed
        finally:
            process.terminate()
            process.communicate()


def test_help_and_version(capsys):
    for arguments, expected in ((["--help"], "commands:\n  up "), (["--version"], f"pixelserve {__version__}\n")):
        with pytest.raises(SystemExit) as end:
            cli.main(arguments)
        assert end.value.code == 0
        assert expected in capsys.readouterr().out


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_explains_itself_with_examples(command, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([command, "--help"])
    assert end.value.code == 0
    assert f"examples:\n  pixelserve {command} " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "name a command: up, invoke, transform, new, check"),
        (["inoke"], "there is no command inoke; did you mean invoke?"),
        (["zzz"], "there is no command zzz; commands: up, invoke, transform, new, check"),
        (["up", "--prot", "1"], "unrecognized arguments: --prot"),
        (["invoke", "a", "b.png", "c.png", "d.png"], "one image, or two to compare"),
        (["invoke", "a", "b.png", "--set", "scale"], "--set scale: write KEY=VALUE"),
        (["invoke", "a", "b.png", "-o", "./b.png"], "-o b.png is the input; choose another name"),
        (["invoke", "a", __file__, "--set", "prompt=é"], "--set with letters beyond ASCII"),
        (["invoke", "a", "b.png", "--region", "x"], "--region and --profile go with --aws"),
        (["invoke", "a", "b.png", "--scale", "3"], "invalid choice"),
        (["up", "--async-input", "x"], "--async-input goes with --async-output"),
        (["transform", "a", "b", "b/c"], "/b/c lies in the input"),
        (["transform", "a", "s3://bucket/b", "s3://bucket/b/"], "s3://bucket/b/ lies in the input"),
        (["transform", "a", "b", "c", "--strategy", "MultiRecord"], "goes with --split-type Line"),
        (["transform", "a", "b", "c", "--content-type", "a/b\r\nX: 1"], "is no content type: write one such as"),
        (["transform", "a", "b", "c", "--max-concurrent", "0"], "write a number of 1 or more"),
        (["check", "a", "--content-type", "b/c"], "--content-type goes with --body"),
        (["new", "a.b"], "'a.b' cannot be an endpoint's name"),
    ],
)
def test_a_wrong_command_line_ends_with_2(arguments, expected, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["up", "nothing"], "There is no feature nothing."),
        (["up", "image_super_resolution", "--model-dir", "image-super-resolution=/nowhere"], "no folder /nowhere."),
        (["invoke", "a", "/nowhere.png"], "There is no file /nowhere.png."),
        (["up", "image-similarity", "--async-output", "http://a"], "'http://a' is no place for objects: write s3://"),
        (["transform", "image-similarity", __file__, "out"], "test_cli.py: Not a directory."),
        (["transform", "image-similarity", "/nowhere", "out"], "There is nothing in /nowhere."),
        (["transform", "image-similarity", "/", "s3://a", "--model-dir", "/nowhere"], "'s3://a' is no place"),
        (["transform", "image-similarity", "/", "s3://abc", "--model-dir", "/nowhere"], "no folder /nowhere."),
        (["check", "/nowhere"], "There is no folder /nowhere."),
    ],
)
def test_what_is_not_there_ends_with_1_and_one_line(arguments, expected, capsys):
    assert cli.main(arguments) == 1
    printed = capsys.readouterr().err
    assert expected in printed
    assert printed.count("\n") == 1


def test_an_unknown_output_ending_is_a_usage_error(photo, capsys):
    with pytest.raises(SystemExit):
        cli.main(["invoke", "a", str(photo), "-o", "out.xyz"])
    assert "-o out.xyz: name one of .png, .jpg" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_traceback(folder):
    command = f"{sys.executable} -m pixelserve_deploy check {folder} | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.stdout.startswith("ok       import")
    assert done.stderr == ""


def test_the_command_line_imports_nothing_heavy():
    program = (
        "import sys, pixelserve_deploy.cli\n"
        "heavy = {'torch', 'boto3', 'sagemaker', 'cv2', 'numpy', 'pydantic', 'httpx', 'uvicorn', 'PIL'}\n"
        "sys.exit(f'imported {heavy & set(sys.modules)}' if heavy & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_missing_extra_is_told_in_one_line(monkeypatch, capsys, photo):
    monkeypatch.setitem(sys.modules, "boto3", None)
    assert cli.main(["invoke", "a", str(photo), "--aws"]) == 1
    assert capsys.readouterr().err == "pixelserve invoke needs boto3: pip install 'pixelserve[deploy]'\n"


def test_up_and_invoke_work_together(folder, photo, tmp_path, capsys, monkeypatch):
    with up(folder) as (process, printed):
        url = re.search(r"export AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME=(\S+)", printed)[1]
        assert "curl" in printed
        assert state.find("flip-it") == url

        assert cli.main(["invoke", "flip-it", str(photo), "--scale", "4"]) == 0
        written = tmp_path / "photo.result.png"
        assert Image.open(io.BytesIO(written.read_bytes())).size == (6, 4)
        assert f"-> {written} (6x4, " in capsys.readouterr().out

        assert cli.main(["invoke", "flip-it", str(photo), "-o", str(tmp_path / "a.json"), "--set", "target=2k"]) == 0
        answer = json.loads((tmp_path / "a.json").read_text())
        assert answer == {"fields": ["img", "target"], "content_type": "application/json"}

        capsys.readouterr()
        assert cli.main(["invoke", "flip-it", str(photo), str(photo)]) == 0
        assert json.loads(capsys.readouterr().out)["fields"] == ["img_1", "img_2"]

        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
        aws = ["--aws", "--region", "eu-west-1"]
        assert cli.main(["invoke", "flip-it", str(photo), "-o", str(tmp_path / "aws.png"), *aws]) == 0
        assert (tmp_path / "aws.png").read_bytes() == photo.read_bytes()
        capsys.readouterr()
        assert cli.main(["invoke", "flip-it", str(photo), "--set", "bad=1", *aws]) == 1
        assert capsys.readouterr().err == "pixelserve invoke: bad is 1: leave it out.\n"

        assert cli.main(["invoke", "flip-it", str(photo), "--set", "bad=1"]) == 1
        assert capsys.readouterr().err == "pixelserve invoke: bad is 1: leave it out.\n"

        process.terminate()
        assert process.wait(30) == 0
    assert state.find("flip-it") is None
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)


def test_up_takes_asynchronous_invocations(folder, tmp_path):
    with up(folder, "--async-output", tmp_path / "out") as (_, printed):
        url = re.search(r"export AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME=(\S+)", printed)[1]
        assert f"\nAsynchronous invocations write to {tmp_path / 'out'}.\n" in printed
        answer = httpx.post(f"{url}/endpoints/flip-it/async-invocations", content=b"photo", trust_env=False)
        output = Path(answer.headers["x-amzn-sagemaker-outputlocation"].removeprefix("file://"))
        wait_for(output.exists)
    assert output.read_bytes() == b"photo"
    assert output.parent == tmp_path / "out"


def test_invoke_starts_what_is_not_running_and_stops_it(folder, photo, tmp_path, capsys):
    assert cli.main(["invoke", str(folder), str(photo), "-o", str(tmp_path / "out.webp")]) == 0
    assert (tmp_path / "out.webp").read_bytes() == photo.read_bytes()
    assert "No `pixelserve up` has flip-it: starting it for this call." in capsys.readouterr().err
    assert state.find("flip-it") is None


def test_up_ends_with_the_reason_when_a_server_dies(folder):
    with up(folder) as (process, _):
        server = _child(process.pid)
        os.kill(server, signal.SIGKILL)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 1
        assert "pixelserve up: flip-it: The server process ended (signal 9)" in errors


def _child(pid):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                children = file.read().split()
            if children:
                return int(children[0])
        time.sleep(0.05)
    raise AssertionError("no child process")


def test_up_tells_why_a_model_does_not_load(folder, capsys):
    (folder / "inference.py").write_text("def model_fn(model_dir):\n    raise OSError('no weights here')\n")
    assert cli.main(["up", str(folder), "--port", "0"]) == 1
    assert "no weights here" in capsys.readouterr().err


def test_a_note_of_a_process_that_is_gone_is_removed(tmp_path):
    note = tmp_path / "state" / "up-1.json"
    note.parent.mkdir()
    note.write_text('{"url": "http://127.0.0.1:9", "pid": 1}')
    (note.parent / "up-2.json").write_text("cut o")
    assert state.find("anything") is None
    assert list(note.parent.iterdir()) == []
