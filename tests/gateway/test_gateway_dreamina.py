"""The Dreamina API against real endpoints: HTTPS by our own authority, API keys as session cookies, uploads by ImageX.

The document's own Python is taken from it when the test runs; only what a reader fills in is replaced.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import ssl
import stat
import subprocess
import sys
import time
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import cv2
import httpx
import numpy as np
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from gateway_servers import Gateway, gateway_running, png
from servers import ROOT

from pixelserve.features import FEATURES
from pixelserve.local import LocalRuntime
from pixelserve_gateway.dialects.dreamina import sign
from pixelserve_gateway.jobs import ApiKeys, RateLimit, SQLiteStore

SEEDS = Path(os.environ.get("PIXELSERVE_DOCUMENTS", ROOT.parent / "shared" / "spec" / "seeds"))
GENERATE, HISTORY = "/mweb/v1/aigc_draft/generate", "/mweb/v1/get_history_by_ids"
SIGNS = {
    GENERATE: "ae3b32f5eac9141aae9ff491a3bd4c7c",
    HISTORY: "9e99ef695c30983f8eb22036fb164009",
    "/mweb/v1/get_upload_token": "73778fc3d172e49a6459181a5cdf21f3",
}
SIGNED = {"device-time": "1700000000", "pf": "7", "appvr": "5.8.0"}


@dataclass
class Site:
    """A gateway that serves HTTPS and asks for keys; keys of two tenants, one for similarity, one with little room."""

    gateway: Gateway
    key: str
    other_key: str
    scoped_key: str
    slow_key: str


@pytest.fixture(scope="module")
def site(features_runtime: LocalRuntime, invocations: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    state = tmp_path_factory.mktemp("dreamina")
    environment = {
        "PIXELSERVE_GATEWAY_STATE": str(state),
        "PIXELSERVE_GATEWAY_RESULTS": str(invocations / "dreamina"),
        "PIXELSERVE_GATEWAY_ASYNC_OUTPUTS": str(invocations),
        "PIXELSERVE_GATEWAY_RUNTIME": features_runtime.url,
        "PIXELSERVE_GATEWAY_ASYNC_ENDPOINTS": ",".join(f"{f.name}={f.endpoint}-async" for f in FEATURES),
        "PIXELSERVE_GATEWAY_AUTHORIZATION": "keys",
        "PIXELSERVE_GATEWAY_TLS_NAMES": "localhost,127.0.0.1",
    }
    with gateway_running(state, environment) as gateway:
        store = SQLiteStore(state / "jobs.sqlite")
        keys, now = ApiKeys(store), time.time()
        made = [keys.make(tenant, (), now)[0] for tenant in ("one", "two")]
        made.append(keys.make("one", ("image_similarity",), now)[0])
        made.append(keys.make("slow", (), now, RateLimit(0.001, 1))[0])
        store.close()
        yield Site(gateway, *made)


def _client(site: Site, key: str) -> httpx.Client:
    trusted = ssl.create_default_context(cafile=str(site.gateway.authority))
    headers = {"Cookie": f"sessionid={key}", "Origin": "https://jimeng.jianying.com"} if key else {}
    return httpx.Client(base_url=site.gateway.url, verify=trusted, trust_env=False, timeout=60, headers=headers)


@pytest.fixture
def client(site: Site) -> Iterator[httpx.Client]:
    with _client(site, site.key) as made:
        yield made


@pytest.fixture
def other(site: Site) -> Iterator[httpx.Client]:
    with _client(site, site.other_key) as made:
        yield made


def _token(client: httpx.Client) -> dict[str, str]:
    answer = client.post("/mweb/v1/get_upload_token", json={"scene": 2}).json()
    assert answer["ret"] == "0", answer
    data: dict[str, str] = answer["data"]
    return data


def _signed(
    client: httpx.Client,
    method: str,
    token: dict[str, str],
    query: dict[str, str],
    body: bytes = b"",
    *,
    region: str = "cn-north-1",
    secret: str = "",
) -> httpx.Response:
    """A request as clients sign it: without the host, the query's values as they are."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    headers = {"x-amz-date": stamp, "x-amz-security-token": token["session_token"]}
    content_hash = hashlib.sha256(body).hexdigest()
    if body:
        headers["x-amz-content-sha256"] = content_hash
    names = ";".join(sorted(headers))
    lines = [f"{name}:{headers[name]}" for name in sorted(headers)]
    canonical = "\n".join([method, "/", urlencode(sorted(query.items())), *lines, "", names, content_hash])
    scope = f"{stamp[:8]}/{region}/imagex/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{secret or token['secret_access_key']}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={token['access_key_id']}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    headers |= {"Cookie": "", "Sec-Fetch-Site": "cross-site"}
    return client.request(method, "/", params=query, content=body, headers=headers)


