"""What callers of the gateway cannot do, beside what `tests/fire` sends to all servers: its own process, by sockets."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import select
import socket
import textwrap
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from gateway_servers import Gateway, gateway_running, png
from raw_http import after_a_moment, connected, read_all
from servers import wait_for

from pixelserve.callers import IDLE_SECONDS
from pixelserve.local import LocalRuntime, Source, running
from pixelserve.storage import Folder
from pixelserve_gateway.jobs import ApiKeys, SQLiteStore, access_key_id, kept_secret, secret_access_key
from pixelserve_gateway.results import Results

MOST_BYTES = 1_000_000
SECONDS = 1.0
"""The gateway's deadline for a head, and for a body with its least rate."""
PATIENT_SECONDS = 3.0
HANG_SECONDS = 30.0
NOBODY = "http://127.0.0.1:9"
UPSCALER = "/api-pub/gw/v3/image/image_upscaler/async"
NO_HOST = "0251.0376.0251.0376"
"""No URL of httpx."""
PRIVATE = (
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    NO_HOST,
    "[::ffff:169.254.169.254]",
    "[::ffff:7f00:1]",
    "[64:ff9b::a9fe:a9fe]",
    "127.1",
    "0.0.0.0",
    "[::1]",
    "[fe80::1]",
    "10.0.0.1",
    "100.64.0.1",
    "localhost",
    "LocalHost",
)
"""Private addresses, and other ways to write them."""


@dataclass
class Fortress:
    """A gateway that asks for keys, with one of alice's and one of bob's, and alice's key pair."""

    gateway: Gateway
    key: str
    other: str
    pair: Credentials

    def head(self, path: str, *lines: str, method: str = "POST") -> bytes:
        """A request's head with alice's key."""
        return head(path, f"x-api-key: {self.key}", *lines, method=method)

    def client(self, key: str) -> httpx.Client:
        headers = {"x-api-key": key}
        return httpx.Client(base_url=self.gateway.url, headers=headers, trust_env=False, timeout=HANG_SECONDS)


def head(path: str, *lines: str, method: str = "POST") -> bytes:
    return "".join(f"{line}\r\n" for line in (f"{method} {path} HTTP/1.1", "host: x", *lines, "")).encode()


@contextlib.contextmanager
def fortress_running(folder: Path, **environment: str) -> Iterator[Fortress]:
    state = folder / "state"
    given = {
        "PIXELSERVE_GATEWAY_RUNTIME": NOBODY,
        "PIXELSERVE_GATEWAY_STATE": str(state),
        "PIXELSERVE_GATEWAY_AUTHORIZATION": "keys",
        "PIXELSERVE_GATEWAY_MAX_BODY_BYTES": str(MOST_BYTES),
        "PIXELSERVE_GATEWAY_ENDPOINTS": "super-resolution=image-super-resolution",
        **environment,
    }
    with gateway_running(folder, given) as gateway, contextlib.closing(SQLiteStore(state / "jobs.sqlite")) as store:
        keys = ApiKeys(store)
        alices, kept = keys.make("alice", (), time.time())
        bobs, _ = keys.make("bob", (), time.time())
        name = access_key_id(kept)
        yield Fortress(gateway, alices, bobs, Credentials(name, secret_access_key(store, name)))


@pytest.fixture(scope="module")
def endpoint() -> Iterator[LocalRuntime]:
    """One that fetches from public addresses only, as on AWS."""
    with running([Source.parse("image-super-resolution")]) as local:
        yield local


@pytest.fixture(scope="module")
def fortress(endpoint: LocalRuntime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fortress]:
    with fortress_running(
        tmp_path_factory.mktemp("fortress"),
        PIXELSERVE_GATEWAY_RUNTIME=endpoint.url,
        PIXELSERVE_GATEWAY_ARRIVAL_SECONDS=str(SECONDS),
        PIXELSERVE_GATEWAY_LINK_SECONDS="1",
    ) as made:
        yield made
        log = made.gateway.log_text()
        assert '"message": "request"' in log
        for secret in (made.key, made.other, made.pair.secret_key):
            assert secret not in log
        assert "Traceback" not in log


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fortress]:
    """A gateway for what is slow and in time, however busy the machine is."""
    folder = tmp_path_factory.mktemp("patient")
    with fortress_running(folder, PIXELSERVE_GATEWAY_ARRIVAL_SECONDS=str(PATIENT_SECONDS)) as made:
        yield made


