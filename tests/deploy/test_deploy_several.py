"""Several features on one instance: the archives that `package` makes, unpacked as SageMaker does, in one container."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from servers import Server

from pixelserve.features import FEATURES
from pixelserve_deploy import cli


def package(name: str, folder: Path) -> Path:
    """FEATURE.tar.gz below a folder that stands for the prefix in S3."""
    archive = folder / f"{name}.tar.gz"
    assert cli.main(["package", name, "-o", str(archive)]) == 0
    return archive


def unpack(archive: Path, folder: Path) -> Path:
    """As SageMaker does: /opt/ml/models/HASH/model."""
    model = folder / archive.name / "model"
    with tarfile.open(archive) as files:
        files.extractall(model, filter="data")
    return model


@pytest.mark.timeout(300)
def test_each_feature_answers_from_one_container(serve: Callable[..., Server], tmp_path: Path) -> None:
    models = tmp_path / "models"
    server = serve(SAGEMAKER_MULTI_MODEL="true", PIXELSERVE_MODELS_DIR=str(models), PIXELSERVE_DTYPE="float32").ready()
    picture = io.BytesIO()
    Image.effect_noise((64, 48), 80).convert("RGB").save(picture, "PNG")
    answers = {}
    for feature in FEATURES:
        folder = unpack(package(feature.endpoint, tmp_path), models)
        name = f"{feature.endpoint}.tar.gz"
        assert server.client.post("/models", json={"model_name": name, "url": str(folder)}, timeout=100).is_success
        answers[feature.endpoint] = server.client.post(
            f"/models/{name}/invoke", content=picture.getvalue(), headers={"content-type": "image/png"}, timeout=100
        )
    assert [answer.status_code for answer in answers.values()] == [200, 200, 200]
    assert Image.open(io.BytesIO(answers["image-super-resolution"].content)).size == (128, 96)
    assert Image.open(io.BytesIO(answers["human-image-segmentation"].content)).size == (64, 48)
    assert answers["image-similarity"].headers["content-type"] == "application/json"