def _apply(client: httpx.Client, token: dict[str, str], size: int, **options: str) -> httpx.Response:
    query = {
        "Action": "ApplyImageUpload",
        "Version": "2018-08-01",
        "ServiceId": token["service_id"],
        "FileSize": str(size),
        "s": "k3j9d0x1",
    }
    return _signed(client, "GET", token, query, **options)


def _commit(client: httpx.Client, token: dict[str, str], key: str, **options: str) -> httpx.Response:
    query = {"Action": "CommitImageUpload", "Version": "2018-08-01", "ServiceId": token["service_id"]}
    body = json.dumps({"SessionKey": key, "SuccessActionStatus": "200"}).encode()
    return _signed(client, "POST", token, query, body, **options)


def _store(client: httpx.Client, address: dict[str, Any], content: bytes, **headers: str) -> httpx.Response:
    info = address["StoreInfos"][0]
    url = f"https://{address['UploadHosts'][0]}/upload/v1/{info['StoreUri']}"
    given = {"Authorization": info["Auth"], "Content-CRC32": f"{zlib.crc32(content):x}", "Cookie": "", **headers}
    return client.post(url, content=content, headers=given)


def _upload(client: httpx.Client, content: bytes, region: str = "cn-north-1") -> str:
    token = _token(client)
    address = _apply(client, token, len(content), region=region).json()["Result"]["UploadAddress"]
    assert _store(client, address, content).json()["code"] == 2000
    result = _commit(client, token, address["SessionKey"], region=region).json()["Result"]
    uri: str = result["Results"][0]["Uri"]
    return uri


def _draft(ability: str, fields: dict[str, Any], component_id: object = "main") -> str:
    components = [
        {"type": "image_base_component", "id": 1, "abilities": {"generate": {}}},
        {"type": "image_base_component", "id": component_id, "parent_id": 1, "abilities": {ability: fields}},
    ]
    return json.dumps({"type": "draft", "main_component_id": component_id, "component_list": components})


def _generate(client: httpx.Client, draft: Any, submit_id: str = "") -> dict[str, Any]:
    body = {"extend": {}, "submit_id": submit_id or str(uuid.uuid4()), "draft_content": draft}
    answer = client.post(GENERATE, params={"aid": 513695, "region": "CN"}, json=body)
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json()
    return told


def _wait(client: httpx.Client, history_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        data = client.post(HISTORY, json={"history_ids": [history_id]}).json()["data"]
        record: dict[str, Any] = data[history_id]
        assert record["status"] == record["task"]["status"]
        assert record["status"] in (20, 30, 50)
        if record["status"] != 20:
            return record
        time.sleep(0.1)
    raise AssertionError("no end")


def _made(client: httpx.Client, draft: str) -> dict[str, Any]:
    """The large image of a draft's result."""
    begun = _generate(client, draft)
    assert begun["ret"] == "0", begun
    record = _wait(client, begun["data"]["aigc_data"]["history_record_id"])
    assert record["status"] == 50, record
    image: dict[str, Any] = record["item_list"][0]["image"]["large_images"][0]
    return image


def _picture(client: httpx.Client, url: str) -> np.ndarray:
    answer = client.get(url, headers={"Cookie": ""})
    assert answer.headers["content-type"] == "image/png"
    return cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)


