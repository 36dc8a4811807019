"""Which file is served, under which names it is importable, and which of its functions are called."""

from __future__ import annotations

import json
import logging
import os
import pickle
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from called import Called
from servers import Server, wait_for

from pixelserve.errors import HandlerError
from pixelserve.serving import locate
from pixelserve.settings import Settings, SettingsError

MINE = "def model_fn(d):\n    return 1\ndef predict_fn(d, m):\n    return 'mine'\n"

WORKERS = """
    import multiprocessing, os, pickle, subprocess, sys
    import helper, nested

    LABELS = []

    class Net:
        def score(self, value):
            return value * 2

    def model_fn(model_dir):
        LABELS[:] = ["cat"]
        with open("model.pkl", "rb") as file:
            return pickle.load(file)

    def work(value):
        return value + 1, __name__

    def predict_fn(data, model):
        seen = {"net": isinstance(model, Net), "module": type(model).__module__, "label": helper.label()}
        for method in ("spawn", "fork"):
            with multiprocessing.get_context(method).Pool(1) as pool:
                seen[method] = pool.map(work, [1])[0]
        script = "import inference, nested; print(inference.Net().score(nested.VALUE))"
        seen["child"] = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout
        return seen
"""
HELPER = "def label():\n    import inference\n    return inference.LABELS[0]\n"


