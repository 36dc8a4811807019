"""HiDream's asynchronous upscaling API: its document's samples, every shape of answer, callbacks, one task for one id.

All against real endpoints, asynchronous ones unless a test says otherwise.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from gateway_documents import SEEDS, fill_in, section
from gateway_jobs import SILENT, Receiver, receiving
from gateway_servers import Gateway, Pictures, gateway_running, png
from servers import ROOT, wait_for
from standardwebhooks import Webhook as Verifier

from pixelserve.errors import PixelserveError
from pixelserve.local import LocalRuntime
from pixelserve_gateway.dialects import hidream
from pixelserve_gateway.jobs import ApiKeys, RateLimit, SQLiteStore

SUBMIT = "/api-pub/gw/v3/image/image_upscaler/async"
RESULTS = f"{SUBMIT}/results"
BATCH = f"{RESULTS}/batch"
ENGLISH = {"X-accept-language": "en"}
HOST = "https://www.hidreamai.com"
IMAGE = "https://storage.hidreamai.com/image/p_ec2e8446-3a94-11ef-8f5b-6a40833e9843.png"
SUB_TASK = {"sub_task_id", "task_status", "task_completion", "image"}
NOT_SENT = {
    "client_gone": "nobody is there to read it",
    "already_loaded": "of an endpoint's own API of models",
    "method_not_allowed": "the router answers before the dialect",
    "not_acceptable": "Accept is not looked at",
    "head_too_large": "of a server's parser",
}
"""Codes without a number, and why no answer of this API has them."""


def picture_text(seed: int = 0) -> str:
    return base64.b64encode(png(24, 32, seed)).decode()


def submit(client: httpx.Client, *, path: str = SUBMIT, headers: dict[str, str] | None = None, **fields: Any) -> Any:
    """The envelope of a submission."""
    return answered(client.post(path, json={"image": picture_text(), **fields}, headers=headers))


def poll(client: httpx.Client, task_id: str, *, path: str = RESULTS, headers: dict[str, str] | None = None) -> Any:
    """The envelope of a poll."""
    return answered(client.get(path, params={"task_id": task_id, "request_id": ""}, headers=headers))


def answered(answer: httpx.Response) -> Any:
    """The envelope of an answer, which has one shape whatever it says."""
    assert answer.status_code == 200, answer.text
    envelope = answer.json()
    assert envelope.keys() == {"code", "message", "request_id", "result"}
    assert isinstance(envelope["code"], int)
    assert envelope["message"]
    assert envelope["request_id"]
    return envelope


def poll_to_the_end(client: httpx.Client, task_id: str) -> Any:
    """The last envelope: each has one sub task, whose completion does not fall on the way to a picture."""
    completed = 0.0
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        envelope = poll(client, task_id)
        assert envelope["code"] == 0
        assert envelope["result"].keys() == {"task_id", "sub_task_results"}
        [sub_task] = envelope["result"]["sub_task_results"]
        assert sub_task.keys() == SUB_TASK
        assert 0 <= sub_task["task_completion"] <= 1
        if sub_task["task_status"] in (3, 4):
            return envelope
        assert completed <= sub_task["task_completion"]
        if sub_task["task_status"] == 1:
            return envelope
        completed = sub_task["task_completion"]
        assert sub_task["image"] == ""
        time.sleep(0.1)
    raise AssertionError("the task did not end")


def check_picture(client: httpx.Client, task_id: str, file: bytes, scale: int = 2) -> None:
    """The task ends with the picture that our own API makes of the file."""
    [sub_task] = poll_to_the_end(client, task_id)["result"]["sub_task_results"]
    assert (sub_task["task_status"], sub_task["task_completion"]) == (1, 1.0)
    made = httpx.get(sub_task["image"], trust_env=False)
    assert made.headers["content-type"] == "image/png"
    body = {"img": base64.b64encode(file).decode(), "scale": scale}
    now = client.post("/v1/super-resolution", json=body, headers={"Accept": "image/png"})
    assert np.array_equal(_pixels(made.content), _pixels(now.content))


def _pixels(file: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)


# The document


@pytest.fixture(scope="session")
def upscaler_document() -> str:
    found = sorted(SEEDS.glob("003_*.txt"))
    if not found:
        pytest.skip("the documents are not here: their samples cannot be run")
    return found[0].read_text()


def filled(sample: str, gateway: Gateway, pictures: Pictures, token: tuple[str, str]) -> str:
    """The sample as a reader fills it in."""
    filled_in = fill_in(sample, {HOST: gateway.url, IMAGE: f"{pictures.url}/photo.png", token[0]: token[1]})
    assert "hidreamai.com" not in filled_in
    return filled_in


def run(command: list[str]) -> str:
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_curl_of_the_document(
    upscaler_document: str, gateway: Gateway, pictures: Pictures, client: httpx.Client
) -> None:
    script = filled(
        section(upscaler_document, "curl示例", "Python示例"), gateway, pictures, ("{USER_Authorization}", "secret")
    )
    assert re.search(r",\s*\}'", script)  # the comma that JSON does not have
    envelope = json.loads(run(["sh", "-ec", script]))
    assert (envelope["code"], envelope["message"]) == (0, "Success")
    check_picture(client, envelope["result"]["task_id"], pictures.files["/photo.png"])


def test_the_python_of_the_document(
    upscaler_document: str, gateway: Gateway, pictures: Pictures, client: httpx.Client, tmp_path: Path
) -> None:
    script = filled(section(upscaler_document, "Python示例", "4. 返回参数"), gateway, pictures, ("<token>", "'secret'"))
    file = tmp_path / "sample.py"
    file.write_text(indented(script))
    check_picture(client, run([sys.executable, str(file)]).strip(), pictures.files["/photo.png"])


def indented(script: str) -> str:
    """The script with the indentation that the document's text has lost: an else goes with the last if without one."""
    lines: list[str] = []
    have_else: list[bool] = []  # of each if that is open
    for line in script.splitlines():
        if line == "else:":
            while have_else[-1]:
                have_else.pop()
            have_else[-1] = True
        depth = len(have_else) - (line == "else:")
        lines.append("    " * depth + line)
        if line.startswith("if "):
            have_else.append(False)
    return "\n".join(lines)


