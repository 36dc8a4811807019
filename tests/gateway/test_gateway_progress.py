"""How far a job is: what a handler tells, through the local runtime, as both APIs of jobs answer it."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_servers import gateway_running, png

from pixelserve.local import AsyncPlaces, Source, running
from pixelserve.storage import Folder

STEPS = """
import time
from pathlib import Path

def model_fn(model_dir):
    return Path(model_dir)

def input_fn(body, content_type):
    return body

def wait_for(step, context):
    while not step.exists():
        context.check()
        time.sleep(0.01)

def predict_fn(data, model, context):
    for done in (TOLD):
        wait_for(model / str(done), context)
        context.progress(done, 4)
    wait_for(model / "end", context)
    return data

def output_fn(prediction, accept):
    return prediction, "image/png"
"""
"""It tells each step as soon as there is a file of that name."""
IMAGE = base64.b64encode(png(24, 32)).decode()
HIDREAM = "/api-pub/gw/v3/image/image_upscaler/async"


@pytest.fixture
def steps(tmp_path: Path) -> Path:
    folder = tmp_path / "steps"
    folder.mkdir()
    return folder


@pytest.fixture
def client(tmp_path: Path, steps: Path, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """Of a gateway before a handler that tells the steps `request.param`."""
    handler = tmp_path / "handler"
    handler.mkdir()
    (handler / "inference.py").write_text(STEPS.replace("(TOLD)", str(request.param)))
    source = Source("image-super-resolution", handler, model_dir=steps)
    outputs = tmp_path / "outputs"
    environment = {
        "PIXELSERVE_GATEWAY_STATE": str(tmp_path / "state"),
        "PIXELSERVE_GATEWAY_RESULTS": str(outputs / "gateway"),
        "PIXELSERVE_GATEWAY_ASYNC_OUTPUTS": str(outputs),
        "PIXELSERVE_GATEWAY_ASYNC_ENDPOINTS": "image_super_resolution=image-super-resolution-async",
    }
    with running([source], places=AsyncPlaces(Folder(outputs))) as local:
        environment["PIXELSERVE_GATEWAY_RUNTIME"] = local.url
        with (
            gateway_running(tmp_path, environment) as gateway,
            httpx.Client(base_url=gateway.url, trust_env=False, timeout=60) as made,
        ):
            yield made


class NativeJob:
    """A job of the native API."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        upload = client.post("/v1/uploads").json()
        client.post(upload["url"], content=png(24, 32)).raise_for_status()
        body = {"feature": "super-resolution", "input": {"upload": upload["id"]}, "accept": "image/png"}
        self._id = client.post("/v1/jobs", json=body).json()["id"]

    def look(self) -> tuple[float, bool]:
        """Its progress, and whether that is an estimate."""
        told: dict[str, Any] = self._client.get(f"/v1/jobs/{self._id}").json()["progress"]
        return told["value"], told["estimated"]


class HiDreamTask:
    """A task of HiDream's API, which has no word for an estimate."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        body = {"image": IMAGE, "upsale_ratio": 2, "version": "v1"}
        self._id = client.post(HIDREAM, json=body, headers={"Authorization": "Bearer x"}).json()["result"]["task_id"]

    def look(self) -> tuple[float, bool]:
        answer = self._client.get(f"{HIDREAM}/results", params={"task_id": self._id})
        return answer.json()["result"]["sub_task_results"][0]["task_completion"], False


def look_until(job: NativeJob | HiDreamTask, value: float, shown: list[float]) -> None:
    """Adds to `shown` what is told until it is `value`, which is no estimate."""
    ends = time.monotonic() + 60
    while (told := job.look()) != (value, False):
        shown.append(told[0])
        assert time.monotonic() < ends, (value, told)
        time.sleep(0.05)
    shown.append(value)


@pytest.mark.parametrize("client", ["(2, 3, 4)"], indirect=True)
@pytest.mark.parametrize("kind", [NativeJob, HiDreamTask])
def test_jobs_tell_the_progress_of_their_handler(
    client: httpx.Client, steps: Path, kind: type[NativeJob] | type[HiDreamTask]
) -> None:
    (steps / "2").touch()
    job, shown = kind(client), list[float]()
    look_until(job, 0.5, shown)
    (steps / "3").touch()
    look_until(job, 0.75, shown)
    (steps / "4").touch()
    look_until(job, 0.99, shown)  # what is left is the picture's file
    (steps / "end").touch()
    look_until(job, 1.0, shown)
    assert shown == sorted(shown)


@pytest.mark.parametrize("client", ["()"], indirect=True)
def test_progress_that_no_handler_tells_is_an_estimate(client: httpx.Client, steps: Path) -> None:
    job = NativeJob(client)
    looks = [job.look() for _ in range(20) if time.sleep(0.1) is None]
    assert all(estimated and value < 1 for value, estimated in looks)
    assert looks == sorted(looks)
    assert looks[0] < looks[-1]
    (steps / "end").touch()
    look_until(job, 1.0, [])
