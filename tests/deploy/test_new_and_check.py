"""`pixelserve new` writes what `pixelserve check` passes, and check finds what fails in production."""

import json
import subprocess
import sys

import pytest

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
        ("import no_such_package\n", "import: Import of inference.py failed: ModuleNotFoundError"),
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
            "def model_fn(d):\n    return 1\ndef predict_fn(d, m):\n    return d['value']\n",
            'predict_fn: does not take the sample {"img": Base64}: KeyError',
        ),
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
    code, _ = check("print('hello')\n" + PASS + "def predict_fn(d, m):\n    print('there')\n    return d\n")
    assert code == 0


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
    from pixelserve.imaging import decode, read_base64
    from pixelserve.settings import Settings

    image = decode(read_base64(json.loads(make_sample())["img"], "img"), Settings())
    assert (image.width, image.height) == (16, 16)