def test_the_answer_of_the_document(upscaler_document: str, client: httpx.Client) -> None:
    shown = json.loads(upscaler_document[upscaler_document.rindex("示例:") + 3 :])
    made = submit(client)
    assert made.keys() == shown.keys()
    assert made["result"].keys() == shown["result"].keys()
    assert (made["code"], made["message"]) == (shown["code"], shown["message"])
    assert len(made["result"]["sub_task_ids"]) == len(shown["result"]["sub_task_ids"]) == 1


# Answers


@pytest.mark.parametrize("prefix", hidream.PREFIXES)
def test_every_prefix_and_both_spellings(prefix: str, client: httpx.Client) -> None:
    path = f"{prefix}/image/image_upscaler/async"
    made = submit(client, path=path, upscale_ratio=4, module="image_upscaler", notify_url=None)
    task_id = made["result"]["task_id"]
    [sub_task] = poll(client, task_id, path=f"{path}/results")["result"]["sub_task_results"]
    assert [sub_task["sub_task_id"]] == made["result"]["sub_task_ids"]
    batch = answered(client.post(f"{path}/results/batch", json={"task_id_list": [task_id]}))
    assert [told["task_id"] for told in batch["result"]] == [task_id]
    check_picture(client, task_id, png(24, 32), scale=4)


def test_the_ratio_is_two_unless_four_is_asked_for(client: httpx.Client) -> None:
    check_picture(client, submit(client, version="")["result"]["task_id"], png(24, 32), scale=2)
    check_picture(client, submit(client, upsale_ratio=4, upscale_ratio=2)["result"]["task_id"], png(24, 32), scale=4)


def test_a_data_url_is_base64_too(client: httpx.Client) -> None:
    made = submit(client, image=f"data:image/png;base64,{picture_text(3)}")
    check_picture(client, made["result"]["task_id"], png(24, 32, 3))


