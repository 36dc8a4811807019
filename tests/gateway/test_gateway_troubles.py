"""A full disk, a store that is locked, receivers that are slow, many tenants: the rest goes on, and it is told."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import re
import socket
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_servers import Gateway, gateway_running, png
from servers import unshared, wait_for

from pixelserve.errors import Unavailable
from pixelserve_gateway.jobs import ApiKeys, SQLiteStore, sqlite

NOBODY = "http://127.0.0.1:9"
SMALL_DISK = ["sh", "-c", 'mount -t tmpfs -o size=3m tmpfs "$1" && shift && exec "$@"', "sh"]
"""Runs a command, in a mount namespace, to which the folder of the next argument is a disk of 3 MB."""

LONG_LOCKS = """
import runpy, sys
from pixelserve_gateway.jobs import sqlite
sqlite.BUSY_SECONDS = 60.0
sys.argv = sys.argv[3:]
runpy.run_module("pixelserve_gateway", run_name="__main__", alter_sys=True)
"""
"""Runs the gateway, whose writers wait for long: what they are beside can be looked at on a busy machine, too."""


def environment(folder: Path, **more: str) -> dict[str, str]:
    return {
        "PIXELSERVE_GATEWAY_RUNTIME": NOBODY,
        "PIXELSERVE_GATEWAY_STATE": str(folder / "state"),
        "PIXELSERVE_GATEWAY_AUTHORIZATION": "none",
        "PIXELSERVE_GATEWAY_ENDPOINTS": "super-resolution=image-super-resolution",
        **more,
    }


def client_of(gateway: Gateway) -> httpx.Client:
    return httpx.Client(base_url=gateway.url, trust_env=False, timeout=60)


def job(picture: bytes, **more: Any) -> dict[str, Any]:
    return {"feature": "super-resolution", "input": {"img": base64.b64encode(picture).decode()}, **more}


def test_a_full_disk_is_503_and_what_was_there_stays(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    with gateway_running(tmp_path, environment(tmp_path), [*unshared("--mount"), *SMALL_DISK, str(state)]) as gateway:
        with client_of(gateway) as client:
            first = client.post("/v1/jobs", json=job(png(8, 8))).json()["id"]
            for number in range(60):
                answer = client.post("/v1/jobs", json=job(png(600, 600, seed=number)))
                if answer.status_code != 202:
                    break
            error = answer.json()["error"]
            assert (answer.status_code, error["code"], error["retryable"]) == (503, "unavailable", True)
            assert error["retry_after"]
            assert str(state) not in answer.text
            assert re.search(f"{state}.*(o space left|full)", gateway.log_text())
            assert client.get("/health").status_code == 200
            assert client.get(f"/v1/jobs/{first}").json()["id"] == first
        assert "Traceback" not in gateway.log_text()


def test_a_store_that_is_locked_holds_up_a_few_writers_alone(tmp_path: Path) -> None:
    """Twenty writers come beside readers, all with keys: four wait, the others are told to come back."""
    database = tmp_path / "state" / "jobs.sqlite"
    given = environment(tmp_path, PIXELSERVE_GATEWAY_AUTHORIZATION="keys")
    with (
        gateway_running(tmp_path, given, [sys.executable, "-c", LONG_LOCKS]) as gateway,
        contextlib.closing(SQLiteStore(database)) as store,
        client_of(gateway) as client,
    ):
        client.headers["x-api-key"] = ApiKeys(store).make("tenant", (), time.time())[0]
        done = client.post("/v1/jobs", json=job(png(8, 8))).json()["id"]
        client.post(f"/v1/jobs/{done}/cancel")

        def write(number: int) -> httpx.Response:
            return client.post("/v1/jobs", json=job(png(8, 8, seed=number)))

        with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with ThreadPoolExecutor(20) as writers:
                waiting = [writers.submit(write, number) for number in range(20)]
                while sum(each.done() for each in waiting) < 16:
                    assert client.get(f"/v1/jobs/{done}").status_code == 200
                    time.sleep(0.1)
                wait_for(lambda: client.get("/health").status_code == 503, 60, "word of the silent store")
                late = write(20)
                other.execute("ROLLBACK")
        answers = [each.result() for each in waiting]
        refused = [answer for answer in answers if answer.status_code != 202]
        assert len(refused) >= 16
        for answer in (*refused, late):
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
            assert int(answer.headers["retry-after"]) > 0
        assert len(list((tmp_path / "state" / "results").glob("jobs/*/input"))) <= len(answers) - len(refused)
        assert write(21).status_code == 202
        assert client.get("/health").status_code == 200


def test_a_store_that_stays_locked_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.1)
    path = tmp_path / "jobs.sqlite"
    with contextlib.closing(SQLiteStore(path)) as store, contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            store.write("key", "name", {}, None)


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[str]]]:
    """One that takes every webhook, and the ids of their jobs."""
    heard: list[str] = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            heard.append(body.get("id") or body["data"]["id"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", heard
        server.shutdown()
        thread.join()


def test_receivers_that_never_answer_hold_up_no_other_tenant(tmp_path: Path, receiver: tuple[str, list[str]]) -> None:
    """One tenant has 200 webhooks to a black hole, and another is told meanwhile."""
    url, heard = receiver
    given = environment(
        tmp_path, PIXELSERVE_GATEWAY_WEBHOOK_ALLOW_PRIVATE="true", PIXELSERVE_GATEWAY_AUTHORIZATION="keys"
    )
    with (
        socket.create_server(("127.0.0.1", 0), backlog=256) as silent,
        gateway_running(tmp_path, given) as gateway,
        contextlib.closing(SQLiteStore(tmp_path / "state" / "jobs.sqlite")) as store,
        client_of(gateway) as client,
    ):
        hole = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        keys = [{"x-api-key": ApiKeys(store).make(tenant, (), time.time())[0]} for tenant in ("theirs", "ours")]

        def end(webhook: str, key: dict[str, str]) -> str:
            ended: str = client.post("/v1/jobs", json=job(png(8, 8), webhook=webhook), headers=key).json()["id"]
            client.post(f"/v1/jobs/{ended}/cancel", headers=key)
            return ended

        with ThreadPoolExecutor(10) as callers:
            list(callers.map(lambda _: end(hole, keys[0]), range(200)))
        good = end(url, keys[1])
        wait_for(lambda: good in heard, 30, "the good receiver's webhook")


def test_a_tenant_with_too_many_jobs_is_told_when_to_come_back(tmp_path: Path) -> None:
    given = environment(tmp_path, PIXELSERVE_GATEWAY_TENANT_JOBS="3")
    with gateway_running(tmp_path, given) as gateway, client_of(gateway) as client:
        jobs = [client.post("/v1/jobs", json=job(png(8, 8))).json()["id"] for _ in range(3)]
        answer = client.post("/v1/jobs", json=job(png(8, 8)))
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "queue_full")
        assert "cancel some" in answer.json()["error"]["message"]
        assert int(answer.headers["retry-after"]) > 0
        client.post(f"/v1/jobs/{jobs[0]}/cancel")
        assert client.post("/v1/jobs", json=job(png(8, 8))).status_code == 202


def test_no_tenant_sees_anothers_job_however_many_there_are(tmp_path: Path) -> None:
    given = environment(tmp_path, PIXELSERVE_GATEWAY_AUTHORIZATION="keys")
    with (
        gateway_running(tmp_path, given) as gateway,
        contextlib.closing(SQLiteStore(tmp_path / "state" / "jobs.sqlite")) as store,
        client_of(gateway) as client,
    ):
        keys = {f"tenant{number}": ApiKeys(store).make(f"tenant{number}", (), time.time())[0] for number in range(20)}

        def use(tenant: str) -> set[str]:
            headers = {"x-api-key": keys[tenant], "idempotency-key": "the same"}
            for _ in range(2):
                client.post("/v1/jobs", json=job(png(8, 8)), headers=headers)
            return {each["id"] for each in client.get("/v1/jobs", headers=headers).json()["jobs"]}

        with ThreadPoolExecutor(10) as callers:
            seen = dict(zip(keys, callers.map(use, keys), strict=True))
        assert {tenant: len(ids) for tenant, ids in seen.items()} == dict.fromkeys(keys, 1)
        assert set(Counter(name for ids in seen.values() for name in ids).values()) == {1}
        assert not [key for key in keys.values() if key in gateway.log_text()]
