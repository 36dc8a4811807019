"""Who may call: keys of the command line, key pairs for Signature Version 4, scopes, limits, tenants."""

from __future__ import annotations

import base64
import contextlib
import datetime
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from gateway_servers import Gateway, gateway_running, png

from pixelserve.local import LocalRuntime
from pixelserve_gateway import GatewaySettings
from pixelserve_gateway.auth import KEYS, NONE, mode_of
from pixelserve_gateway.jobs import ApiKeys, SQLiteStore

PATH = "/v1/similarity"
BODY = b'{"img": "' + base64.b64encode(png(24, 32)) + b'"}'


@dataclass
class Guarded:
    """A gateway that asks for keys, and the folder of its state."""

    gateway: Gateway
    state: Path

    def keys(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pixelserve_deploy", "keys", *words, "--state", str(self.state)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def make(self, *words: str) -> tuple[str, str]:
        """A new key, and what was said of it."""
        made = self.keys("make", *words)
        assert made.returncode == 0, made.stderr
        return made.stdout.strip(), made.stderr

    def call(self, path: str = PATH, **headers: str) -> httpx.Response:
        headers = {"Content-Type": "application/json", **{n.replace("_", "-"): v for n, v in headers.items()}}
        return httpx.post(self.gateway.url + path, content=BODY, headers=headers, trust_env=False, timeout=60)

    def get(self, path: str, key: str) -> httpx.Response:
        return httpx.get(self.gateway.url + path, headers={"x-api-key": key}, trust_env=False, timeout=60)


@pytest.fixture(scope="module")
def guarded(features_runtime: LocalRuntime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    state = tmp_path_factory.mktemp("guarded")
    environment = {
        "PIXELSERVE_GATEWAY_RUNTIME": features_runtime.url,
        "PIXELSERVE_GATEWAY_STATE": str(state),
        "PIXELSERVE_GATEWAY_AUTHORIZATION": "keys",
        "PIXELSERVE_GATEWAY_CORS_ORIGINS": "https://example.com,https://two.example",
    }
    with gateway_running(tmp_path_factory.mktemp("log"), environment) as gateway:
        yield Guarded(gateway, state)


@pytest.fixture(scope="module")
def told(guarded: Guarded) -> str:
    """What the command says of a key: its key pair."""
    return guarded.make("grace")[1]


def test_a_key_opens_as_bearer_as_x_api_key_and_as_a_cookie(guarded: Guarded) -> None:
    key, _ = guarded.make("alice")
    for headers in ({"Authorization": f"Bearer {key}"}, {"x_api_key": key}, {"Cookie": f"sessionid={key}"}):
        assert guarded.call(**headers).status_code == 200
    assert key not in guarded.gateway.log_text()
    assert not any(key.encode() in path.read_bytes() for path in guarded.state.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", [PATH, "/image_similarity", "/v1/jobs", "/v1/uploads"])
def test_without_a_key_nothing_opens(path: str, guarded: Guarded) -> None:
    for headers in ({}, {"x_api_key": "ps_guess"}, {"Authorization": "Basic YTpi"}):
        answer = guarded.call(path, **headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")
        assert "Send an API key" in answer.text or "not known here" in answer.text


def test_a_preflight_needs_no_key(guarded: Guarded) -> None:
    answer = httpx.options(guarded.gateway.url + PATH, headers={"Origin": "https://example.com"}, trust_env=False)
    assert answer.status_code == 204
    assert "Authorization" in answer.headers["access-control-allow-headers"]


@pytest.mark.parametrize("method", ["OPTIONS", "POST"])
@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://example.com", "https://example.com"),
        ("https://two.example", "https://two.example"),
        ("https://example.com.evil.example", None),
        ("http://example.com", None),
        ("null", None),
    ],
)
def test_pages_of_named_origins_may_read_answers(
    method: str, origin: str, allowed: str | None, guarded: Guarded
) -> None:
    """WHATWG Fetch, 3.3.5: one origin is echoed, and caches are told that the answer depends on it."""
    answer = httpx.request(method, guarded.gateway.url + PATH, headers={"Origin": origin}, trust_env=False)
    assert answer.headers.get("access-control-allow-origin") == allowed
    assert answer.headers["vary"] == "Origin"


def test_a_revoked_key_opens_nothing(guarded: Guarded) -> None:
    key, told = guarded.make("bob")
    key_id = told.split()[1]
    assert guarded.call(x_api_key=key).status_code == 200
    assert guarded.keys("revoke", key_id).returncode == 0
    assert guarded.call(x_api_key=key).status_code == 401
    listed = guarded.keys("list").stdout
    assert key_id in listed
    assert key not in listed


def test_a_key_is_for_its_features(guarded: Guarded) -> None:
    key, _ = guarded.make("carol", "--feature", "segmentation")
    answer = guarded.call(x_api_key=key)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    assert guarded.call("/v1/segmentation", x_api_key=key).status_code == 200


def test_a_key_has_a_rate_limit(guarded: Guarded) -> None:
    key, _ = guarded.make("dave", "--per-second", "0.01", "--burst", "2")
    answers = [guarded.call(x_api_key=key) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 90 <= int(answers[2].headers["retry-after"]) <= 100


def test_tenants_do_not_see_each_others_jobs(guarded: Guarded) -> None:
    with contextlib.closing(SQLiteStore(guarded.state / "jobs.sqlite")) as store:
        mine, theirs, second = (ApiKeys(store).make(tenant, (), time.time())[0] for tenant in ("erin", "frank", "erin"))
    body = {"feature": "similarity", "input": {"img": base64.b64encode(png(24, 32)).decode()}}
    url = f"{guarded.gateway.url}/v1/jobs"
    job = httpx.post(url, json=body, headers={"x-api-key": mine}, trust_env=False).json()
    assert guarded.get(f"/v1/jobs/{job['id']}", mine).status_code == 200
    assert guarded.get(f"/v1/jobs/{job['id']}", theirs).status_code == 404
    assert guarded.get("/v1/jobs", theirs).json()["jobs"] == []
    for method, path in (("POST", f"/v1/jobs/{job['id']}/cancel"), ("DELETE", f"/v1/jobs/{job['id']}")):
        answer = httpx.request(method, guarded.gateway.url + path, headers={"x-api-key": theirs}, trust_env=False)
        assert answer.status_code == 404
    assert guarded.get(f"/v1/jobs/{job['id']}", second).status_code == 200


def _signed(
    guarded: Guarded, told: str, at: datetime.datetime | None = None, body: bytes = BODY, path: str = PATH
) -> dict[str, str]:
    """The headers that botocore signs a call with."""
    words = dict(word.split("=", 1) for word in told.split() if word.startswith("AWS_"))
    credentials = Credentials(words["AWS_ACCESS_KEY_ID"], words["AWS_SECRET_ACCESS_KEY"])
    request = AWSRequest("POST", guarded.gateway.url + path, data=body, headers={"Content-Type": "application/json"})
    with pytest.MonkeyPatch.context() as patch:
        if at is not None:
            patch.setattr("botocore.auth.get_current_datetime", lambda: at)
        SigV4Auth(credentials, "execute-api", "us-east-1").add_auth(request)
    return dict(request.headers)


def test_a_signature_opens_what_its_key_opens(guarded: Guarded, told: str) -> None:
    for path in (PATH, "/my%20stage/image_similarity", f"{PATH}?normalize=true&b=%2F&a="):
        answer = guarded.call(path, **_signed(guarded, told, path=path))
        assert answer.status_code == (400 if "?" in path else 200), answer.text  # 400: JSON takes no query


@pytest.mark.parametrize(
    "names", [";".join(["x-long"] * 2000), "host;x-nowhere", ";".join(f"x-{n}" for n in range(51))]
)
def test_what_a_signature_covers_is_no_more_than_the_head(names: str, guarded: Guarded, told: str) -> None:
    """A header of 30 kB, named 2,000 times, would be 60 MB, three times over."""
    headers = _signed(guarded, told)
    headers["Authorization"] = re.sub("SignedHeaders=[^,]+", f"SignedHeaders={names}", headers["Authorization"])
    answer = guarded.call(**headers, x_long="x" * 30_000, **{f"x_{n}": "1" for n in range(51)})
    assert answer.status_code == 401
    assert "SignedHeaders must name headers of the request" in answer.text


def test_a_signature_of_something_else_opens_nothing(guarded: Guarded, told: str) -> None:
    other = guarded.call(**_signed(guarded, told, body=b"{}"))
    assert other.status_code == 401
    moved = guarded.call(f"{PATH}/", **_signed(guarded, told))
    assert moved.status_code == 401
    wrong = told.replace("AWS_SECRET_ACCESS_KEY=", "AWS_SECRET_ACCESS_KEY=x")
    assert guarded.call(**_signed(guarded, wrong)).status_code == 401
    unknown = told.replace("AWS_ACCESS_KEY_ID=PS", "AWS_ACCESS_KEY_ID=XX")
    assert guarded.call(**_signed(guarded, unknown)).status_code == 401


def test_an_old_signature_opens_nothing(guarded: Guarded, told: str) -> None:
    old = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=16)
    answer = guarded.call(**_signed(guarded, told, at=old))
    assert (answer.status_code, "Set the clock" in answer.text) == (401, True)


@pytest.mark.parametrize(
    ("host", "told", "mode"),
    [("127.0.0.1", "", NONE), ("0.0.0.0", "", KEYS), ("0.0.0.0", "none", NONE), ("::1", "", NONE)],
)
def test_nobody_is_asked_only_on_a_loopback_address_or_when_told(host: str, told: str, mode: str) -> None:
    given = {"PIXELSERVE_GATEWAY_HOST": host, "PIXELSERVE_GATEWAY_AUTHORIZATION": told}
    assert mode_of(GatewaySettings.from_env(given)) == mode


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("make",), "make takes a tenant"),
        (("list", "alice"), "list takes no name"),
        (("revoke", "nobody"), "There is no key 'nobody'"),
        (("make", "a", "--feature", "colour"), "There is no feature colour"),
        (("make", "a", "--burst", "3"), "--burst goes with --per-second"),
        (("make", "a", "--per-second", "0"), "--per-second is above 0"),
        (("list", "--feature", "similarity"), "go with make"),
    ],
)
def test_wrong_command_lines_are_one_line(words: tuple[str, ...], says: str, guarded: Guarded) -> None:
    run = guarded.keys(*words)
    assert run.returncode != 0
    assert says in run.stderr
    assert "Traceback" not in run.stderr