def write(folder: Path, **files: str) -> Path:
    """A model folder; __ in a name stands for a slash."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return folder


def test_the_entry_is_a_module_of_its_own_name_also_in_processes_it_starts(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    model = write(tmp_path / "model", code__inference=WORKERS, code__helper=HELPER, code__lib__nested="VALUE = 4\n")
    (model / "model.pkl").write_bytes(b"cinference\nNet\n)\x81.")  # protocol 2 by hand: an object of inference.Net
    seen = serve(SM_MODEL_DIR=str(model)).ready().invoke("1").json()
    assert seen == {
        "net": True,
        "module": "inference",
        "label": "cat",
        "spawn": [2, "inference"],
        "fork": [2, "inference"],
        "child": "8\n",
    }
    assert pickle.PROTO == b"\x80"  # opcodes as above


def test_a_program_in_a_sub_folder_finds_what_is_beside_it_and_above(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    source = "import beside, above\n" + MINE.replace("'mine'", "[beside.NAME, above.NAME, __name__]")
    model = write(tmp_path / "model", code__src__entry=source, code__src__beside="NAME = 1\n", code__above="NAME = 2\n")
    server = serve(SM_MODEL_DIR=str(model), SAGEMAKER_PROGRAM="src/entry.py").ready()
    assert server.invoke("1").json() == [1, 2, "entry"]


@pytest.mark.parametrize("program", ["inference.py", "inference"])
def test_a_handler_at_the_root_of_the_model_is_served(
    serve: Callable[..., Server], tmp_path: Path, program: str
) -> None:
    model = write(tmp_path / "model", inference=MINE)
    assert serve(SM_MODEL_DIR=str(model), SAGEMAKER_PROGRAM=program).ready().invoke("1").json() == "mine"


def test_the_only_file_in_code_is_served_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = write(tmp_path, code__serve_it=MINE, code__test_it="", code____init__="")
    assert locate(Settings(model_dir=str(model))).file.name == "serve_it.py"
    assert "the only file there is served: serve_it.py" in caplog.text


def test_several_files_in_code_without_the_program_are_refused_by_name(tmp_path: Path) -> None:
    model = write(tmp_path, code__a=MINE, code__b=MINE)
    with pytest.raises(
        HandlerError, match=r"no inference\.py in .*code, which has a\.py, b\.py\. Set SAGEMAKER_PROGRAM"
    ):
        locate(Settings(model_dir=str(model)))


def test_python_beside_the_weights_is_named_where_the_feature_is_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert locate(Settings(model_dir=str(write(tmp_path, convert="")))).folder.name == "image_super_resolution"
    assert "convert.py in the model folder is not served: the handler is image_super_resolution" in caplog.text


@pytest.mark.parametrize("named", ["s3://bucket/sourcedir.tar.gz", "s3://bucket/code", "/opt/ml/sourcedir.tar.gz"])
def test_code_that_is_not_a_folder_here_is_told_what_to_do(named: str) -> None:
    with pytest.raises(HandlerError, match=r"not fetched or unpacked at start\. Put the code into code/"):
        locate(Settings(submit_directory=named))


def test_that_a_model_did_not_load_is_not_retryable(serve: Callable[..., Server]) -> None:
    server = serve("def model_fn(d):\n    raise OSError('no weights')\ndef predict_fn(d, m):\n    return d\n")
    answer = wait_for(lambda: (ping := server.ping()) and "no weights" in ping.text and ping)
    error = answer.json()["error"]
    assert (answer.status_code, error["state"], error["retryable"]) == (503, "load_failed", False)


@pytest.mark.parametrize("name", ["model_fn", "predict_fn", "input_fn"])
def test_async_functions_are_refused_with_what_to_write(direct: Callable[..., Called], name: str) -> None:
    with pytest.raises(HandlerError, match=rf"{name} is an async def.*Write `def {name}\(.*asyncio\.run"):
        direct(MINE + f"async def {name}(*arguments):\n    return 1\n")


def test_the_toolkits_functions_around_loading_are_called_in_its_order(direct: Callable[..., Called]) -> None:
    source = """
        CALLS = []

        def pre_model_fn(model_dir):
            CALLS.append("pre_model_fn")

        def model_fn(model_dir):
            CALLS.append("model_fn")
            return 7

        def model_warmup_fn(model_dir, model, context):
            CALLS.append(["model_warmup_fn", model, context.system_properties["model_dir"] == model_dir])

        def predict_fn(data, model):
            return CALLS
    """
    assert json.loads(direct(source).body("1")) == ["pre_model_fn", "model_fn", ["model_warmup_fn", 7, True]]


def test_functions_that_nothing_calls_are_named(
    direct: Callable[..., Called], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        direct(
            MINE
            + "def preprocess_fn(x):\n    return x\ndef _own_fn(x):\n    return x\nfrom os.path import join as j_fn\n"
        )
    assert "nothing calls preprocess_fn; what is called: " in caplog.text


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    from pixelserve.serving import load

    write(tmp_path, json=MINE)
    with pytest.raises(HandlerError, match=r"json\.py has the name of a module that is loaded already"):
        load(locate(Settings(submit_directory=str(tmp_path), program="json.py")))


def test_the_models_folder_is_the_current_one(direct: Callable[..., Called], tmp_path: Path) -> None:
    (tmp_path / "model" / "labels.txt").write_text("cat")
    assert (
        direct(
            "from pathlib import Path\nLABELS = Path('labels.txt').read_text()\n" + MINE.replace("'mine'", "LABELS")
        ).body("1")
        == b'"cat"'
    )
    assert os.getcwd() == str(tmp_path / "model")


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, 60),
        ({"SAGEMAKER_MODEL_SERVER_TIMEOUT": "5"}, 300),
        ({"SAGEMAKER_TS_RESPONSE_TIMEOUT": "90"}, 90),
        ({"SAGEMAKER_MODEL_SERVER_TIMEOUT": "5", "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "7"}, 7),
        ({"SAGEMAKER_MODEL_SERVER_TIMEOUT": "3600"}, 86_400),
        ({"SAGEMAKER_BATCH": "true", "SAGEMAKER_MODEL_SERVER_TIMEOUT": "5"}, 300),
    ],
)
def test_the_toolkits_timeouts_count_in_their_units(environ: dict[str, str], seconds: float) -> None:
    assert Settings.from_env(environ).timeout == seconds


def test_a_timeout_that_is_no_number_is_named() -> None:
    with pytest.raises(SettingsError, match="SAGEMAKER_MODEL_SERVER_TIMEOUT is 'long'"):
        Settings.from_env({"SAGEMAKER_MODEL_SERVER_TIMEOUT": "long"})