def test_the_vectors_of_sign() -> None:
    assert {path: sign(path, SIGNED) for path in SIGNS} == SIGNS


def test_shapes_from_draft_to_result(client: httpx.Client) -> None:
    uri = _upload(client, png(24, 32))
    draft = _draft("super_resolution", {"init_image": {"image_uri": uri}, "resolution_type": "2k"})
    submit_id = str(uuid.uuid4())
    begun = _generate(client, draft, submit_id)
    assert (begun["ret"], begun["errmsg"]) == ("0", "success")
    assert begun["systime"].isdigit()
    assert isinstance(begun["logid"], str)
    made = begun["data"]["aigc_data"]
    job_id = made["history_record_id"]
    assert 0 < int(job_id) < 1 << 63
    assert (made["generate_type"], made["item_list"]) == (12, [])
    assert made["task"] == {"task_id": job_id, "submit_id": submit_id, "status": 20, "history_id": job_id}
    at_once = client.post(HISTORY, json={"submit_ids": [submit_id]}).json()["data"]
    assert at_once[submit_id]["history_record_id"] == job_id
    record = _wait(client, job_id)
    assert (record["total_image_count"], record["finished_image_count"], record["fail_code"]) == (1, 1, "")
    assert abs(record["task"]["finish_time"] - time.time()) < 60
    item = record["item_list"][0]
    image = item["image"]["large_images"][0]
    assert item["common_attr"]["id"].isdigit()
    assert item["common_attr"]["cover_url"].startswith("https://localhost")
    assert (image["width"], image["height"], image["format"]) == (2365, 1774, "png")
    assert _picture(client, image["image_url"]).shape == (1774, 2365, 3)


def test_the_same_submit_id_is_the_same_job(client: httpx.Client) -> None:
    uri = _upload(client, png(24, 32))
    submit_id = str(uuid.uuid4())
    drafts = [_draft(name, {"init_image": {"image_uri": uri}}) for name in ("cutout", "cutout", "super_resolution")]
    first, again, different = (_generate(client, draft, submit_id) for draft in drafts)
    ids = {told["data"]["aigc_data"]["history_record_id"] for told in (first, again)}
    assert len(ids) == 1
    assert (different["ret"], different["data"]["aigc_data"]) == ("1002", None)
    _wait(client, ids.pop())


def test_a_submit_id_is_no_idempotency_key(client: httpx.Client) -> None:
    submit_id = str(uuid.uuid4())
    body = {"feature": "segmentation", "input": {"img": base64.b64encode(png(24, 32)).decode()}}
    native = client.post("/v1/jobs", json=body, headers={"Idempotency-Key": f"dreamina/{submit_id}"})
    assert native.status_code == 202
    draft = _draft("cutout", {"init_image": {"image_uri": _upload(client, png(24, 32))}})
    assert _generate(client, draft, submit_id)["ret"] == "0"


def test_cutout_is_a_transparent_png_and_a_result_is_an_input(client: httpx.Client) -> None:
    uri = _upload(client, png(48, 64))
    cut = _made(client, _draft("cutout", {"init_image": {"image_uri": uri}}, 77))
    assert _picture(client, cut["image_url"]).shape == (48, 64, 4)
    assert (cut["width"], cut["height"]) == (64, 48)
    again = _made(client, _draft("cutout", {"init_image": {"image_uri": cut["image_uri"]}}))
    assert (again["width"], again["height"]) == (64, 48)
    assert again["image_uri"] != cut["image_uri"]


