"""`pixelserve new` writes what `pixelserve check` passes, and check finds what fails in production."""

import json
import os
import re
import signal
import subprocess
import sys
import tarfile

import pytest
from servers import wait_for

from pixelserve_deploy import cli
from pixelserve_deploy.handlers.safety import find_unsafe_calls
from pixelserve_deploy.handlers.sample import make_sample


@pytest.fixture
def check(tmp_path, capsys):
    """Runs check on a handler's source; returns the exit code and what was printed."""

    def run(source, *arguments):
        (tmp_path / "inference.py").write_text(source)
        code = cli.main(["check", str(tmp_path), *map(str, arguments)])
        return code, capsys.readouterr().out

    return run


def test_a_new_handler_passes_check_its_own_test_and_lint(tmp_path, capfd):
    folder = tmp_path / "my_model"
    assert cli.main(["new", str(folder)]) == 0
    assert "pixelserve up" in capfd.readouterr().out
    assert cli.main(["check", str(folder)]) == 0
    printed = capfd.readouterr().out
    assert "0 problems." in printed
    assert "note" not in printed
    assert "@" not in (folder / "README.md").read_text()
    subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder], check=True)


def test_new_overwrites_nothing(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    assert cli.main(["new", str(tmp_path / "mine")]) == 1
    assert "exists already; nothing was written" in capsys.readouterr().err
    assert list((tmp_path / "mine").iterdir()) == []


def test_the_features_of_the_image_pass(tmp_path, capsys):
    from pixelserve import features

    for feature in features.FEATURES:
        assert cli.main(["check", str(features.handler_folder(feature))]) == 0
        assert "0 problems." in capsys.readouterr().out


PASS = "def model_fn(model_dir):\n    return 1\ndef input_fn(body, content_type):\n    return body\n"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            "import no_such_package\n",
            "import: Import of inference.py failed: ModuleNotFoundError: No module named 'no_such_package'. Install a "
            "package here with pip, and name it in a requirements.txt beside the handler: `build` installs it",
        ),
        ("x = 1\n", "model_fn: HandlerError: The handler defines no model_fn(model_dir), and there is not one .pt"),
        ("def model_fn():\n    pass\ndef predict_fn(d, m):\n    pass\n", "import: model_fn takes (); it must take"),
        (PASS, "model_fn: HandlerError: The handler defines no predict_fn(data, model), and its model_fn returned int"),
        (
            "def model_fn(model_dir):\n    raise OSError('no weights')\ndef predict_fn(d, m):\n    return d\n",
            "model_fn: OSError: no weights (inference.py, line 2)",
        ),
        ("def model_fn(model_dir):\n    pass\ndef predict_fn(d, m):\n    return d\n", "model_fn: returned None"),
        (
            "def model_fn(model_dir):\n    open(model_dir + '/cache', 'w').close()\n    return 1\n"
            "def predict_fn(d, m):\n    return d\n",
            "model_fn: wrote cache into model_dir, read-only",
        ),
        (PASS + "def warmup_fn(model):\n    1 / 0\ndef predict_fn(d, m):\n    return d\n", "warmup_fn: ZeroDivision"),
        (PASS + "def predict_fn(d, m):\n    return d[10 ** 9]\n", "predict_fn: IndexError"),
        (
            PASS + "def predict_fn(d, m):\n    return d\ndef output_fn(p, accept):\n    return {1, 2}\n",
            "output_fn: output_fn returned set, which cannot be written: JSON has no set. Return bytes or str",
        ),
        (PASS + "def predict_batch_fn(items, m):\n    return items[:1]\n", "predict_batch_fn: 2 items gave 1: return"),
        (PASS + "def predict_batch_fn(items, m):\n    return 7\n", "predict_batch_fn: 2 items gave int"),
        (PASS + "import os\ndef predict_fn(d, m):\n    os._exit(7)\n", "process: the handler ended its process (exit"),
        (
            "import pickle\ndef model_fn(d):\n    return 1\ndef input_fn(b, t):\n    return pickle.loads(b)\n"
            "def predict_fn(d, m):\n    return d\n",
            "safety: line 5: pickle.loads runs code hidden in the data, and the data is a caller's",
        ),
    ],
)
def test_what_fails_in_production_is_a_problem(check, source, expected):
    code, printed = check(source)
    assert code == 1
    assert f"PROBLEM  {expected}" in printed


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            PASS + "def predict_fn(d, m):\n    return d\n",
            "content type: an unknown one (application/x-pixelserve-check)",
        ),
        (
            PASS + "def predict_fn(d, m):\n    return d\n"
            "def output_fn(p, accept):\n    return {'application/json': 'a'}[accept]\n",
            "accept: an unknown one is answered 500 (KeyError",
        ),
        (PASS + "def predict_fn(d, m):\n    return d\n", "output_fn: absent: the default"),
    ],
)
def test_what_is_worth_knowing_is_a_note(check, source, expected):
    code, printed = check(source)
    assert code == 0
    assert f"note     {expected}" in printed


