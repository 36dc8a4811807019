"""SageMaker SDK v2's local mode: the image, deployed on a real Docker Engine through docker-compose."""

from __future__ import annotations

import io
import shutil
import tarfile
import warnings
from pathlib import Path

import boto3
import cv2
import numpy as np
import pytest
from containers import TIME_TO_BUILD, built, engine_or_skip
from drawing import picture

with warnings.catch_warnings():  # the SDK and what it imports warn of their own ends
    warnings.simplefilter("ignore")
    from sagemaker.deserializers import BytesDeserializer, JSONDeserializer
    from sagemaker.local import LocalSession
    from sagemaker.model import Model
    from sagemaker.predictor import Predictor
    from sagemaker.serializers import IdentitySerializer, JSONSerializer

ROLE = "arn:aws:iam::000000000000:role/local"
HANDLER = """
def model_fn(model_dir):
    return open(model_dir + "/weights.txt").read()

def predict_fn(data, model):
    return {"weights": model, "data": data}
"""

pytestmark = [
    TIME_TO_BUILD,
    pytest.mark.filterwarnings("ignore"),  # whatever the SDK's dependencies warn of
    pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is not here"),
]


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LocalSession:
    config = tmp_path / "config.yaml"
    config.write_text("SchemaVersion: '1.0'\nSageMaker:\n  PythonSDK:\n    Modules:\n      TelemetryOptOut: true\n")
    monkeypatch.setenv("SAGEMAKER_USER_CONFIG_OVERRIDE", str(config))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "local")
    return LocalSession(boto3.Session(region_name="us-east-2"), default_bucket="not-used")


@pytest.fixture(scope="module")
def image() -> str:
    with engine_or_skip() as client:
        return built(client)


def archive(path: Path, **files: str) -> str:
    """model.tar.gz as a URL."""
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return f"file://{path}"


def test_the_images_own_feature(session: LocalSession, image: str, tmp_path: Path) -> None:
    data = archive(tmp_path / "model.tar.gz", **{"notes.md": "no weights: the embedded ones"})
    model = Model(image, data, ROLE, predictor_cls=Predictor, sagemaker_session=session)
    predictor = model.deploy(
        1, "local", serializer=IdentitySerializer("image/png"), deserializer=BytesDeserializer("image/png")
    )
    try:
        answer = predictor.predict(cv2.imencode(".png", picture(30, 40))[1].tobytes())
        assert cv2.imdecode(np.frombuffer(answer, np.uint8), cv2.IMREAD_COLOR).shape == (60, 80, 3)
    finally:
        predictor.delete_endpoint()


def test_a_handler_in_the_model_archive(session: LocalSession, image: str, tmp_path: Path) -> None:
    data = archive(tmp_path / "model.tar.gz", **{"weights.txt": "w", "code/inference.py": HANDLER})
    model = Model(image, data, ROLE, predictor_cls=Predictor, sagemaker_session=session)
    predictor = model.deploy(1, "local", serializer=JSONSerializer(), deserializer=JSONDeserializer())
    try:
        assert predictor.predict({"x": 1}) == {"weights": "w", "data": {"x": 1}}
    finally:
        predictor.delete_endpoint()