def test_where_an_input_may_be_named(client: httpx.Client) -> None:
    uri = _upload(client, png(48, 64))
    first = _made(client, _draft("cutout", {"init_image": {"image_uri": uri}}))
    item = first["image_uri"].rpartition("/")[2]
    places: list[dict[str, Any]] = [
        {"postedit_param": {"origin_image": {"image_uri": uri}, "generate_type": 35}},
        {"postedit_param": {"item_id": uri}},
        {"postedit_param": {"item_id": int(item), "origin_history_id": int(item)}},
        {"item_id": item, "origin_history_id": item},
    ]
    for fields in places:
        assert _made(client, _draft("cutout", fields))["width"] == 64


@pytest.mark.parametrize(
    ("ability", "fields", "edge"),
    [
        ("normal_hd", {}, 2048),
        ("pro_hd", {"resolution_type": "2k"}, 2048),
        ("super_resolution", {"core_param": {"large_image_info": {"resolution_type": "2k", "width": 9}}}, 2048),
        ("pro_hd", {"resolution_type": "4k"}, 4096),
    ],
)
def test_abilities_and_targets(client: httpx.Client, ability: str, fields: dict[str, Any], edge: int) -> None:
    uri = _upload(client, png(16, 16))
    image = _made(client, _draft(ability, {**fields, "postedit_param": {"origin_image": {"image_uri": uri}}}))
    assert (image["width"], image["height"]) == (edge, edge)


def test_what_a_draft_cannot_ask_for(client: httpx.Client) -> None:
    wrong = [
        {"main_component_id": "a"},
        "not JSON",
        _draft("blend", {}),
        _draft("super_resolution", {}),
        _draft("super_resolution", {"init_image": {"image_uri": "x"}, "resolution_type": "8k"}),
        _draft("super_resolution", {"init_image": {"image_uri": "tos-cn-i-tb4s082cfz/0123abc"}}),
        json.dumps({"main_component_id": "a", "component_list": []}),
        json.dumps([]),
    ]
    for draft in wrong:
        told = _generate(client, draft)
        assert told["ret"] == "1002", told
        assert told["data"] == {"aigc_data": None, "fail_code": "1002", "fail_starling_message": told["errmsg"]}
    assert "super_resolution" in _generate(client, _draft("blend", {}))["errmsg"]
    for path, body in (
        (GENERATE, b"{"),
        (GENERATE, b" " * 1_000_001),
        (HISTORY, json.dumps({"history_ids": [1] * 101})),
        (HISTORY, json.dumps({"submit_ids": ["\ud800"]})),
        (GENERATE, json.dumps({"submit_id": "\ud800"})),
    ):
        answer = client.post(path, content=body)
        assert (answer.status_code, answer.json()["ret"]) == (200, "1002")


def test_a_job_that_fails(client: httpx.Client) -> None:
    truncated = png(48, 64)[:200]
    begun = _generate(client, _draft("cutout", {"init_image": {"image_uri": _upload(client, truncated)}}))
    record = _wait(client, begun["data"]["aigc_data"]["history_record_id"])
    assert (record["status"], record["fail_code"], record["item_list"]) == (30, "1002", []), record
    assert record["fail_starling_message"]


@pytest.mark.parametrize("region", ["cn-north-1", "us-east-1", "ap-southeast-1"])
def test_shapes_of_an_upload(client: httpx.Client, site: Site, region: str) -> None:
    token = _token(client)
    assert set(token) >= {"access_key_id", "secret_access_key", "session_token", "service_id", "space_name"}
    assert token["upload_domain"] == urlsplit(site.gateway.url).netloc
    assert re.fullmatch(r"[A-Za-z0-9_.~-]+", token["service_id"])
    content = png(24, 32)
    applied = _apply(client, token, len(content), region=region).json()
    address = applied["Result"]["UploadAddress"]
    assert "Error" not in applied["ResponseMetadata"]
    crc = f"{zlib.crc32(content):X}".rjust(10, "0")
    stored = _store(client, address, content, **{"Content-CRC32": crc})
    assert (stored.status_code, stored.json()["code"]) == (200, 2000)
    result = _commit(client, token, address["SessionKey"], region=region).json()["Result"]
    assert result["Results"] == [{"Uri": address["StoreInfos"][0]["StoreUri"], "UriStatus": 2000}]
    plugin = result["PluginResult"][0]
    assert (plugin["ImageWidth"], plugin["ImageHeight"], plugin["ImageFormat"]) == (32, 24, "png")


