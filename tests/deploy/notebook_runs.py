"""Notebooks that deploy, executed in a kernel of their own: moto for AWS, a local runtime for the endpoints."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from cloud import ACCOUNT, name_image, open_account, taught_cloud
from nbclient import NotebookClient
from servers import ROOT

from pixelserve.local import AsyncPlaces, Source, running
from pixelserve.storage import place

NOTEBOOKS = ROOT / "notebooks"
NAMES = ("deploy.ipynb", "asynchronous.ipynb")
ALONE = ("quickstart.ipynb", "own_model.ipynb", "recognition.ipynb", "costs.ipynb")
"""Those that bring what they call, and need no AWS."""
PLACE = f"s3://pixelserve-notebook-{ACCOUNT}/upscaler/"
REGION = "us-east-2"
SDK = "sagemaker.config INFO"
"""The SDK says where its configuration lies; nobody wants to know."""


@contextmanager
def cloud_with_endpoints(patch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Clients of an empty account, where `upscaler` and `upscaler-async` answer once they are deployed, or before."""
    with taught_cloud() as url:
        client = open_account(url, REGION, patch)
        places = AsyncPlaces(place(PLACE + "results/"), [place(PLACE + "requests/")])
        with running([Source.parse("upscaler=image-super-resolution")], places=places) as runtime:
            patch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", runtime.url)
            patch.setenv("IMAGE", name_image(REGION))
            patch.setenv("SAGEMAKER_USER_CONFIG_OVERRIDE", str(NOTEBOOKS / "sagemaker.yaml"))
            patch.setenv("SAGEMAKER_SUPPRESS_V2_WARNING", "1")
            patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
            paths = [str(NOTEBOOKS), *(os.path.abspath(path) for path in sys.path if path)]
            patch.setenv("PYTHONPATH", os.pathsep.join(paths))
            yield client


def execute_alone(name: str, folder: Path, patch: pytest.MonkeyPatch) -> nbformat.NotebookNode:
    """One of ALONE with its outputs, executed in any folder. Raises CellExecutionError for a cell that fails."""
    patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    patch.setenv("PYTHONPATH", os.pathsep.join(os.path.abspath(path) for path in sys.path if path))
    patch.setenv("PIXELSERVE_WEIGHTS_DIR", str(folder / "weights"))  # what is embedded serves
    patch.setenv("PIXELSERVE_STATE_DIR", str(folder / "state"))
    return execute(name, folder)


def execute(name: str, folder: Path) -> nbformat.NotebookNode:
    """The notebook with its outputs, executed in `folder`. Raises CellExecutionError for a cell that fails."""
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    sources = [cell.source for cell in notebook.cells]
    for cell in notebook.cells:  # moto needs no patience
        cell.source = cell.source.replace(" --yes", " --yes --poll 0.05").replace("delay=5", "delay=0.2")
    where = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=300, startup_timeout=300, resources=where, coalesce_streams=True).execute()
    for cell, source in zip(notebook.cells, sources, strict=True):
        cell.source = source
        cell.metadata.pop("execution", None)
        cell.outputs = [output for output in cell.get("outputs", []) if not output.get("text", "").startswith(SDK)]
        if cell.cell_type != "code":
            del cell["outputs"]
    return notebook