@pytest.fixture(scope="module")
def calm(endpoint: LocalRuntime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fortress]:
    """A gateway with few connections, which cuts nobody off soon."""
    with fortress_running(
        tmp_path_factory.mktemp("calm"),
        PIXELSERVE_GATEWAY_RUNTIME=endpoint.url,
        PIXELSERVE_GATEWAY_ARRIVAL_SECONDS="60",
        PIXELSERVE_GATEWAY_CONNECTIONS="31",
    ) as made:
        yield made


def abuse(gateway: Gateway, first: bytes, then: Iterable[bytes] = (), pause: float = 0.1) -> tuple[int, Any, bytes]:
    """Sends what it is told until it is answered: the status, 0 for a connection that was only closed; JSON; the head.

    Fails where the gateway lets it go on for too long.
    """
    with connected(gateway, first) as connection:
        deadline = time.monotonic() + HANG_SECONDS
        pieces = iter(then)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while not select.select([connection], [], [], pause)[0]:
                assert time.monotonic() < deadline, "the gateway waits for ever"
                connection.sendall(next(pieces, b""))
        answer, _, body = read_all(connection).partition(b"\r\n\r\n")
    if not answer:
        return 0, None, b""
    return int(answer.split()[1]), json.loads(body), answer.lower()


def endless(piece: bytes) -> Iterator[bytes]:
    while True:
        yield piece


# Slow callers


@pytest.mark.parametrize("path", ["/v1/super-resolution", "/v1/jobs", "/v1/uploads/1", "/image_super_resolution"])
@pytest.mark.parametrize(
    ("line", "piece"),
    [
        pytest.param("content-length: 900000", b"", id="stops"),
        pytest.param("content-length: 900000", b"x", id="drips"),
        pytest.param("transfer-encoding: chunked", b"1\r\nx\r\n", id="chunks that drip"),
    ],
)
def test_a_slow_body_is_408(fortress: Fortress, path: str, line: str, piece: bytes) -> None:
    status, answer, answer_head = abuse(fortress.gateway, fortress.head(path, line), endless(piece) if piece else ())
    assert (status, answer["error"]["code"], answer["error"]["retryable"]) == (408, "request_timeout", True)
    assert b"connection: close" in answer_head


def test_a_form_that_never_ends_is_408(fortress: Fortress) -> None:
    kind = "content-type: multipart/form-data; boundary=b"
    first = fortress.head("/v1/uploads/1", kind, "transfer-encoding: chunked")
    part = b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    assert abuse(fortress.gateway, first + b"%x\r\n%s\r\n" % (len(part), part), endless(b"1\r\nx\r\n"))[0] == 408


def test_dialects_tell_of_a_slow_body_in_their_own_shape(fortress: Fortress) -> None:
    line = "content-length: 9000"
    status, answer, _ = abuse(fortress.gateway, fortress.head(UPSCALER, line))
    assert (status, answer["code"]) == (200, 40800)
    status, answer, _ = abuse(fortress.gateway, fortress.head("/mweb/v1/get_history_by_ids", line))
    assert (status, answer["ret"]) == (200, "1002")


def test_a_body_that_is_slow_and_fast_enough_is_taken(patient: Fortress) -> None:
    """It takes longer than the deadline, since a second is given for each 32,000 bytes."""
    body = b'{"feature": "similarity"' + b" " * 400_000 + b"}"
    first = patient.head("/v1/jobs", f"content-length: {len(body)}", "connection: close")
    pieces = [body[start : start + 10_000] for start in range(0, len(body), 10_000)]
    began = time.monotonic()
    assert abuse(patient.gateway, first, pieces)[0] == 400
    assert time.monotonic() - began > PATIENT_SECONDS


def test_an_answer_that_is_read_slowly_is_whole(patient: Fortress) -> None:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        connection.settimeout(HANG_SECONDS)
        connection.connect(("127.0.0.1", patient.gateway.port))
        connection.sendall(head("/page/swagger/swagger-ui-bundle.js", "connection: close", method="GET"))
        received = b""
        while piece := connection.recv(50_000):
            received += piece
            time.sleep(0.1)
    answer_head, _, body = received.partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in answer_head
    assert len(body) > 1_000_000


def _callers(gateway: Gateway) -> set[int]:
    """The ports of those who are connected."""
    connections = psutil.Process(gateway.pid).net_connections("tcp")
    return {one.raddr[1] for one in connections if one.raddr and one.laddr[1] == gateway.port}