def test_a_signature_may_cover_the_host(client: httpx.Client, site: Site) -> None:
    token = _token(client)
    credentials = Credentials(token["access_key_id"], token["secret_access_key"], token["session_token"])
    url = f"{site.gateway.url}/?Action=ApplyImageUpload&FileSize=9&ServiceId=tb4s082cfz&Version=2018-08-01"
    request = AWSRequest("GET", url)
    SigV4Auth(credentials, "imagex", "us-east-1").add_auth(request)
    assert "SignedHeaders=host;" in request.headers["Authorization"]
    assert client.get(url, headers=dict(request.headers)).status_code == 200
    stale = dict(request.headers) | {"X-Amz-Date": "20260101T000000Z"}
    assert client.get(url, headers=stale).status_code == 401


def test_without_an_action_the_root_is_not_this_dialects(client: httpx.Client) -> None:
    for answer in (client.get("/"), client.get("/", params={"action": "ApplyImageUpload"})):
        assert "ResponseMetadata" not in answer.text


def test_what_does_not_fit_is_not_stored(client: httpx.Client, other: httpx.Client) -> None:
    token, content = _token(client), png(24, 32)
    unsigned = [
        _apply(client, token, 9, secret="wrong"),
        _apply(client, token, 9, region="mars-1"),
        _apply(client, {**token, "session_token": token["session_token"][:-2]}, 9),
        _apply(client, {**token, "access_key_id": "PST0"}, 9),
        client.get("/", params={"Action": "ApplyImageUpload"}),
        client.post("/", params={"Action": "CommitImageUpload"}, json={}),
    ]
    for answer in unsigned:
        assert answer.status_code == 401
        assert set(answer.json()["ResponseMetadata"]["Error"]) == {"Code", "Message"}
    assert client.get("/", params={"Action": "DeleteImage"}).status_code == 400
    address = _apply(client, token, len(content)).json()["Result"]["UploadAddress"]
    foreign = _apply(client, token, len(content)).json()["Result"]["UploadAddress"]["StoreInfos"][0]["Auth"]
    refused = [
        _store(client, address, content, **{"Content-CRC32": "0"}),
        _store(client, address, content, **{"Content-CRC32": "none"}),
        _store(client, address, content, Authorization="nothing"),
        _store(client, address, content, Authorization=foreign),
        _store(client, address, content, Authorization=address["SessionKey"]),
        _store(client, address, b"no picture"),
    ]
    assert [answer.status_code for answer in refused] == [400, 400, 401, 401, 401, 400]
    assert all(answer.json()["code"] != 2000 for answer in refused)
    uncommitted = _commit(client, token, address["SessionKey"])
    assert (uncommitted.status_code, uncommitted.json()["ResponseMetadata"]["Error"]["Code"]) == (404, "NotFound")
    draft = _draft("cutout", {"init_image": {"image_uri": address["StoreInfos"][0]["StoreUri"]}})
    assert _generate(client, draft)["ret"] == "1002"
    assert _store(client, address, content).status_code == 200
    assert _commit(other, _token(other), address["SessionKey"]).status_code == 401


def test_other_tenants_see_nothing(client: httpx.Client, other: httpx.Client) -> None:
    uri = _upload(client, png(24, 32))
    draft = _draft("cutout", {"init_image": {"image_uri": uri}})
    submit_id = str(uuid.uuid4())
    job_id = _generate(client, draft, submit_id)["data"]["aigc_data"]["history_record_id"]
    _wait(client, job_id)
    asked = {"history_ids": [job_id, "1", "x"], "submit_ids": [submit_id]}
    assert set(client.post(HISTORY, json=asked).json()["data"]) == {job_id, submit_id}
    assert other.post(HISTORY, json=asked).json()["data"] == {}
    assert _generate(other, draft)["ret"] == "1002"
    assert _generate(other, _draft("cutout", {"item_id": job_id}))["ret"] == "1002"