@pytest.mark.parametrize(
    ("source", "noted", "unchecked"),
    [
        (
            "def model_fn(d):\n    return 1\ndef predict_fn(d, m):\n    return d['value']\n",
            'note     predict_fn: does not take the sample {"img": Base64}: KeyError',
            "not checked output_fn: there is no prediction for it; give a request of yours: --body FILE",
        ),
        (
            PASS.replace("return body", "raise ValueError(body)") + "def predict_fn(d, m):\n    return d\n",
            "note     input_fn: does not take the sample",
            "not checked predict_fn, output_fn: input_fn gave them nothing; give a request of yours",
        ),
        (
            "def model_fn(d):\n    raise OSError('no weights')\ndef predict_fn(d, m):\n    return d\n",
            "PROBLEM  model_fn: OSError: no weights",
            "not checked all that a request goes through: the model did not load",
        ),
        ("import nothing_like_it\n", "PROBLEM  import: ", "not checked model_fn and all after it"),
    ],
)
def test_what_never_ran_is_not_checked_and_fails(check, source, noted, unchecked):
    code, printed = check(source)
    assert code == 1
    assert noted in printed
    assert unchecked in printed
    assert printed.endswith(", 1 not checked.\n")


@pytest.mark.parametrize("end", ["sys.exit(0)", "os._exit(0)"])
def test_a_handler_that_ends_its_process_well_was_not_checked(check, end):
    code, printed = check(PASS + f"import os, sys\ndef predict_fn(d, m):\n    {end}\n")
    assert code == 1
    assert "PROBLEM  process: the handler ended its process (exit code 0)" in printed


PIPELINED = """
PIPELINE = True
seen = None

def model_fn(model_dir):
    return 1

def input_fn(body, content_type):
    global seen
    seen = body
    return body

def predict_fn(data, model):
    return data

def output_fn(prediction, accept):
    return {}, "application/octet-stream"
"""


def test_processes_that_a_handler_starts_do_not_hold_the_check(check):
    source = "import multiprocessing, os, time\nPOOL = multiprocessing.get_context('fork').Pool(1)\n" + PASS
    source += "CHILD = os.fork() or time.sleep(600)\n"
    code, printed = check(source + "def predict_fn(d, m):\n    return POOL.apply(len, (d,))\n")
    assert code == 0
    assert "ok       predict_fn: returned int" in printed
    code, printed = check(source + "def predict_fn(d, m):\n    import os\n    os._exit(3)\n")
    assert "PROBLEM  process: the handler ended its process (exit code 3)" in printed