# Large requests


def test_what_is_too_large_is_said_at_once(fortress: Fortress) -> None:
    gateway = fortress.gateway
    declared = fortress.head("/v1/jobs", "content-length: 1000000000000")
    assert abuse(gateway, declared)[:2][0] == 413
    assert abuse(gateway, fortress.head("/v1/jobs", f"content-length: {10**30}"))[0] == 400
    chunked = fortress.head("/v1/jobs", "transfer-encoding: chunked")
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    assert abuse(gateway, chunked, endless(chunk), pause=0)[0] == 413


def test_trailers_are_no_headers(fortress: Fortress) -> None:
    """Idempotency-Key would make the second job the first."""
    body = json.dumps({"feature": "super-resolution", "input": {"img": _text(png(8, 8))}}).encode()
    request = fortress.head(
        "/v1/jobs", "transfer-encoding: chunked", "connection: close"
    ) + b"%x\r\n%s\r\n0\r\nidempotency-key: same\r\n\r\n" % (len(body), body)
    ids = {abuse(fortress.gateway, request)[1]["id"] for _ in range(2)}
    assert len(ids) == 2


def test_a_long_path_is_logged_in_part(fortress: Fortress) -> None:
    with fortress.client(fortress.key) as client:
        assert client.get("/long" + "%00" * 10_000).status_code == 404
    log = wait_for(lambda: "/long" in (text := fortress.gateway.log_text()) and text)  # it comes after the answer
    (path,) = [path for line in log.splitlines() if (path := json.loads(line).get("path", "")).startswith("/long")]
    assert path == "/long" + "\0" * 195


# Keys before bodies


@pytest.mark.parametrize(
    "path",
    [
        "/v1/super-resolution",
        "/v1/jobs",
        "/v1/uploads/1",
        "/image_super_resolution",
        UPSCALER,
        f"{UPSCALER}/results/batch",
        "/mweb/v1/aigc_draft/generate",
        "/mweb/v1/get_upload_token",
        "/upload/v1/tos-cn-i-pixelserve/1",
        "/?Action=CommitImageUpload",
    ],
)
@pytest.mark.parametrize(
    "line",
    [
        "x-nothing: here",
        "authorization: Bearer wrong",
        "x-api-key: wrong",
        "cookie: sessionid=wrong",
        "authorization: AWS4-HMAC-SHA256 Credential=PSX/20260101/x/y/z, SignedHeaders=host, Signature=0",
    ],
)
def test_a_caller_without_a_key_is_refused_before_its_body(fortress: Fortress, path: str, line: str) -> None:
    status, answer, answer_head = abuse(fortress.gateway, head(path, line, "content-length: 900000"))
    assert 401 in (status, answer.get("code", 0) // 100) or answer["ret"] == "1015", answer
    assert b"connection: close" in answer_head


def test_a_caller_that_sends_all_the_same_reads_the_refusal(fortress: Fortress) -> None:
    with fortress.client("wrong") as client:
        answer = client.post("/v1/super-resolution", content=b"x" * 30_000_000)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")


# Many callers


def test_many_slow_callers_hold_nobody_up(calm: Fortress) -> None:
    with contextlib.ExitStack() as stack:
        slow = (b"G", calm.head("/v1/jobs", "content-length: 9"), head("/", method="GET")[:-2])
        held = [stack.enter_context(connected(calm.gateway, data)) for data in slow * 10]
        wait_for(lambda: len(_callers(calm.gateway)) == len(held))
        with calm.client(calm.key) as client:
            assert client.get("/health").status_code == 200
            answer = client.post("/v1/super-resolution", json={"img": _text(png(8, 8)), "scale": 2})
            assert answer.status_code == 200


def test_who_sends_a_body_makes_no_room(calm: Fortress) -> None:
    begun = calm.head("/v1/jobs", "content-length: 9")
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(connected(calm.gateway, begun)) for _ in range(30)]
        wait_for(lambda: len(_callers(calm.gateway)) == len(held))
        with calm.client(calm.key) as client:
            assert client.get("/health").status_code == 200
            time.sleep(IDLE_SECONDS)
            held.append(stack.enter_context(connected(calm.gateway, begun)))  # the client's, which idles, makes room
            status, refused, answer_head = abuse(calm.gateway, b"")
        assert (status, refused["error"]["code"]) == (503, "unavailable")
        assert b"retry-after: 1" in answer_head
        assert not select.select(held, [], [], 0)[0]  # none was cut off for this