def test_login_scope_and_rate(site: Site) -> None:
    paths = (GENERATE, HISTORY, "/mweb/v1/get_upload_token", "/commerce/v1/benefits/user_credit")
    body = {"draft_content": _draft("cutout", {"init_image": {"image_uri": "1"}})}
    for key in ("", "ps_wrong"):
        with _client(site, key) as nobody:
            answers = [nobody.post(path, json=body) for path in paths]
        assert [(answer.status_code, answer.json()["ret"]) for answer in answers] == [(200, "1015")] * len(paths)
    with _client(site, "") as nobody:
        assert nobody.post(GENERATE, json={"draft_content": {}}).json()["ret"] == "1015"
    with _client(site, "") as bearer:
        answer = bearer.post(HISTORY, json={}, headers={"Authorization": f"Bearer {site.key}"})
        assert answer.json()["ret"] == "0"
    with _client(site, site.scoped_key) as scoped:
        assert scoped.post(GENERATE, json=body).json()["ret"] == "1015"
    with _client(site, site.slow_key) as slow:
        assert [slow.post(HISTORY, json={}).json()["ret"] for _ in range(2)] == ["0", "1010"]


def test_side_calls_and_unknown_paths(client: httpx.Client) -> None:
    credit = client.post("/commerce/v1/benefits/user_credit", json={}).json()["data"]["credit"]
    assert sum(credit[name] for name in ("gift_credit", "purchase_credit", "vip_credit")) > 0
    received = client.post("/commerce/v1/benefits/credit_receive", json={"time_zone": "Asia/Shanghai"}).json()
    assert received["data"]["receive_quota"] == 0
    assert client.post("/mweb/v1/algo_proxy", json={}).json()["data"] == {}
    account = client.post("/passport/account/info/v2", json={}).json()["data"]
    assert 0 < int(account["user_id"]) < 1 << 63
    assert account["data"] == {"user_id": account["user_id"]}
    for method, path in (("GET", "/mweb/v1/unknown"), ("PUT", GENERATE), ("POST", "/commerce/x"), ("GET", "/mweb/seg")):
        answer = client.request(method, path)
        assert (answer.status_code, answer.json()["ret"]) == (200, "1002")


def test_a_sign_that_does_not_fit_is_logged(client: httpx.Client, site: Site) -> None:
    for given in ("0" * 32, "é".encode()):
        answer = client.post(HISTORY, json={}, headers=[*SIGNED.items(), ("sign", given)])
        assert answer.json()["ret"] == "0"
    assert site.gateway.log_text().count("sign does not fit") == 2


def test_a_gateway_may_insist_on_sign(features_runtime: LocalRuntime, tmp_path: Path) -> None:
    environment = {
        "PIXELSERVE_GATEWAY_STATE": str(tmp_path),
        "PIXELSERVE_GATEWAY_RUNTIME": features_runtime.url,
        "PIXELSERVE_GATEWAY_STRICT_SIGN": "true",
    }
    with gateway_running(tmp_path, environment) as gateway:
        headers = {**SIGNED, "sign": SIGNS[HISTORY]}
        rets = [
            httpx.post(f"{gateway.url}{path}", json={}, headers=headers, trust_env=False).json()["ret"]
            for path in (HISTORY, "/mweb/v1/get_upload_token")
        ]
        assert rets == ["0", "1014"]


