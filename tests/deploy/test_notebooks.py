"""The notebooks: no cell fails, what they show is there, and nothing of them is left."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from notebook_runs import ALONE, NAMES, NOTEBOOKS, cloud_with_endpoints, execute, execute_alone
from servers import ROOT

from pixelserve.imaging import read_size

LARGEST = 150_000
SHOWN = {"deploy.ipynb": ("(384, 384)", (772, 384)), "asynchronous.ipynb": ("(1804, 1200)", (451, 300))}
"""The size of the answer as a cell prints it, and that of the picture which is shown."""


@pytest.fixture(scope="module")
def aws() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch, cloud_with_endpoints(patch) as client:
        yield client


def list_outputs(notebook: nbformat.NotebookNode) -> list[Any]:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", NAMES)
def test_no_cell_fails_and_nothing_is_left(name: str, aws: Any, tmp_path: Path) -> None:
    outputs = list_outputs(execute(name, tmp_path))
    size, shown = SHOWN[name]
    data = [output["data"] for output in outputs if "data" in output]
    assert size in [found.get("text/plain") for found in data]
    (picture,) = [base64.b64decode(found["image/jpeg"]) for found in data if "image/jpeg" in found]
    assert read_size(picture) == shown
    assert data[-1]["text/markdown"].splitlines()[-3].startswith("| removed | ")
    assert not list(tmp_path.iterdir())
    assert aws("cloudformation").describe_stacks()["Stacks"] == []
    assert aws("sagemaker").list_endpoints()["Endpoints"] == []
    assert aws("sagemaker").list_models()["Models"] == []
    assert aws("s3").list_buckets()["Buckets"] == []
    assert aws("logs").describe_log_groups()["logGroups"] == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ALONE)
def test_a_notebook_without_aws_runs_in_any_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = nbformat.read(NOTEBOOKS / name, as_version=4)
    run = execute_alone(name, tmp_path, monkeypatch)
    kinds = [[sorted(output.get("data", {"text": 0})) for output in cell.get("outputs", [])] for cell in run.cells]
    assert kinds == [
        [sorted(output.get("data", {"text": 0})) for output in cell.get("outputs", [])] for cell in stored.cells
    ]
    assert not [path for path in tmp_path.iterdir() if path.name not in ("state", "weights")]
    state = f"PIXELSERVE_STATE_DIR={tmp_path / 'state'}".encode()
    assert not [path for path in Path("/proc").glob("[0-9]*/environ") if state in _read(path).split(b"\0")]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize("name", ALONE)
def test_what_is_stored_of_them_is_small_and_of_one_run(name: str) -> None:
    text = (NOTEBOOKS / name).read_text()
    assert len(text) < LARGEST
    cells = [cell for cell in nbformat.reads(text, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    outputs = [output for cell in cells for output in cell.outputs]
    assert outputs
    assert "error" not in [output["output_type"] for output in outputs]
    assert not re.search(
        rf"{ROOT}|/tmp/| at 0x|\\u001b", json.dumps([o for o in outputs if "image/jpeg" not in o.get("data", {})])
    )


@pytest.mark.parametrize("name", NAMES)
def test_what_is_stored_is_small_and_has_run_from_top_to_bottom(name: str) -> None:
    text = (NOTEBOOKS / name).read_text()
    assert len(text) < LARGEST
    notebook = nbformat.reads(text, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    outputs = list_outputs(notebook)
    assert "error" not in [output["output_type"] for output in outputs]
    pictures = [output["data"].pop("image/jpeg") for output in outputs if "image/jpeg" in output.get("data", {})]
    assert len(pictures) == 1
    assert not re.search(rf"{ROOT}|/tmp/| at 0x", json.dumps(outputs))
