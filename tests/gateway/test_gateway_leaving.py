"""Callers who close their connection: nothing is worked for them any more, and what they submitted is whole."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import psutil
import pytest
from gateway_servers import Gateway, gateway_running, png
from raw_http import connected, read_answers, request
from servers import wait_for

from pixelserve.storage import Folder
from pixelserve.wire import bind

CALLERS = 200
IMAGE = {"img": base64.b64encode(png(8, 8)).decode(), "scale": 2}
HANG_SECONDS = 20.0
"""What they waited for would take 59 seconds, and 70."""


@dataclass
class Site:
    """A gateway before an endpoint that never answers, and its folder of inputs and results."""

    gateway: Gateway
    results: Folder
    endpoint: socket.socket

    def calls(self) -> int:
        """Connections to the endpoint; a job has one."""
        port = self.endpoint.getsockname()[1]
        connections = psutil.Process(self.gateway.pid).net_connections("tcp")
        return sum(bool(made.raddr) and made.raddr[1] == port for made in connections)

    def left(self, path: str, *statuses: int) -> int:
        """Requests of that path whose callers have gone, as the log has them; or that ended with one of `statuses`."""
        lines = map(json.loads, self.gateway.log_text().splitlines())
        return sum(line.get("path") == path and line["status"] in (499, *statuses) for line in lines)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("leaving")
    with bind("127.0.0.1", 0, "") as endpoint:
        environment = {
            "PIXELSERVE_GATEWAY_RUNTIME": f"http://127.0.0.1:{endpoint.getsockname()[1]}",
            "PIXELSERVE_GATEWAY_STATE": str(folder / "state"),
            "PIXELSERVE_GATEWAY_JOB_CALLS": "1",
        }
        with gateway_running(folder, environment) as gateway:
            yield Site(gateway, Folder(folder / "state" / "results"), endpoint)
            assert "Traceback" not in gateway.log_text()
            assert "never retrieved" not in gateway.log_text()


@pytest.fixture
def client(site: Site) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.gateway.url, trust_env=False, timeout=60) as made:
        yield made
        assert made.get("/health").status_code == 200


def test_a_call_to_an_endpoint_ends_with_its_caller(site: Site, client: httpx.Client) -> None:
    for path, fields in (("/v1/super-resolution", IMAGE), ("/image_super_resolution", IMAGE)):
        with contextlib.ExitStack() as stack:
            for _ in range(CALLERS):
                stack.enter_context(connected(site.gateway, request("POST", path, fields)))
            wait_for(lambda: site.calls() >= CALLERS, what="all calls")
        wait_for(lambda: site.calls() <= 1, HANG_SECONDS, "the end of all calls")
        wait_for(lambda path=path: site.left(path) == CALLERS, HANG_SECONDS)


@pytest.mark.parametrize("body", [None, {}])
def test_nobody_waits_for_a_job_in_place_of_a_caller_who_has_gone(
    site: Site, client: httpx.Client, body: object
) -> None:
    job = client.post("/v1/jobs", json={"feature": "super-resolution", "input": IMAGE}).json()
    path = f"/v1/jobs/{job['id']}"
    with contextlib.ExitStack() as stack:
        for _ in range(CALLERS):
            stack.enter_context(connected(site.gateway, request("GET", path, body, "prefer: wait=59")))
        stayed = stack.enter_context(connected(site.gateway, request("GET", path, body, "prefer: wait=2")))
        assert read_answers(stayed, 1)[0][0] == 200
        assert not site.left(path)
    wait_for(lambda: site.left(path) == CALLERS, HANG_SECONDS, "the end of all waits")


def test_a_job_of_a_caller_who_has_gone_is_whole_or_not_there(site: Site, client: httpx.Client) -> None:
    body = {"feature": "super-resolution", "input": IMAGE, "accept": "image/png"}
    asked = request("POST", "/v1/jobs", body, "prefer: wait=59")
    for number in range(CALLERS):
        with connected(site.gateway, asked) as connection:
            if number % 2:  # half of them see that it has begun
                connection.settimeout(0.01)
                with contextlib.suppress(TimeoutError):
                    connection.recv(1)
    wait_for(lambda: site.left("/v1/jobs", 503) == CALLERS, HANG_SECONDS, "the end of all waits")  # 503: a slow disk
    stored, cursor = set(), None
    while True:
        page = client.get("/v1/jobs", params={"limit": 100, **({"cursor": cursor} if cursor else {})}).json()
        stored |= {job["id"] for job in page["jobs"]}
        cursor = page["cursor"]
        if cursor is None:
            break
    assert stored
    assert {name.split("/")[1] for name in site.results.names("jobs/")} == stored