def test_a_signal_ends_check_and_leaves_nothing(tmp_path):
    (tmp_path / "inference.py").write_text(
        PASS + f"def predict_fn(d, m):\n    open('{tmp_path}/at', 'w')\n    while 1: 1\n"
    )
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "inference.py", "code/inference.py")
    (tmp_path / "scratch").mkdir()
    command = [sys.executable, "-m", "pixelserve_deploy", "check", str(tmp_path / "model.tar.gz")]
    environment = os.environ | {"TMPDIR": str(tmp_path / "scratch")}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        wait_for((tmp_path / "at").exists)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20)[1] == "Stopped.\n"
    assert process.returncode == 130
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_pipelined_handler_that_mixes_requests_up_is_a_problem(check):
    code, printed = check(PIPELINED.format("seen"))
    assert code == 1
    assert re.search(r"PROBLEM  concurrency: \d+ of 72 requests at once had another answer than alone", printed)
    code, printed = check(PIPELINED.format("prediction"))
    assert code == 0
    assert "ok       concurrency: 72 requests at once had the same answers as alone" in printed


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ("b'always'", "no two requests have different answers"),
        ("__import__('os').urandom(8)", "the same request differ"),
    ],
)
def test_answers_that_tell_nothing_leave_a_pipelined_handler_unchecked(check, result, reason):
    code, printed = check(PIPELINED.format(result))
    assert code == 1
    assert "not checked concurrency: " in printed
    assert reason in printed


def test_more_bodies_are_told_apart(check, tmp_path):
    source = PIPELINED.format("prediction[:1]")  # the same for all that is made of one body
    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    first.write_text("a")
    second.write_text("b")
    assert "not checked concurrency" in check(source, "--body", first)[1]
    assert "ok       concurrency: 24 requests" in check(source, "--body", first, "--body", second)[1]


def test_every_request_that_is_given_is_run(check, tmp_path):
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text('{"x": 1}')
    bad.write_text('{"y": 1}')
    source = (
        "import json\n"
        "def model_fn(d):\n    return 2\n"
        "def input_fn(b, t):\n    return json.loads(b)['x']\n"
        "def predict_fn(x, m):\n    return m * x\n"
    )
    code, printed = check(source, "--body", good, "--body", good)
    assert code == 0
    assert "ok       request 2: 1 bytes" in printed
    code, printed = check(source, "--body", good, "--body", bad)
    assert code == 1
    assert "PROBLEM  request 2: KeyError: 'x' (inference.py, line 5)" in printed


def test_a_serial_handler_is_said_to_be_one(check):
    _, printed = check(PASS + "def predict_fn(d, m):\n    return d\n")
    assert "ok       concurrency: requests run one after another, since PIPELINE is not True" in printed


@pytest.mark.parametrize(
    ("name", "body", "told"),
    [
        ("photo", b"\xff\xd8\xff\xe0", "image/jpeg"),
        ("request.json", b"[1]", "application/json"),
        ("request", b' {"a": 1}', "application/json"),
        ("rows.csv", b"1,2", "text/csv"),
        ("unknown", b"?", "application/octet-stream"),
    ],
)
def test_bodies_are_sniffed(check, tmp_path, name, body, told):
    source = "def model_fn(d):\n    return 1\ndef input_fn(b, t):\n    return t\ndef predict_fn(d, m):\n    return d\n"
    source += "def output_fn(p, a):\n    return b'x', p\n"
    (tmp_path / name).write_bytes(body)
    assert f"answer: 1 bytes of {told}" in check(source, "--body", tmp_path / name)[1]


def test_sagemakers_layout_and_its_archive_are_checked(tmp_path, capsys):
    code = tmp_path / "mine" / "code"
    code.mkdir(parents=True)
    (tmp_path / "mine" / "weights").write_text("learnt")
    (code / "inference.py").write_text(
        "def model_fn(model_dir):\n    return open(model_dir + '/weights').read()\n"
        "def predict_fn(d, m):\n    return m\n"
    )
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "mine", ".")
    for path in ("mine", "model.tar.gz"):
        assert cli.main(["check", str(tmp_path / path)]) == 0
        assert "ok       model_fn: returned str" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--body", "--model-dir"])
