"""SageMaker SDK v3 against the local runtime: `Endpoint.invoke`, in a process and an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import cv2
import pytest
import sdk3
from drawing import picture
from servers import wait_for

from pixelserve.local import Source
from pixelserve.local.asynchronous import AsyncPlaces
from pixelserve.local.runtime import LocalRuntime, running
from pixelserve.storage import Folder

PRELUDE = """
import json, sys
from pathlib import Path
from botocore.exceptions import ClientError
from sagemaker.core.resources import Endpoint

endpoint = Endpoint(endpoint_name="image-super-resolution")
folder = Path(sys.argv[1])
photo = (folder / "photo.png").read_bytes()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    cv2.imwrite(str(folder / "photo.png"), picture(30, 40))
    return folder


@pytest.fixture(scope="module")
def runtime(folder: Path):  # type: ignore[no-untyped-def]
    places = AsyncPlaces(Folder(folder / "out"), [Folder(folder)])
    with running([Source.parse("image-super-resolution")], places=places) as local:
        yield local


def run(runtime: LocalRuntime, folder: Path, program: str) -> Any:
    """What the program prints as JSON."""
    environ = {**os.environ, **runtime.environment(), "HOME": str(folder), "AWS_EC2_METADATA_DISABLED": "true"}
    environ.pop("PYTHONPATH", None)
    command = [sdk3.python(), "-c", PRELUDE + program, str(folder)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_image_for_an_image(runtime: LocalRuntime, folder: Path) -> None:
    program = """
answer = endpoint.invoke(body=photo, content_type="image/png", accept="image/webp", custom_attributes="scale=4")
(folder / "large.webp").write_bytes(answer.body.read())
print(json.dumps([answer.content_type, answer.invoked_production_variant]))
"""
    assert run(runtime, folder, program) == ["image/webp", "AllTraffic"]
    assert cv2.imread(str(folder / "large.webp")).shape == (120, 160, 3)


def test_json_for_json(runtime: LocalRuntime, folder: Path) -> None:
    program = """
import base64
request = {"img": base64.b64encode(photo).decode(), "scale": 2}
answer = endpoint.invoke(body=json.dumps(request), content_type="application/json", accept="application/json")
(folder / "large.png").write_bytes(base64.b64decode(json.loads(answer.body.read())["result"]))
print(json.dumps(answer.content_type))
"""
    assert run(runtime, folder, program) == "application/json"
    assert cv2.imread(str(folder / "large.png")).shape == (60, 80, 3)


def test_an_error_of_the_model(runtime: LocalRuntime, folder: Path) -> None:
    program = """
try:
    endpoint.invoke(body=b"{}", content_type="application/json")
except ClientError as error:
    print(json.dumps([error.response["Error"]["Code"], error.response["OriginalStatusCode"]]))
"""
    assert run(runtime, folder, program) == ["ModelError", 400]


def test_an_asynchronous_answer(runtime: LocalRuntime, folder: Path) -> None:
    program = """
location = (folder / "photo.png").as_uri()
queued = Endpoint(endpoint_name="image-super-resolution-async")
answer = queued.invoke_async(input_location=location, content_type="image/png", accept="image/png")
print(json.dumps(answer.output_location))
"""
    output = Path(run(runtime, folder, program).removeprefix("file://"))
    wait_for(output.exists)
    assert cv2.imread(str(output)).shape[0] in (60, 120)