def test_the_last_comma_is_tolerated_and_no_other(client: httpx.Client) -> None:
    fields = f'"image": "{picture_text()}"'
    bodies = {f"{{{fields} ,\n}}\n": 0, f"{{{fields},,}}": 40000, f"{{,{fields}}}": 40000, f"{{{fields}}},": 40000}
    for body, code in bodies.items():
        envelope = answered(client.post(SUBMIT, content=body))
        assert envelope["code"] == code
        assert code == 0 or envelope["result"] == {}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"image": None}, "image"),
        ({"image": "no base64!"}, "image"),
        ({"image": 7}, "image"),
        ({"upsale_ratio": 3}, "upsale_ratio"),
        ({"upscale_ratio": "4"}, "upsale_ratio"),
        ({"version": "v2"}, "version"),
        ({"notify_url": ["x"]}, "notify_url"),
        ({"notify_url": "http://a/\ud800"}, "notify_url"),
        ({"image": "http://a/\ud800"}, "image"),
        ({"request_id": "x" * 256}, "request_id"),
        ({"request_id": "\udc00"}, "request_id"),
    ],
)
def test_what_does_not_fit_is_said_in_both_languages(fields: dict[str, Any], field: str, client: httpx.Client) -> None:
    body = json.dumps({"image": picture_text(), **fields})
    for headers in ({}, {"X-accept-language": "zh"}, {"X-accept-language": "fr"}, ENGLISH):
        envelope = answered(client.post(SUBMIT, content=body, headers=headers))
        assert (envelope["code"], envelope["result"]) == (40000, {})
        assert field in envelope["message"]
        assert is_chinese(envelope["message"]) == (headers != ENGLISH)


def is_chinese(text: str) -> bool:
    return re.search(r"[\u4e00-\u9fff]", text) is not None


def test_a_webhook_that_can_never_be_called_is_refused(client: httpx.Client) -> None:
    assert submit(client, notify_url="ftp://example.com/x")["code"] == 40002


def test_an_error_of_a_poll_ends_the_wait_of_clients_that_read_no_code(client: httpx.Client) -> None:
    native = client.post("/v1/jobs", json={"feature": "super-resolution", "input": {"img": picture_text()}}).json()
    for task_id, code in (("nothing", 40400), ("1", 40400), (native["id"], 40400), ("", 40000)):
        envelope = poll(client, task_id)
        assert envelope["code"] == code
        assert is_chinese(envelope["message"])
        ended = {"sub_task_id": "", "task_status": 3, "task_completion": 0, "image": ""}
        assert envelope["result"] == {"task_id": task_id, "sub_task_results": [ended]}
    assert poll(client, "nothing", headers=ENGLISH)["message"].startswith("There is no job 'nothing'.")


def test_a_batch_tells_of_each_task(client: httpx.Client) -> None:
    made = [submit(client)["result"]["task_id"] for _ in range(2)]
    for task_id in made:
        poll_to_the_end(client, task_id)
    envelope = answered(client.post(BATCH, json={"task_id_list": [made[0], "nothing", made[1]]}))
    assert [told["task_id"] for told in envelope["result"]] == [made[0], "nothing", made[1]]
    assert [told["sub_task_results"][0]["task_status"] for told in envelope["result"]] == [1, 3, 1]
    assert answered(client.post(BATCH, json={"task_id_list": []}))["result"] == []
    for wrong in ({}, {"task_id_list": "x"}, {"task_id_list": ["x"] * 101}, {"task_id_list": ["\udc00"]}, []):
        envelope = answered(client.post(BATCH, content=json.dumps(wrong)))
        assert (envelope["code"], envelope["result"]) == (40000, {})


def test_a_batch_of_the_web_app_names_no_module_of_ours(client: httpx.Client) -> None:
    task_id = submit(client)["result"]["task_id"]
    envelope = answered(client.post("/api/gw/v2/image/image/async/results/batch", json={"task_id_list": [task_id]}))
    assert envelope["result"][0]["task_id"] == task_id
    for headers in ({}, ENGLISH):
        other = submit(client, path="/api-pub/gw/v3/image/txt2img/async", headers=headers)
        assert (other["code"], other["result"]) == (40400, {})
        assert "image_upscaler" in other["message"]


def test_a_picture_that_cannot_be_made_says_why(client: httpx.Client, pictures: Pictures) -> None:
    cases = [
        (base64.b64encode(b"no picture at all").decode(), 3, "图片"),
        (f"{pictures.url}/missing.png", 3, "下载"),
        ("ftp://example.com/photo.png", 4, "不允许访问"),
    ]
    for image, status, says in cases:
        made = submit(client, image=image)
        assert made["code"] == 0
        envelope = poll_to_the_end(client, made["result"]["task_id"])
        [sub_task] = envelope["result"]["sub_task_results"]
        assert (sub_task["task_status"], sub_task["image"]) == (status, "")
        assert says in envelope["message"]