def test_a_mistake_of_the_users_own_is_one_line(tmp_path, capsys, option):
    (tmp_path / "inference.py").write_text(PASS + "def predict_fn(d, m):\n    return d\n")
    wrong = tmp_path if option == "--body" else tmp_path / "inference.py"
    assert cli.main(["check", str(tmp_path), option, str(wrong)]) == 1
    errors = capsys.readouterr().err
    assert errors.startswith("pixelserve check: ")
    assert errors.count("\n") == 1


def test_a_body_of_ones_own_is_held_against_the_handler(check, tmp_path):
    source = "def model_fn(d):\n    return 2\ndef predict_fn(d, m):\n    return d['value'] * m\n"
    body = tmp_path / "body.json"
    body.write_text('{"value": 4}')
    code, printed = check(source, "--body", body, "--accept", "application/json")
    assert code == 0
    assert "ok       answer: 1 bytes of application/json" in printed
    body.write_text("{}")
    code, printed = check(source, "--body", body)
    assert code == 1
    assert "PROBLEM  predict_fn: KeyError: 'value' (inference.py, line 4)" in printed


def test_a_transform_fn_is_checked_whole(check):
    code, printed = check(
        "def model_fn(d):\n    return 1\ndef transform_fn(m, body, content_type, accept):\n    return body\n"
    )
    assert code == 0
    assert "ok       answer: " in printed


def test_requirements_are_noted(check, tmp_path):
    (tmp_path / "requirements.txt").write_text("something\n")
    _, printed = check(PASS + "def predict_fn(d, m):\n    return d\n")
    assert "note     requirements.txt: not installed at start" in printed


def test_prints_of_the_handler_do_not_mix_with_the_findings(check):
    code, printed = check("print('hello')\n" + PASS + "def predict_fn(d, m):\n    print('there')\n    return d\n")
    assert code == 0
    assert "hello" not in printed
    assert "there" not in printed


@pytest.mark.parametrize(
    ("call", "is_unsafe"),
    [
        ("torch.load(p)", True),
        ("torch.load(p, weights_only=True)", False),
        ("np.load(p)", False),
        ("np.load(p, allow_pickle=True)", True),
        ("eval(p)", True),
        ("model.eval()", False),
        ("json.loads(p)", False),
    ],
)
def test_calls_that_run_hidden_code_are_found(tmp_path, call, is_unsafe):
    file = tmp_path / "inference.py"
    file.write_text(f"def model_fn(p):\n    return {call}\n")
    assert [(line, in_request) for _, line, in_request, _ in find_unsafe_calls(file)] == [(2, False)] * is_unsafe


def test_the_sample_is_an_image_that_decodes():
    from pixelserve.imaging import decode
    from pixelserve.schema import read_base64
    from pixelserve.settings import Settings

    image = decode(read_base64(json.loads(make_sample())["img"], "img"), Settings())
    assert (image.width, image.height) == (16, 16)


@pytest.mark.parametrize(
    ("results", "code", "expected"),
    [
        ("list(items)", 0, "ok       batch: 6 requests of one predict_batch_fn had their own answers"),
        ("list(reversed(items))", 1, "PROBLEM  batch: 6 of 6 requests of one predict_batch_fn had another answer"),
        ("items[:2]", 1, "PROBLEM  batch: 6 of 6 requests"),
        ("[0.5 * len(items) for _ in items]", 1, "not checked batch: no two requests have different answers"),
        ("[item * len(items) for item in items]", 0, "ok       batch: 6 requests"),  # as networks round otherwise
    ],
)
def test_a_batch_must_not_mix_up_its_answers(check, tmp_path, results, code, expected):
    body = tmp_path / "body.json"
    body.write_text("[1, 2, 3]")
    got, printed = check(PASS + f"def predict_batch_fn(items, m):\n    return {results}\n", "--body", body)
    assert got == code
    assert expected in printed
