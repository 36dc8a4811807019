"""The command line: help, versions, wrong words, `up` and `invoke` as processes and against each other."""

import io
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import tarfile
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from PIL import Image
from servers import free_port, wait_for

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
            printed = "".join([*iter(process.stdout.readline, "END\n"), "END\n"])
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
        ([], "name a command: up, invoke, transform, batch, new"),
        (["inoke"], "there is no command inoke; did you mean invoke?"),
        (["zzz"], "there is no command zzz; commands: up, invoke, transform, batch, new"),
        (["up", "--prot", "1"], "unrecognized arguments: --prot"),
        (["invoke", "a", "b.png", "c.png", "d.png"], "folders, more than two files, --way and --s3: give -o FOLDER"),
        (["invoke", "a", "/tmp", "-o", "/tmp/out"], "-o /tmp/out lies in /tmp: the answers would be sent"),
        (["invoke", "a", "b.png", "--aws", "--way", "async"], "--way and --s3: give -o FOLDER for the answers"),
        (["batch", "a", "b", "b/c", "--local"], "/b/c lies in the input"),
        (["batch", "a", "b", "s3://abc/", "--model-dir", "c"], "--model-dir goes with --local"),
        (["batch", "a", "b", "s3://abc/", "--max-payload", "60", "--max-concurrent", "2"], "is 100 MB at most"),
        (["invoke", "a", "b.png", "--set", "scale"], "--set scale: write KEY=VALUE"),
        (["invoke", "a", "b.png", "-o", "./b.png"], "-o b.png is the input; choose another name"),
        (["invoke", "a", __file__, "--set", "prompt=é"], "--set with letters beyond ASCII"),
        (
            ["invoke", "a", "b.png", "--region", "x"],
            "--region, --profile, --target-model, --way, --s3, --seconds, --poll and --yes go with --aws",
        ),
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
        (["up", "image_super_resolution", "--model-dir", "/nowhere"], "no folder /nowhere."),
        (["up", "s3://bucket/model.tar.gz"], "s3://bucket/model.tar.gz is not on this machine. Copy it here"),
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
    assert capsys.readouterr().err == "pixelserve invoke: needs boto3: in a clone, pip install '.[deploy]'\n"


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
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")  # AWS is out of reach
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
        aws = ["--aws", "--region", "eu-west-1"]
        assert cli.main(["invoke", "flip-it", str(photo), "-o", str(tmp_path / "aws.png"), *aws]) == 0
        assert (tmp_path / "aws.png").read_bytes() == photo.read_bytes()
        capsys.readouterr()
        assert cli.main(["invoke", "flip-it", str(photo), "--set", "bad=1", *aws]) == 1
        told, error = capsys.readouterr().err.splitlines()
        assert told.startswith("What flip-it is could not be looked up: ")
        assert error == "pixelserve invoke: bad is 1: leave it out."

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
        assert f"\nAsynchronous invocations, of NAME-async, write to {tmp_path / 'out'}.\n" in printed
        answer = httpx.post(f"{url}/endpoints/flip-it-async/async-invocations", content=b"photo", trust_env=False)
        output = Path(answer.headers["x-amzn-sagemaker-outputlocation"].removeprefix("file://"))
        wait_for(output.exists)
    assert output.read_bytes() == b"photo"
    assert output.parent == tmp_path / "out"


def test_up_starts_a_gateway_for_the_features_it_serves(folder):
    with up(f"image-similarity={folder}") as (process, printed):
        url = re.search(r"The gateway is at ([^,]+), with the REST APIs of image_similarity;", printed)[1]
        pair = {"url_1": "http://a/b", "url_2": "http://c/d"}
        answer = httpx.post(f"{url}/v1/similarity", json=pair, trust_env=False)
        assert answer.json() == {"fields": ["url_1", "url_2"], "content_type": "application/json"}
        process.terminate()
        assert process.wait(30) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)