def test_bodies_are_bounded_and_the_slowest_goes_first(tmp_path: Path) -> None:
    room = 8 * MOST_BYTES
    with (
        fortress_running(
            tmp_path, PIXELSERVE_GATEWAY_ARRIVAL_SECONDS="60", PIXELSERVE_GATEWAY_BODY_ROOM=str(room)
        ) as fortress,
        contextlib.ExitStack() as stack,
    ):
        before = psutil.Process(fortress.gateway.pid).memory_info().rss
        part = b"x" * 900_000
        begun = fortress.head("/v1/uploads/1", f"content-length: {MOST_BYTES}")
        held = [stack.enter_context(connected(fortress.gateway, begun + part)) for _ in range(64)]
        refused = wait_for(lambda: len(ended := select.select(held, [], [], 0)[0]) >= 64 - room // len(part) and ended)
        assert len(refused) == 64 - room // len(part)
        for connection in refused:
            answer = connection.recv(65_536).lower()
            assert answer.startswith(b"http/1.1 503")
            assert b"retry-after: 1" in answer
        with fortress.client(fortress.key) as client:
            form = client.post("/v1/uploads").json()
            assert client.post(form["url"], files={"file": png(400, 400)}).status_code == 204
        assert psutil.Process(fortress.gateway.pid).memory_info().rss - before < 4 * room


def test_callers_who_stop_in_a_full_room_make_room(endpoint: LocalRuntime, tmp_path: Path) -> None:
    """Bodies of the limit less a byte, sent fast, fill it but for some bytes: no whole body is refused for them."""
    room = 64 * (MOST_BYTES - 1) + 100
    with (
        fortress_running(
            tmp_path,
            PIXELSERVE_GATEWAY_RUNTIME=endpoint.url,
            PIXELSERVE_GATEWAY_ARRIVAL_SECONDS="60",
            PIXELSERVE_GATEWAY_BODY_ROOM=str(room),
        ) as fortress,
        fortress.client(fortress.key) as client,
        contextlib.ExitStack() as stack,
    ):
        stopped = fortress.head("/v1/super-resolution", f"content-length: {MOST_BYTES}") + b"x" * (MOST_BYTES - 1)
        held = [stack.enter_context(connected(fortress.gateway, stopped)) for _ in range(64)]

        def is_one_refused() -> bool:
            _ask_small(client)
            return bool(select.select(held, [], [], 0)[0])

        wait_for(is_one_refused)
        for _ in range(3):
            _ask_small(client)
        (refused,) = select.select(held, [], [], 0)[0]
        assert refused.recv(65_536).startswith(b"HTTP/1.1 503")


def _ask_small(client: httpx.Client) -> None:
    body = json.dumps({"img": _text(png(8, 8)), "scale": 2}).encode()
    answer = client.post("/v1/super-resolution", **after_a_moment(body))
    assert answer.status_code == 200, answer.text


LARGE = """
    def model_fn(model_dir):
        return None

    def predict_fn(data, model):
        return b"\\x89PNG" + bytes(8_000_000)

    def output_fn(prediction, accept):
        return prediction, "image/png"
"""


def test_answers_that_wait_for_readers_are_bounded(tmp_path: Path) -> None:
    """Who has taken nothing for the longest time is cut off; the last one is served."""
    (tmp_path / "large").mkdir()
    (tmp_path / "large" / "inference.py").write_text(textwrap.dedent(LARGE))
    body = json.dumps({"img": _text(png(8, 8)), "scale": 2}).encode()
    lines = ("accept: image/png", "content-type: application/json", f"content-length: {len(body)}", "connection: close")
    with running([Source.parse(str(tmp_path / "large"))]) as local, contextlib.ExitStack() as stack:
        fortress = stack.enter_context(
            fortress_running(
                tmp_path,
                PIXELSERVE_GATEWAY_RUNTIME=local.url,
                PIXELSERVE_GATEWAY_ENDPOINTS="super-resolution=large",
                PIXELSERVE_GATEWAY_ARRIVAL_SECONDS="600",
                PIXELSERVE_GATEWAY_BODY_ROOM="20000000",
            )
        )
        process = psutil.Process(fortress.gateway.pid)
        before = process.memory_info().rss
        readers = []
        for _ in range(12):
            request = fortress.head("/v1/super-resolution", *lines) + body
            readers.append(stack.enter_context(connected(fortress.gateway, request)))
            assert readers[-1].recv(15) == b"HTTP/1.1 200 OK"
            time.sleep(0.4)
        assert process.memory_info().rss - before < 12 * 8_000_000 / 1.5
        whole = [len(read_all(reader)) > 8_000_000 for reader in readers]
        assert whole[-1]
        assert sum(whole) <= 6, "those that fit, and those that have not waited for a second yet"


def test_memory_of_large_bodies_goes_back(tmp_path: Path) -> None:
    """Also where nobody has set malloc's variables."""
    with fortress_running(tmp_path, PIXELSERVE_GATEWAY_MAX_BODY_BYTES="34000000") as fortress:
        process = psutil.Process(fortress.gateway.pid)
        before = process.memory_info().rss
        with fortress.client(fortress.key) as client:
            for megabytes in (4, 8, 16, 24, 12):
                body = b'{"img": "%s"}' % base64.b64encode(bytes(megabytes * 750_000))
                assert client.post("/v1/super-resolution", content=body).status_code in (400, 415, 503)
        wait_for(lambda: process.memory_info().rss - before < 20_000_000)


@pytest.mark.soak
def test_bodies_of_the_largest_size_are_bounded(tmp_path: Path) -> None:
    """With the limits as they are: 64 callers, each with a whole body less a byte."""
    environment = {"PIXELSERVE_GATEWAY_MAX_BODY_BYTES": "34000000"}
    with fortress_running(tmp_path, **environment) as fortress, contextlib.ExitStack() as stack:
        process = psutil.Process(fortress.gateway.pid)
        before = process.memory_info().rss
        begun = fortress.head("/v1/uploads/1", "content-length: 34000000")
        for _ in range(64):
            connection = stack.enter_context(connected(fortress.gateway, begun))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for _ in range(33):
                    connection.sendall(b"x" * 1_000_000)
            assert process.memory_info().rss - before < 2 * 256_000_000
            assert httpx.get(f"{fortress.gateway.url}/health", trust_env=False, timeout=HANG_SECONDS).is_success


def test_results_that_nobody_reads_are_not_held(calm: Fortress) -> None:
    size, readers, name = 20_000_000, 25, "large"
    state = calm.gateway.log.parent / "state"
    folder = Folder(state / "results")
    folder.write(name, io.BytesIO(b"\x89PNG".ljust(size, b"x")), "")
    with contextlib.closing(SQLiteStore(state / "jobs.sqlite")) as store:
        link = Results(folder, kept_secret(store, "links"), most_bytes=size).link(name, time.time() + 600)
    process = psutil.Process(calm.gateway.pid)
    before = process.memory_info().rss
    with contextlib.ExitStack() as stack:
        for _ in range(readers):
            connection = stack.enter_context(connected(calm.gateway, head(link, method="GET")))
            assert connection.recv(15) == b"HTTP/1.1 200 OK"
        answer = httpx.get(calm.gateway.url + link, trust_env=False, timeout=HANG_SECONDS)
        assert answer.content == b"\x89PNG".ljust(size, b"x")
        assert (answer.headers["content-type"], answer.headers["content-length"]) == ("image/png", str(size))
        assert process.memory_info().rss - before < readers * size / 4


# Addresses


def test_no_private_address_is_called(fortress: Fortress) -> None:
    image = {"img": _text(png(8, 8)), "scale": 2}
    with fortress.client(fortress.key) as client:
        jobs = {}
        for host in PRIVATE:
            url = f"http://{host}:{fortress.gateway.port}/health"
            answer = client.post("/v1/super-resolution", json={"url": url})
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "fetch_refused"), host
            submitted = client.post(UPSCALER, json={"image": url, "notify_url": url}).json()
            body = {"feature": "super-resolution", "input": image, "webhook": url}
            begun = client.post("/v1/jobs", json=body)
            if host == NO_HOST:
                assert (submitted["code"], begun.json()["error"]["code"]) == (40002, "fetch_refused")
            else:
                jobs[host] = submitted["result"]["task_id"], begun.json()["id"]
        for host, (task, job) in jobs.items():
            wait_for(lambda job=job: _is_refused(client, job), what=host)
            wait_for(lambda task=task: _is_refused(client, task), what=host)
            polled = client.get(f"{UPSCALER}/results", params={"task_id": task}).json()
            assert polled["result"]["sub_task_results"][0]["task_status"] == 4, host


