"""Room for what requests only name: uploads, and results of other jobs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import select
from collections.abc import Iterator

import httpx
import psutil
import pytest
from gateway_servers import Gateway, gateway_running, png
from raw_http import connected, read_answers, request

from pixelserve.errors import Unavailable
from pixelserve_gateway import room
from pixelserve_gateway.room import Room

MOST_BYTES = 2_000_000
"""What endpoints take, and the room."""
REQUESTS = 60
GENERATE = "/mweb/v1/aigc_draft/generate"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("room")
    environment = {
        "PIXELSERVE_GATEWAY_RUNTIME": "http://127.0.0.1:9",
        "PIXELSERVE_GATEWAY_STATE": str(folder / "state"),
        "PIXELSERVE_GATEWAY_BODY_ROOM": str(4 * MOST_BYTES),
        "PIXELSERVE_GATEWAY_MAX_BODY_BYTES": str(4 * MOST_BYTES),
        "PIXELSERVE_MAX_BODY_BYTES": str(MOST_BYTES),
    }
    with gateway_running(folder, environment) as running:
        yield running


@pytest.fixture
def client(gateway: Gateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway.url, trust_env=False, timeout=60) as made:
        yield made


def _upload(client: httpx.Client, size: int) -> str:
    form = client.post("/v1/uploads").json()
    assert form["max_bytes"] == MOST_BYTES
    assert client.post(form["url"], content=png(8, 8).ljust(size, b"x")).status_code == 204
    return str(form["id"])


def _draft(image: str) -> dict[str, str]:
    component = {"id": "a", "abilities": {"super_resolution": {"init_image": {"image_uri": image}}}}
    return {"draft_content": json.dumps({"main_component_id": "a", "component_list": [component]})}


def test_many_requests_that_name_a_large_upload_take_turns(gateway: Gateway, client: httpx.Client) -> None:
    upload = _upload(client, MOST_BYTES)
    native = request("POST", "/v1/jobs", {"feature": "super-resolution", "input": {"upload": upload}})
    dreamina = request("POST", GENERATE, _draft(upload))
    process = psutil.Process(gateway.pid)
    before = most = process.memory_info().rss
    with contextlib.ExitStack() as stack:
        callers = [stack.enter_context(connected(gateway, data)) for data in (native, dreamina) * (REQUESTS // 2)]
        waiting = set(callers)
        while waiting:
            waiting -= set(select.select(waiting, [], [], 0.01)[0])
            most = max(most, process.memory_info().rss)
        answers = [answer for caller in callers for answer in read_answers(caller, 1)]
    assert all(status == 202 or answer["ret"] == "0" for status, answer in answers)
    assert len(answers) == REQUESTS
    assert most - before < 30 * MOST_BYTES


def test_two_uploads_of_one_request_share_the_room(client: httpx.Client) -> None:
    """Neither waits for the other's end."""
    images = {f"upload_{number}": _upload(client, MOST_BYTES // 3) for number in (1, 2)}
    begun = client.post("/v1/jobs", json={"feature": "similarity", "input": images})
    assert begun.status_code == 202, begun.text


def test_images_that_no_endpoint_takes_are_refused_unread(gateway: Gateway, client: httpx.Client) -> None:
    """By what the store says of their sizes: the file of 10 GB has nothing on the disk."""
    upload = _upload(client, MOST_BYTES * 3 // 4)
    refused = client.post("/v1/jobs", json={"feature": "similarity", "input": {"upload_1": upload, "upload_2": upload}})
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "body_too_large")
    assert "an endpoint takes 2,000,000" in refused.text
    (file,) = (gateway.log.parent / "state" / "results").glob(f"uploads/*/{upload}")
    with file.open("r+b") as opened:
        opened.truncate(10_000_000_000)
    before = psutil.Process(gateway.pid).memory_info().rss
    answer = client.post(GENERATE, json=_draft(upload)).json()
    assert (answer["ret"], "an endpoint takes 2,000,000" in answer["errmsg"]) == ("1002", True)
    assert psutil.Process(gateway.pid).memory_info().rss - before < 20_000_000


def test_a_file_that_no_endpoint_takes_is_refused_as_an_upload(client: httpx.Client) -> None:
    form = client.post("/v1/uploads").json()
    refused = client.post(form["url"], content=png(8, 8).ljust(MOST_BYTES + 1, b"x"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "body_too_large")


def test_who_came_first_gets_room_first(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> list[str]:
        rooms, order = Room(10), []

        async def hold(name: str, size: int) -> None:
            await rooms.take("ours", size)
            order.append(name)
            await asyncio.sleep(0)
            rooms.give_back(size)

        await rooms.take("ours", 8)
        waiting = [asyncio.create_task(hold(name, size)) for name, size in (("large", 9), ("gone", 10), ("small", 1))]
        await asyncio.sleep(0)
        waiting[1].cancel()  # its caller has gone
        await asyncio.sleep(0)
        assert not order
        rooms.give_back(8)
        await asyncio.gather(*waiting, return_exceptions=True)
        await rooms.take("ours", 10)
        monkeypatch.setattr(room, "TURN_SECONDS", 0.01)
        with pytest.raises(Unavailable, match="no room"):
            await rooms.take("ours", 1)
        rooms.give_back(10)
        await rooms.take("ours", 10)
        return order

    assert asyncio.run(story()) == ["large", "small"]


def test_tenants_take_turns_at_the_room() -> None:
    """However many requests one has: a thousand of theirs stand before three of ours."""

    async def story() -> list[str]:
        rooms, order = Room(10), []

        async def hold(tenant: str) -> None:
            await rooms.take(tenant, 10)
            order.append(tenant)
            await asyncio.sleep(0)
            rooms.give_back(10)

        await asyncio.gather(*(hold(tenant) for tenant in ["theirs"] * 1_000 + ["ours"] * 3))
        return order

    assert asyncio.run(story())[:7] == ["theirs", "theirs", "ours", "theirs", "ours", "theirs", "ours"]
