"""Jobs against a real local runtime, by its asynchronous endpoints and by its real-time ones."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from gateway_jobs import phrase, receiving
from gateway_servers import png

from pixelserve.features import FEATURES
from pixelserve.local import LocalRuntime
from pixelserve_gateway import Call, Calls, GatewaySettings
from pixelserve_gateway.jobs import JobState, Order, Webhook, keep, open_jobs
from pixelserve_gateway.runtime import Runtime


@pytest.mark.parametrize("asynchronous", [True, False])
def test_a_job_of_a_real_feature(
    features_runtime: LocalRuntime, invocations: Path, tmp_path: Path, asynchronous: bool
) -> None:
    names = ",".join(f"{known.name}={known.endpoint}-async" for known in FEATURES)
    settings = GatewaySettings.from_env(
        {
            "PIXELSERVE_GATEWAY_RUNTIME": features_runtime.url,
            "PIXELSERVE_GATEWAY_ASYNC_ENDPOINTS": names if asynchronous else "",
            "PIXELSERVE_GATEWAY_STATE": str(tmp_path),
            "PIXELSERVE_GATEWAY_RESULTS": str(invocations / "results"),
            "PIXELSERVE_GATEWAY_ASYNC_OUTPUTS": str(invocations),
            "PIXELSERVE_GATEWAY_WEBHOOK_ALLOW_PRIVATE": "true",
        }
    )

    async def story() -> None:
        runtime = Runtime(settings.runtime)
        jobs = open_jobs(settings, Calls(runtime, settings), {"native": phrase})
        stop = asyncio.Event()
        loop = asyncio.create_task(jobs.ticker.run(stop))
        enlarge = Call.from_image("image_super_resolution", png(24, 32), {"scale": 2}, "image/png")
        broken = Call.from_image("image_super_resolution", os.urandom(2_000), {"scale": 2}, "image/png")
        with receiving() as receiver:
            hook = Webhook(receiver.url, "native")
            done, failed = [
                await jobs.service.submit(Order("ours", "native", keep(call), webhook=hook))
                for call in (enlarge, broken)
            ]
            done, failed = [await jobs.service.wait("ours", job.id, 59) for job in (done, failed)]
            while len(receiver.requests) < 2:
                await asyncio.sleep(0.05)
        stop.set()
        await loop
        assert done.state is JobState.SUCCEEDED
        assert done.result is not None
        content, media_type = jobs.results.read(done.result.name)
        assert media_type == done.result.media_type == "image/png"
        assert content[16:24] == (64).to_bytes(4, "big") + (48).to_bytes(4, "big")
        assert failed.state is JobState.FAILED
        assert failed.error is not None
        assert failed.error.code in ("unsupported_media_type", "invalid_image"), failed.error
        assert (done.outputs is not None) == asynchronous
        await jobs.close()
        await runtime.close()

    asyncio.run(story())


def test_no_image_library_is_loaded_by_jobs() -> None:
    code = "import sys, pixelserve_gateway.jobs as j; j.open_jobs; print({'numpy', 'cv2', 'torch'} & set(sys.modules))"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "container")},
        capture_output=True,
        text=True,
    )
    assert ran.stdout.strip() == "set()", ran.stderr