def _is_refused(client: httpx.Client, job: str) -> bool:
    """Whether the job's webhook was not sent because of its address."""
    deliveries = client.get(f"/v1/jobs/{job}").json()["webhook"]["deliveries"]
    return bool(deliveries) and deliveries[-1]["outcome"].startswith("address refused")


# Other tenants' things


def test_what_is_anothers_is_not_there(fortress: Fortress) -> None:
    with fortress.client(fortress.key) as alice, fortress.client(fortress.other) as bob:
        form = alice.post("/v1/uploads").json()
        assert alice.post(form["url"], files={"file": png(8, 8)}).status_code == 204
        wanted = {"feature": "super-resolution", "input": {"upload": form["id"]}}
        assert bob.post("/v1/jobs", json=wanted).status_code == 404
        assert bob.post(form["url"], files={"file": png(9, 9)}).status_code == 204  # bob's own, under that id
        job = alice.post("/v1/jobs", json=wanted, headers={"prefer": "wait=30"}).json()
        assert job["result"]["attributes"].startswith("width=16;height=16")
        for method, path in (("GET", ""), ("POST", "/cancel"), ("DELETE", "")):
            assert bob.request(method, f"/v1/jobs/{job['id']}{path}").status_code == 404
        assert bob.get(f"{UPSCALER}/results", params={"task_id": job["id"]}).json()["code"] == 40400
        asked = bob.post("/mweb/v1/get_history_by_ids", json={"history_ids": [job["id"]]}).json()
        assert (asked["ret"], asked["data"]) == ("0", {})


