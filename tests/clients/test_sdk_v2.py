"""SageMaker SDK v2 against the local runtime: what its serializers send and its deserializers read.

The handler has no input_fn and no output_fn, so that the defaults are what is tested.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pixelserve.local import Source
from pixelserve.local.runtime import LocalRuntime, running

with warnings.catch_warnings():  # the SDK and what it imports warn of their own ends
    warnings.simplefilter("ignore")
    import boto3
    from sagemaker.deserializers import BytesDeserializer, CSVDeserializer, JSONDeserializer, NumpyDeserializer
    from sagemaker.predictor import Predictor
    from sagemaker.serializers import CSVSerializer, IdentitySerializer, JSONSerializer, NumpySerializer
    from sagemaker.session import Session

pytestmark = pytest.mark.filterwarnings("ignore::sagemaker.deprecations.SageMakerV2DeprecationWarning")
SAME = "def model_fn(model_dir):\n    return None\n\ndef predict_fn(data, model):\n    return data\n"


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRuntime]:
    folder = tmp_path_factory.mktemp("same")
    (folder / "inference.py").write_text(SAME)
    with running([Source("same", folder)]) as local:
        yield local


@pytest.fixture
def session(runtime: LocalRuntime, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in runtime.environment().items():
        monkeypatch.setenv(name, value)
    return Session(sagemaker_runtime_client=boto3.client("sagemaker-runtime"), default_bucket="not-used")


def test_json(session: Any) -> None:
    predictor = Predictor("same", session, JSONSerializer(), JSONDeserializer())
    value = {"text": "é", "numbers": [1, 2.5, None], "deep": {"true": True}}
    assert predictor.predict(value) == value


def test_bytes(session: Any) -> None:
    predictor = Predictor("same", session, IdentitySerializer(), BytesDeserializer())
    data = bytes(range(256)) * 1000
    assert predictor.predict(data) == data


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int64", "float16", "float32"])
@pytest.mark.parametrize("shape", [(2, 3, 4), (5,), ()])
def test_arrays(session: Any, dtype: str, shape: tuple[int, ...]) -> None:
    predictor = Predictor("same", session, NumpySerializer(dtype=dtype), NumpyDeserializer())
    array = np.arange(np.prod(shape), dtype=dtype).reshape(shape)
    answer = predictor.predict(array)
    assert answer.dtype == array.dtype
    np.testing.assert_array_equal(answer, array)


def test_rows(session: Any) -> None:
    """Each column has the type of its numbers, as sagemaker-inference reads them (numpy.genfromtxt without a dtype)."""
    predictor = Predictor("same", session, CSVSerializer(), CSVDeserializer())
    assert predictor.predict([[1, 2], [3, 4.5]]) == [["1", "2.0"], ["3", "4.5"]]