def test_a_canceled_task_has_failed(guarded_client: Callable[..., httpx.Client]) -> None:
    client = guarded_client("mallory")
    made = [submit(client, image=base64.b64encode(png(256, 256, n)).decode()) for n in range(3)]
    last = made[-1]["result"]["task_id"]
    [sub_task] = poll(client, last)["result"]["sub_task_results"]
    assert (sub_task["task_status"], sub_task["task_completion"]) == (0, 0)  # one call at once, and two are before it
    assert client.post(f"/v1/jobs/{last}/cancel").status_code == 200
    envelope = poll(client, last)
    assert (envelope["message"], envelope["result"]["sub_task_results"][0]["task_status"]) == ("任务已取消。", 3)


def test_what_is_too_large_is_said_before_anything_is_made(client: httpx.Client) -> None:
    wide = base64.b64encode(png(4, 60_000)).decode()
    assert submit(client, image=wide)["code"] in (41302, 41303)
    assert answered(client.post(SUBMIT, content=b"x" * 34_000_001))["code"] == 41301


def test_each_error_has_a_number_of_its_own() -> None:
    numbers = [number for number, _ in hidream.CODES.values()]
    assert len(set(numbers)) == len(numbers)
    kinds = [kind for kind in kinds_of(PixelserveError) if kind.__module__.endswith(".errors")]
    known = {kind.code: kind.status for kind in kinds} | {"expired": 504}  # of a job
    for code, (number, chinese) in hidream.CODES.items():
        assert number // 100 == known[code]
        assert is_chinese(chinese)
    assert known.keys() - hidream.CODES.keys() == NOT_SENT.keys()


def kinds_of(kind: type[PixelserveError]) -> Iterator[type[PixelserveError]]:
    yield kind
    for further in kind.__subclasses__():
        yield from kinds_of(further)


def test_the_codes_are_documented() -> None:
    text = (ROOT / "docs" / "gateway.md").read_text()
    table = dict(re.findall(r"^\| (\d{5}) \| `(\w+)` \|", text, re.MULTILINE))
    assert table == {str(number): code for code, (number, _) in hidream.CODES.items()}


# One task for one request_id


def test_a_request_id_is_one_task(client: httpx.Client) -> None:
    request_id = f"order-{uuid.uuid4()}"
    first, again = submit(client, request_id=request_id), submit(client, request_id=request_id, upsale_ratio=2)
    assert first["request_id"] == request_id
    assert again == first
    for headers, says in (({}, "request_id"), (ENGLISH, "This request_id was used with another body.")):
        other = submit(client, request_id=request_id, upsale_ratio=4, headers=headers)
        assert (other["code"], other["result"]) == (40900, {})
        assert says in other["message"]


def test_no_request_id_is_a_task_each_time(client: httpx.Client) -> None:
    made = [submit(client, **fields) for fields in ({}, {}, {"request_id": ""}, {"request_id": ""})]
    assert len({envelope["result"]["task_id"] for envelope in made}) == 4
    assert len({envelope["request_id"] for envelope in made}) == 4


def test_a_request_id_is_no_idempotency_key(client: httpx.Client) -> None:
    request_id = f"both-{uuid.uuid4()}"
    body = {"feature": "super-resolution", "input": {"img": picture_text()}}
    native = client.post("/v1/jobs", json=body, headers={"Idempotency-Key": request_id})
    made = submit(client, request_id=request_id)
    assert native.status_code == 202
    assert made["code"] == 0
    assert made["result"]["task_id"] != native.json()["id"]


# Who calls


@pytest.fixture(scope="module")
def guarded_client(
    features_runtime: LocalRuntime, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., httpx.Client]]:
    """Makes clients with a key for a tenant, or none for "", of a gateway that asks for one and has a queue only."""
    state = tmp_path_factory.mktemp("hidream")
    environment = {
        "PIXELSERVE_GATEWAY_RUNTIME": features_runtime.url,
        "PIXELSERVE_GATEWAY_STATE": str(state),
        "PIXELSERVE_GATEWAY_AUTHORIZATION": "keys",
        "PIXELSERVE_GATEWAY_JOB_CALLS": "1",
    }
    clients: list[httpx.Client] = []
    with gateway_running(tmp_path_factory.mktemp("log"), environment) as running_gateway:
        store = SQLiteStore(state / "jobs.sqlite")

        def make(tenant: str, limit: RateLimit | None = None) -> httpx.Client:
            key = ApiKeys(store).make(tenant, (), time.time(), limit)[0] if tenant else ""
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            clients.append(httpx.Client(base_url=running_gateway.url, headers=headers, trust_env=False, timeout=60))
            return clients[-1]

        yield make
        for client in clients:
            client.close()
        store.close()