def test_a_link_is_for_one_result_and_a_while(fortress: Fortress) -> None:
    with fortress.client(fortress.key) as client:
        wanted = {"feature": "super-resolution", "input": {"img": _text(png(8, 8))}}
        job = client.post("/v1/jobs", json=wanted, headers={"prefer": "wait=30"}).json()
        job = client.get(f"/v1/jobs/{job['id']}").json()
        url = job["result"]["url"]
        parts = urlsplit(url)
        expires = dict(pair.split("=") for pair in parts.query.split("&"))["expires"]
        for altered in (
            url.replace(f"expires={expires}", f"expires={int(expires) + 9_999}"),
            url[:-1] + ("0" if url[-1] != "0" else "1"),
            url.replace(parts.path, f"{parts.path}x"),
            url.replace(parts.path, parts.path.replace("/results/", "/results/../")),
            url.replace(parts.path, "/results/..%2f..%2fjobs.sqlite"),
        ):
            assert httpx.get(altered, trust_env=False).status_code == 404, altered
        wait_for(lambda: "has expired" in httpx.get(url, trust_env=False).text)


# Signatures


def test_a_signature_is_for_one_request(fortress: Fortress) -> None:
    """The same request again is answered again, for 15 minutes: Signature Version 4 has nothing against that."""
    path, body = "/v1/super-resolution?scale=2", png(8, 8)
    request = AWSRequest("POST", fortress.gateway.url + path, data=body, headers={"content-type": "image/png"})
    SigV4Auth(fortress.pair, "execute-api", "us-east-1").add_auth(request)
    headers = dict(request.headers)
    with httpx.Client(base_url=fortress.gateway.url, trust_env=False, timeout=HANG_SECONDS) as client:
        for _ in range(2):
            assert client.post(path, content=body, headers=headers).status_code == 200
        for other, content in (
            ("/v1/super-resolution?scale=4", body),
            ("/v1/super-resolution/?scale=2", body),
            (path, png(8, 8, seed=1)),
        ):
            assert client.post(other, content=content, headers=headers).status_code == 401
        later = {**headers, "X-Amz-Date": headers["X-Amz-Date"].replace("Z", "9Z")[-17:]}
        assert client.post(path, content=body, headers=later).status_code == 401


def test_a_job_for_a_feature_without_an_endpoint_is_refused_at_once(fortress: Fortress) -> None:
    with fortress.client(fortress.key) as client:
        before = [job["id"] for job in client.get("/v1/jobs").json()["jobs"]]
        answer = client.post("/v1/jobs", json={"feature": "similarity", "input": {"img": _text(png(8, 8))}})
        assert [job["id"] for job in client.get("/v1/jobs").json()["jobs"]] == before
    assert answer.status_code == 404
    assert "has no endpoint here. Features: image_super_resolution." in answer.json()["error"]["message"]


def _text(file: bytes) -> str:
    return base64.b64encode(file).decode()