def test_a_picture_that_no_endpoint_could_answer_is_a_jpeg(features_runtime: LocalRuntime, tmp_path: Path) -> None:
    environment = {
        "PIXELSERVE_GATEWAY_STATE": str(tmp_path),
        "PIXELSERVE_GATEWAY_RUNTIME": features_runtime.url,
        "PIXELSERVE_GATEWAY_MAX_ANSWER_BYTES": "1000000",
    }
    with (
        gateway_running(tmp_path, environment) as gateway,
        httpx.Client(base_url=gateway.url, trust_env=False, timeout=60) as client,
    ):
        upload = client.post("/v1/uploads").json()
        client.post(upload["url"], content=png(16, 16)).raise_for_status()
        image = _made(client, _draft("pro_hd", {"init_image": {"image_uri": upload["id"]}}))
        assert (image["format"], image["width"]) == ("jpeg", 2048)
        assert client.get(image["image_url"]).headers["content-type"] == "image/jpeg"
        too_large = _draft("pro_hd", {"init_image": {"image_uri": upload["id"]}, "resolution_type": "4k"})
        assert _generate(client, too_large)["ret"] == "1002"


def test_clients_that_imitate_a_page_are_let_in_and_pages_are_not(gateway: Gateway) -> None:
    vendor = {"Origin": "https://jimeng.jianying.com", "Sec-Fetch-Site": "same-origin"}
    session = {"Cookie": "_tea_web_id=1; sessionid=any"}
    cases = [
        ({**vendor, **session}, "0"),
        ({**vendor}, "1015"),
        ({**vendor, **session, "Sec-Fetch-Site": "cross-site"}, "1015"),
        ({**vendor, **session, "Host": "rebound.example.com"}, "1015"),
    ]
    for headers, ret in cases:
        answer = httpx.post(f"{gateway.url}{HISTORY}", json={}, headers=headers, trust_env=False)
        assert (answer.status_code, answer.json()["ret"]) == (200, ret), headers
    for method, path in (("GET", "/?Action=ApplyImageUpload"), ("POST", "/upload/v1/tos-cn-i-pixelserve/1")):
        foreign = {"Origin": "https://jimeng.jianying.com", "Sec-Fetch-Site": "cross-site"}
        answer = httpx.request(method, f"{gateway.url}{path}", headers=foreign, trust_env=False)
        assert answer.status_code == 401
    native = httpx.get(f"{gateway.url}/v1/jobs", headers={**vendor, **session}, trust_env=False)
    assert native.status_code == 403


def test_the_authority_is_kept_and_nobody_else_reads_its_key(site: Site, client: httpx.Client) -> None:
    assert site.gateway.authority is not None
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in site.gateway.authority.parent.iterdir()}
    assert modes == {"authority.pem": 0o644, "authority-with-key.pem": 0o600, "server.pem": 0o600}
    assert client.get("/health").status_code == 200
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{site.gateway.url}/health", trust_env=False)


SEED_RUN = """
print(json.dumps(super_resolution(*__import__("sys").argv[1:])))
"""


def test_the_documents_python(site: Site, client: httpx.Client, tmp_path: Path) -> None:
    found = sorted(SEEDS.glob("004_*.txt"))
    if not found:
        pytest.skip("the documents are not here: their sample cannot be run")
    [sample] = re.findall(r"```python\n(.*?)```", found[0].read_text(), re.DOTALL)
    table = {'f"https://jimeng.jianying.com{uri}"': f'f"{site.gateway.url}{{uri}}"'}
    for old, new in table.items():
        assert old in sample, f"{old} is not in the sample"
        sample = sample.replace(old, new)
    file = tmp_path / "sample.py"
    file.write_text(sample + SEED_RUN)
    environment = {**os.environ, "REQUESTS_CA_BUNDLE": str(site.gateway.authority), "NO_PROXY": "localhost"}
    command = [sys.executable, "-W", "ignore", file, site.key, _upload(client, png(24, 32)), "2k"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    answer = json.loads(ran.stdout)
    assert answer["ret"] == "0"
    record = _wait(client, answer["data"]["aigc_data"]["task"]["history_id"])
    assert record["item_list"][0]["image"]["large_images"][0]["width"] == 2365
