"""Our own API of jobs, uploads and links, against real endpoints, real-time and asynchronous."""

from __future__ import annotations

import base64
import http.server
import json
import threading
import time
from collections.abc import Iterator

import cv2
import httpx
import numpy as np
import pytest
from gateway_servers import png
from standardwebhooks import Webhook as Verifier

ENLARGE = {"feature": "super-resolution", "accept": "image/png"}


def _input(seed: int = 0) -> dict[str, object]:
    return {"img": base64.b64encode(png(24, 32, seed)).decode(), "scale": 2}


def _begin(client: httpx.Client, seed: int = 0, **headers: str) -> httpx.Response:
    return client.post("/v1/jobs", json={**ENLARGE, "input": _input(seed)}, headers=headers)


def _wait(client: httpx.Client, job_id: str) -> dict[str, object]:
    answer = client.get(f"/v1/jobs/{job_id}", headers={"Prefer": "wait=30"})
    assert answer.status_code == 200, answer.text
    job: dict[str, object] = answer.json()
    return job


def test_a_job_from_its_beginning_to_its_removal(client: httpx.Client) -> None:
    begun = _begin(client)
    assert begun.status_code == 202, begun.text
    assert begun.headers["location"] == f"/v1/jobs/{begun.json()['id']}"
    assert begun.headers["retry-after"] == "2"
    job = _wait(client, begun.json()["id"])
    assert (job["state"], job["progress"], job["error"]) == ("succeeded", {"value": 1.0, "estimated": False}, None)
    picture = httpx.get(job["result"]["url"], trust_env=False)  # type: ignore[index]
    assert picture.headers["content-type"] == "image/png"
    now = client.post("/v1/super-resolution", json=_input(), headers={"Accept": "image/png"})
    assert np.array_equal(_pixels(picture.content), _pixels(now.content))
    assert client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert client.get(f"/v1/jobs/{job['id']}").status_code == 404
    assert httpx.get(job["result"]["url"], trust_env=False).status_code == 404  # type: ignore[index]


def _pixels(file: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)


def test_a_link_opens_nothing_else(client: httpx.Client) -> None:
    url = _wait(client, _begin(client).json()["id"])["result"]["url"]  # type: ignore[index]
    assert httpx.get(f"{url}0", trust_env=False).status_code == 404
    assert httpx.get(url.replace("expires=", "expires=9"), trust_env=False).status_code == 404
    assert httpx.get(url.partition("?")[0], trust_env=False).status_code == 400


def test_the_same_key_is_the_same_job(client: httpx.Client) -> None:
    key = {"Idempotency-Key": f"order-{time.time()}"}
    first, again = _begin(client, **key), _begin(client, **key)
    assert again.json()["id"] == first.json()["id"]
    other = _begin(client, 1, **key)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "conflict")


def test_jobs_are_listed_newest_first_in_pages(client: httpx.Client) -> None:
    begun = [_begin(client).json()["id"] for _ in range(3)]
    first = client.get("/v1/jobs", params={"limit": 2}).json()
    second = client.get("/v1/jobs", params={"limit": 2, "cursor": first["cursor"]}).json()
    assert [job["id"] for job in first["jobs"] + second["jobs"]][:3] == begun[::-1]
    for job_id in begun:
        _wait(client, job_id)
    states = {job["state"] for job in client.get("/v1/jobs", params={"state": "succeeded"}).json()["jobs"]}
    assert states == {"succeeded"}
    assert client.get("/v1/jobs", params={"limit": 0}).json()["error"]["param"] == "limit"
    assert client.get("/v1/jobs", params={"state": "done"}).json()["error"]["param"] == "state"


def test_what_cannot_be_done_is_refused_before_a_job_is_made(client: httpx.Client) -> None:
    before = [job["id"] for job in client.get("/v1/jobs").json()["jobs"]]  # their links change with the clock
    bodies = [
        {"feature": "colourise", "input": {}},
        {**ENLARGE, "input": {**_input(), "scale": 3}},
        {**ENLARGE, "input": {"upload": "123"}},
        {**ENLARGE, "input": _input(), "webhook": "http://127.0.0.1:9/"} | {"accept": "text/html"},
        {**ENLARGE, "input": _input(), "colour": "red"},
    ]
    answers = [client.post("/v1/jobs", json=body) for body in bodies]
    assert [answer.status_code for answer in answers] == [404, 400, 404, 406, 400]
    assert [job["id"] for job in client.get("/v1/jobs").json()["jobs"]] == before


@pytest.mark.parametrize("seconds", ["60", "9" * 400])
def test_a_wait_of_more_than_a_minute_is_no_error(seconds: str, client: httpx.Client) -> None:
    begun = _begin(client, Prefer=f"respond-async, wait={seconds}")
    assert (begun.status_code, begun.json()["state"]) == (202, "succeeded")


def test_a_finished_job_is_not_canceled(client: httpx.Client) -> None:
    job_id = _begin(client).json()["id"]
    _wait(client, job_id)
    answer = client.post(f"/v1/jobs/{job_id}/cancel")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")


@pytest.mark.parametrize("as_form", [True, False])
def test_an_upload_is_a_jobs_input(as_form: bool, client: httpx.Client) -> None:
    begun = client.post("/v1/uploads").json()
    url = begun["url"]
    sent = client.post(url, files={"file": png(24, 32)}) if as_form else client.post(url, content=png(24, 32))
    assert sent.status_code == 204, sent.text
    body = {**ENLARGE, "input": {"upload": begun["id"], "scale": 2}}
    job = _wait(client, client.post("/v1/jobs", json=body).json()["id"])
    assert job["state"] == "succeeded"
    refused = client.post(url, content=b"no picture")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_image")


@pytest.mark.parametrize("upload_id", ["1", "mine", "9223372036854775807", "..", "%00", "x" * 300])
def test_nothing_is_stored_under_an_id_that_nobody_was_given(upload_id: str, client: httpx.Client) -> None:
    answer = client.post(f"/v1/uploads/{upload_id.replace('..', '%2e%2e')}", content=png(24, 32))
    assert answer.status_code == 404
    assert "no upload" in answer.json()["error"]["message"]


@pytest.fixture
def receiver() -> Iterator[http.server.ThreadingHTTPServer]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.seen.append((dict(self.headers), body))  # type: ignore[attr-defined]
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.seen = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_webhook_tells_of_the_end(client: httpx.Client, receiver: http.server.ThreadingHTTPServer) -> None:
    url = f"http://127.0.0.1:{receiver.server_port}/told"
    begun = client.post("/v1/jobs", json={**ENLARGE, "input": _input(), "webhook": url}).json()
    deadline = time.monotonic() + 60
    while not receiver.seen and time.monotonic() < deadline:  # type: ignore[attr-defined]
        time.sleep(0.05)
    [(headers, body)] = receiver.seen  # type: ignore[attr-defined]
    told = json.loads(body)
    assert (told["type"], told["data"]["id"], told["data"]["state"]) == ("job.succeeded", begun["id"], "succeeded")
    assert httpx.get(told["data"]["result"]["url"], trust_env=False).status_code == 200
    secret = client.get("/v1/webhook-secret").json()["secret"]
    assert Verifier(secret).verify(body.decode(), {name.lower(): value for name, value in headers.items()})


def test_web_pages_from_elsewhere_are_refused_where_nobody_is_asked(client: httpx.Client) -> None:
    assert client.get("/v1/jobs", headers={"Origin": "https://example.com"}).status_code == 403
    assert client.get("/v1/jobs", headers={"Host": "rebound.example.com"}).status_code == 403