@pytest.mark.parametrize(("host", "here"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]")])
def test_up_on_every_address_names_one_that_answers(folder, tmp_path, monkeypatch, capsys, host, here):
    monkeypatch.setenv("PIXELSERVE_GATEWAY_STATE", str(tmp_path / "gateway"))
    (tmp_path / "request.json").write_text('{"url": "http://a/b"}')
    with up(f"image-similarity={folder}", "--host", host) as (_, printed):
        gateway = re.search(r"The gateway is at ([^,]+), with", printed)[1]
        assert gateway.startswith(f"http://{here}:")
        assert f"export AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME=http://{here}:" in printed
        words = ["invoke", "image-similarity", str(tmp_path / "request.json"), "--accept", "application/json"]
        assert cli.main(words) == 0
        assert "starting it for this call" not in capsys.readouterr().err
        headers = {"x-api-key": re.search(r"It asks for a key: (\S+)", printed)[1]}
        request = {"url": "http://a/b"}
        assert httpx.post(f"{gateway}/v1/similarity", json=request, trust_env=False).status_code == 401
        answer = httpx.post(f"{gateway}/v1/similarity", json=request, headers=headers, trust_env=False)
        assert answer.json() == {"fields": ["url"], "content_type": "application/json"}
    assert cli.main(["keys", "list"]) == 0
    assert re.search(r"local +all +- +\S+ \S+ +20\d\d-", capsys.readouterr().out), "its key is still open"


def test_up_serves_https_by_an_authority_that_it_names(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PIXELSERVE_GATEWAY_STATE", str(tmp_path))
    with up(f"image-similarity={folder}", "--gateway-tls") as (_, printed):
        url = re.search(r"The gateway is at (https://[^,]+),", printed)[1]
        authority = re.search(r"NODE_EXTRA_CA_CERTS=(\S+)", printed)[1]
        trusted = ssl.create_default_context(cafile=authority)
        assert httpx.get(f"{url}/health", trust_env=False, verify=trusted).json() == {"status": "ok"}


NEGATE = """
def model_fn(model_dir):
    return None

def predict_fn(data, model):
    return -data
"""
SAMPLE = re.compile(r"^(?:printf .*\n  )?curl .*|^python3 - <<'END'\n(?:.*\n)*?END$", re.MULTILINE)


@pytest.mark.parametrize("served", ["features", "json", "picture"])
def test_every_printed_sample_runs_in_a_shell(tmp_path, monkeypatch, served):
    """With a key; for features each kind of answer, for other handlers what their code speaks of."""
    monkeypatch.setenv("PIXELSERVE_GATEWAY_STATE", str(tmp_path / "gateway"))
    monkeypatch.setenv("PIXELSERVE_GATEWAY_AUTHORIZATION", "keys")
    for name, size in (("photo.jpg", (16, 12)), ("other.jpg", (12, 16))):
        Image.new("RGB", size, "red").save(tmp_path / name)
    (tmp_path / "request.json").write_text("[[1, 2]]")
    (tmp_path / "negate").mkdir()
    (tmp_path / "negate" / "inference.py").write_text(NEGATE)
    assert cli.main(["new", str(tmp_path / "new")]) == 0
    features = ["image-similarity", "super-resolution"]
    names = {"features": features, "json": [tmp_path / "negate"], "picture": [tmp_path / "new"]}[served]
    with up(*names) as (_, printed):
        exports = "\n".join(re.findall("^export .*", printed, re.MULTILINE))
        samples = SAMPLE.findall(printed)
        assert len(samples) == {"features": 5, "json": 2, "picture": 2}[served]
        for sample in samples:
            files = set(tmp_path.iterdir())
            told = subprocess.check_output(["bash", "-ec", f"{exports}\n{sample}"], cwd=tmp_path, text=True)
            for written in set(tmp_path.iterdir()) - files:
                assert Image.open(io.BytesIO(written.read_bytes())).size == (
                    (32, 24) if served == "features" else (16, 12)
                )
                written.unlink()
            if served == "json":
                assert json.loads(told) == [[-1, -2]]
            elif not told:
                assert " -o " in sample or ".write(" in sample
            else:
                assert 0 <= json.loads(told)["similarity"] <= 1


def test_up_says_which_network_serves():
    with up("similar=image-similarity", "--no-gateway") as (_, printed):
        assert "\nsimilar serves embedded: VLAD of SIFT, OpenCV, CPU, float32\n" in printed


def test_up_starts_no_gateway_for_other_handlers_or_when_told(folder):
    with up(folder) as (_, printed):
        assert "gateway" not in printed
    with up(f"image-similarity={folder}", "--no-gateway") as (_, printed):
        assert "gateway" not in printed


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


ECHO = """
import json
from pathlib import Path

def model_fn(model_dir):
    weights = Path(model_dir, "weights.txt")
    return weights.read_text() if weights.exists() else ""

def input_fn(body, content_type, context):
    return {"body": len(body), "type": content_type, "attributes": context.custom_attributes}

def predict_fn(data, model):
    return data | {"weights": model}

def output_fn(prediction, accept):
    if accept == "application/x-raw":
        return b"\\xff" + json.dumps(prediction).encode(), accept
    return json.dumps(prediction), "text/csv" if accept == "text/csv" else "application/json; charset=utf-8"
"""


@pytest.fixture(scope="module")
def echo(tmp_path_factory):
    """A running `up` of a model in SageMaker's layout, a feature under another name, and an archive."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "echo_it" / "code").mkdir(parents=True)
    (folder / "echo_it" / "code" / "inference.py").write_text(ECHO)
    (folder / "echo_it" / "weights.txt").write_text("learnt")
    with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
        archive.add(folder / "echo_it", ".")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIXELSERVE_STATE_DIR", str(folder / "state"))
        with up(folder / "echo_it", f"packed={folder / 'model.tar.gz'}", "alike=image_similarity") as (_, printed):
            yield folder, printed


@pytest.fixture
def invoke(echo, monkeypatch, tmp_path, capfdbinary):
    """`pixelserve invoke` with a file of the given content: the exit code, and what it printed."""
    monkeypatch.setenv("PIXELSERVE_STATE_DIR", str(echo[0] / "state"))

    def run(endpoint, name, content, *options):
        (tmp_path / name).write_bytes(content)
        code = cli.main(["invoke", endpoint, str(tmp_path / name), *map(str, options)])
        return code, *capfdbinary.readouterr()

    return run


@pytest.mark.parametrize(
    ("name", "content", "options", "told", "attributes"),
    [
        ("request.json", b'{"a": 1}', [], "application/json", ""),
        ("request", b"[1, 2]", [], "application/json", ""),
        ("rows.csv", b"1,2\n", [], "text/csv", ""),
        ("array.npy", b"\x93NUMPY\x01\x00", [], "application/x-npy", ""),
        ("lines.jsonl", b'{"a": 1}\n{"a": 2}\n', ["--set", "k=v"], "application/jsonlines", "k=v"),
        ("unknown", b"?", ["--set", "k=1"], "application/octet-stream", "k=1"),
        ("photo.png", b"\x89PNG", ["--content-type", "image/x-mine", "--accept", "*/*"], "image/x-mine", ""),
    ],
)
def test_invoke_sends_any_body_as_it_is(invoke, name, content, options, told, attributes):
    code, printed, _ = invoke("echo-it", name, content, *options)
    assert code == 0
    said = {"body": len(content), "type": told, "attributes": attributes, "weights": "learnt"}
    assert json.loads(printed) == said


def test_invoke_adds_fields_to_a_json_object(invoke):
    _, printed, _ = invoke("packed", "request.json", b'{"a": 1}', "--set", "b=[2]")
    answer = json.loads(printed)
    assert answer == {
        "body": len(b'{"a": 1, "b": [2]}'),
        "type": "application/json",
        "attributes": "",
        "weights": "learnt",
    }
    with pytest.raises(SystemExit):
        invoke("packed", "request.json", b"[1]", "--set", "b=2")


def test_invoke_prints_the_bytes_of_an_answer(invoke):
    code, printed, _ = invoke("echo-it", "x", b"?", "--accept", "application/x-raw", "-o", "-")
    assert code == 0
    assert printed.startswith(b'\xff{"body": 1')


def test_invoke_says_what_answered(invoke, photo):
    as_json = ("--accept", "application/json")
    code, printed, said = invoke("alike", "photo.jpg", photo.read_bytes(), "--verbose", *as_json)
    assert code == 0, said
    assert said.decode().splitlines() == ["weights: embedded", "runtime: OpenCV, CPU", "type: float32"]
    assert invoke("alike", "photo.jpg", photo.read_bytes(), *as_json) == (0, printed, b"")


def test_invoke_starts_an_endpoint_with_other_weights(invoke, echo, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "weights.txt").write_text("others")
    code, printed, said = invoke(str(echo[0] / "model.tar.gz"), "x.csv", b"1", "--model-dir", tmp_path / "other")
    assert code == 0
    assert json.loads(printed)["weights"] == "others"
    assert b"Starting model with " in said


def test_a_feature_is_served_under_another_name(invoke, echo, photo):
    assert "with echo-it, packed, alike." in echo[1]
    code, printed, _ = invoke("alike", "copy.png", photo.read_bytes(), "--accept", "application/json")
    assert code == 0
    assert len(json.loads(printed)["result"]) == 512


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["a", "b", "c", "--content-type", "x/y"], "--content-type goes with one file"),
        (["a", "b", "--content-type", "é"], "'é' is no content type"),
        (["a", "b", "--model-dir", "c", "--aws"], "--weights goes with an endpoint that is started here"),
    ],
)
def test_invoke_refuses_what_contradicts_itself(arguments, expected, capsys):
    with pytest.raises(SystemExit):
        cli.main(["invoke", *arguments])
    assert expected in capsys.readouterr().err


def test_invoke_tells_a_name_that_sagemaker_does_not_take(photo, capsys):
    assert cli.main(["invoke", "a.b", str(photo), "--aws", "--region", "eu-west-1"]) == 1
    assert capsys.readouterr().err.startswith("pixelserve invoke: 'a.b' cannot be an endpoint's name")
