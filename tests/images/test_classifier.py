"""A torch classifier in SageMaker's own layout, its weights beside its code: on this machine and in an image.

The SageMaker SDK's Predictor calls it, and its answers are those of the same network in the test's own process.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import numpy as np
import pytest
import torch
from containers import TIME_TO_BUILD, build_options, printed_line, running_printed

from pixelserve.local.runtime import PORT_TAKEN, LocalRuntime
from pixelserve.wire import bind
from pixelserve_deploy import cli

with warnings.catch_warnings():  # the SDK and what it imports warn of their own ends
    warnings.simplefilter("ignore")
    import boto3
    from sagemaker.deserializers import JSONDeserializer, NumpyDeserializer
    from sagemaker.predictor import Predictor
    from sagemaker.serializers import JSONSerializer, NumpySerializer
    from sagemaker.session import Session

pytestmark = [TIME_TO_BUILD, pytest.mark.filterwarnings("ignore::sagemaker.deprecations.SageMakerV2DeprecationWarning")]
NETWORK = """
from torch import nn


class Classifier(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 7 * 7, 10), nn.Softmax(dim=1)
        )
"""
HANDLER = """
import os

import torch

from network import Classifier


def model_fn(model_dir):
    model = Classifier()
    model.load_state_dict(torch.load(os.path.join(model_dir, "model.pth"), weights_only=True))
    return model.eval()


def predict_fn(data, model):
    with torch.no_grad():
        return model(torch.as_tensor(data, dtype=torch.float32)).numpy()
"""
"""The bodies are read, and the answers written, by the toolkit's defaults."""
PICTURES = np.random.default_rng(5).random((3, 1, 16, 16), dtype=np.float32)
LAST_LINE = "END\n"
"""Of what `up` prints when the endpoints are ready."""


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """code/inference.py and code/network.py, and model.pth beside code/."""
    folder = tmp_path_factory.mktemp("models") / "classifier"
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "network.py").write_text(NETWORK)
    (folder / "code" / "inference.py").write_text(HANDLER)
    torch.manual_seed(7)
    torch.save(_make_network().state_dict(), folder / "model.pth")
    return folder


@pytest.fixture(scope="module", params=["folder", "archive"])
def model(request: pytest.FixtureRequest, layout: Path) -> Path:
    """The layout as a folder, and as a model.tar.gz."""
    if request.param == "folder":
        return layout
    archive = layout.parent / "classifier.tar.gz"
    with tarfile.open(archive, "w:gz") as members:
        members.add(layout, ".")
    return archive


@pytest.fixture(scope="module")
def expected(layout: Path) -> Any:
    """The network's answer to PICTURES in this process: float32, a row of 10 probabilities a picture."""
    network = _make_network()
    network.load_state_dict(torch.load(layout / "model.pth", weights_only=True))
    with torch.no_grad():
        answer = network.eval()(torch.as_tensor(PICTURES)).numpy()
    assert len(set(answer.argmax(axis=1))) > 1 or np.ptp(answer, axis=0).max() > 1e-3  # it tells the pictures apart
    return answer


def _make_network() -> torch.nn.Module:
    names: dict[str, Any] = {}
    exec(NETWORK, names)
    network: torch.nn.Module = names["Classifier"]()
    return network


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that another `up` of this machine has written, and keys that boto3 can sign with."""
    monkeypatch.setenv("PIXELSERVE_STATE_DIR", str(tmp_path / "state"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "local")


@contextmanager
def running_up(model: Path) -> Iterator[str]:
    """The URL of the runtime of `pixelserve up`."""
    command = [sys.executable, "-m", "pixelserve_deploy", "up", "--port", "0", str(model)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            printed = "".join(iter(process.stdout.readline, LAST_LINE))
            exported = re.search(r"export AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME=(\S+)", printed)
            assert exported is not None, printed
            yield exported[1]
        finally:
            process.terminate()
            process.communicate()


class Published:
    """What the runtime knows of an endpoint, for a container that the engine publishes at `url`."""

    def __init__(self, url: str) -> None:
        self.name = "classifier"
        self.url = url


@contextmanager
def running_image(model: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[str]:
    """The URL of a runtime before the container of the line that `pixelserve build` printed."""
    words = ["build", str(model), "--name", "pixelserve-test-classifier", "-q", *build_options()]
    assert cli.main(words) == 0
    line = printed_line(capsys.readouterr().out)
    with running_printed(line) as url, bind("127.0.0.1", 0, PORT_TAKEN) as listener:
        local = LocalRuntime([Published(url)], listener)  # type: ignore[list-item]
        local.start()
        try:
            yield local.url
        finally:
            local.close()


def check_predictions(url: str, expected: Any) -> None:
    """JSON as JSON and NPY as NPY, batches and single pictures, by Predictor through the runtime at `url`."""
    client = boto3.client("sagemaker-runtime", endpoint_url=url, region_name="us-east-1")
    session = Session(
        sagemaker_runtime_client=client, default_bucket="not-used", boto_session=boto3.Session(region_name="us-east-1")
    )
    by_json = Predictor("classifier", session, JSONSerializer(), JSONDeserializer())
    by_array = Predictor("classifier", session, NumpySerializer(dtype="float32"), NumpyDeserializer())
    np.testing.assert_allclose(by_json.predict(PICTURES.tolist()), expected, rtol=1e-5)
    answer = by_array.predict(PICTURES)
    assert (answer.dtype, answer.shape) == (np.float32, (3, 10))
    np.testing.assert_allclose(answer, expected, rtol=1e-5)
    for picture, row in zip(PICTURES, expected, strict=True):
        np.testing.assert_allclose(by_array.predict(picture[None]), row[None], rtol=1e-5)


def test_up_serves_it(model: Path, expected: Any) -> None:
    with running_up(model) as url:
        check_predictions(url, expected)


def test_the_line_that_build_prints_serves_it(
    client: docker.DockerClient, model: Path, expected: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_image(model, capsys) as url:
        check_predictions(url, expected)