def test_without_a_key_the_answer_says_how(guarded_client: Callable[..., httpx.Client]) -> None:
    nobody = guarded_client("")
    for headers in ({}, {"Authorization": "Bearer nothing"}):
        refused = submit(nobody, headers=headers)
        assert (refused["code"], refused["result"]) == (40100, {})
        assert "Authorization: Bearer" in refused["message"]
        assert poll(nobody, "1", headers=headers)["result"]["sub_task_results"][0]["task_status"] == 3
        batch = answered(nobody.post(BATCH, json={"task_id_list": ["1"]}, headers=headers))
        assert (batch["code"], batch["result"]) == (40100, {})


def test_each_credential_has_its_own_tasks(guarded_client: Callable[..., httpx.Client]) -> None:
    alice, bob = guarded_client("alice"), guarded_client("bob")
    hers, his = submit(alice, request_id="1"), submit(bob, request_id="1")
    assert hers["result"]["task_id"] != his["result"]["task_id"]
    assert poll(bob, hers["result"]["task_id"])["code"] == 40400
    check_picture(alice, hers["result"]["task_id"], png(24, 32))


def test_a_token_has_a_rate_limit(guarded_client: Callable[..., httpx.Client]) -> None:
    client = guarded_client("dave", RateLimit(0.01, 1))
    assert submit(client)["code"] == 0
    answer = client.get(RESULTS, params={"task_id": "1"})
    assert answered(answer)["code"] == 42900
    assert 90 <= int(answer.headers["retry-after"]) <= 100


# Callbacks


def told(receiver: Receiver, number: int = 1) -> list[tuple[dict[str, str], Any]]:
    """The requests that came, when there are so many: headers and bodies."""
    wait_for(lambda: len(receiver.requests) >= number, what=f"{number} callbacks")
    return [(dict(headers), json.loads(body)) for headers, body in receiver.requests]


def test_a_callback_is_the_answer_of_a_poll(client: httpx.Client, pictures: Pictures) -> None:
    secret = client.get("/v1/webhook-secret").json()["secret"]
    for image, status in ((f"{pictures.url}/photo.png", 1), (f"{pictures.url}/missing.png", 3)):
        with receiving() as receiver:
            made = submit(client, image=image, notify_url=receiver.url, request_id=str(uuid.uuid4()), headers=ENGLISH)
            task_id = made["result"]["task_id"]
            [(headers, body)] = told(receiver)
            assert body.pop("main_task_id") == task_id
            polled = poll(client, task_id, headers=ENGLISH)
            for envelope in (body, polled):
                [sub_task] = envelope["result"]["sub_task_results"]
                assert sub_task["task_status"] == status
                picture = sub_task.pop("image")  # a link is signed anew each time
                assert not picture or httpx.get(picture, trust_env=False).status_code == 200
                assert bool(picture) == (status == 1)
            assert body == {**polled, "request_id": made["request_id"]}
            assert Verifier(secret).verify(receiver.requests[0][1], headers)


def test_a_callback_is_tried_three_times_a_second_apart(client: httpx.Client) -> None:
    with receiving(SILENT, 204, 500, 200) as receiver:
        task_id = submit(client, notify_url=receiver.url)["result"]["task_id"]
        told(receiver, 3)
        wait_for(lambda: outcomes(client, task_id) and len(outcomes(client, task_id)) == 3, what="the last outcome")
        time.sleep(3)
        assert len(receiver.requests) == 3
        first, second, third = receiver.came
    assert outcomes(client, task_id) == ["no answer within 5 s", "answered 204", "answered 500"]
    assert second - first >= 6  # 5 s without an answer, then the pause
    assert third - second >= 1
    assert len({headers["webhook-id"] for headers, _ in receiver.requests}) == 1


def outcomes(client: httpx.Client, task_id: str) -> list[str]:
    """What became of each request to the task's receiver."""
    return [tried["outcome"] for tried in client.get(f"/v1/jobs/{task_id}").json()["webhook"]["deliveries"]]


def test_a_callback_that_was_taken_is_not_repeated(client: httpx.Client) -> None:
    with receiving(503, 200) as receiver:
        task_id = submit(client, notify_url=receiver.url)["result"]["task_id"]
        told(receiver, 2)
        wait_for(lambda: len(outcomes(client, task_id)) == 2, what="the outcome")
        time.sleep(2)
        assert outcomes(client, task_id) == ["answered 503", "delivered"]
        assert len(receiver.requests) == 2
