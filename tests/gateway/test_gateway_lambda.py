"""The gateway's settings on AWS Lambda, and who calls it there. tests/images runs the image, in AWS's emulator.

Events are shaped as AWS documents them: API Gateway's payload formats 1.0 and 2.0, which function URLs have too.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from pixelserve.settings import SettingsError
from pixelserve_gateway.aws_lambda import LARGEST_ANSWER, read_settings
from pixelserve_gateway.jobs import ApiKeys, DynamoDBStore, access_key_id, secret_access_key

KEPT = {"PIXELSERVE_GATEWAY_TABLE": "jobs", "PIXELSERVE_GATEWAY_RESULTS": "s3://bucket/results"}


def test_callers_are_asked_for_keys_unless_the_settings_say_otherwise() -> None:
    assert read_settings(KEPT).authorization == "keys"
    assert read_settings(KEPT | {"PIXELSERVE_GATEWAY_AUTHORIZATION": "iam"}).authorization == "iam"


def test_an_answer_fits_lambda_in_base64() -> None:
    assert read_settings(KEPT).max_answer_bytes == LARGEST_ANSWER
    assert LARGEST_ANSWER * 4 / 3 < 6 * 1024 * 1024
    assert read_settings(KEPT | {"PIXELSERVE_GATEWAY_MAX_ANSWER_BYTES": "1000"}).max_answer_bytes == 1000


@pytest.mark.parametrize("left", KEPT)
def test_nothing_is_kept_on_the_functions_disk(left: str) -> None:
    with pytest.raises(SettingsError, match=r"DynamoDB table .* s3://"):
        read_settings({name: value for name, value in KEPT.items() if name != left})


HOST = "abc123.lambda-url.us-east-1.on.aws"
ARN = "arn:aws:iam::111122223333:user/alice"
HANDLE = """
import json, sys
from pixelserve_gateway.aws_lambda import handler
events, answers = sys.argv[1:]
with open(events) as file, open(answers, "w") as written:
    json.dump([handler(event, None) for event in json.load(file)], written)
"""


def http_event(method: str, target: str, body: bytes = b"", headers: Any = None, authorizer: Any = None) -> Any:
    """Payload format 2.0."""
    parts = urlsplit(target)
    context: dict[str, Any] = {"http": {"method": method, "path": parts.path, "sourceIp": "192.0.2.1"}}
    return {
        "version": "2.0",
        "rawPath": parts.path,
        "rawQueryString": parts.query,
        "headers": {"host": HOST, **{name.lower(): value for name, value in (headers or {}).items()}},
        "requestContext": context | ({} if authorizer is None else {"authorizer": authorizer}),
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


def rest_event(method: str, target: str, body: bytes = b"", headers: Any = None, identity: Any = None) -> Any:
    """Payload format 1.0."""
    parts = urlsplit(target)
    given = {"Host": HOST, **(headers or {})}
    return {
        "version": "1.0",
        "resource": "/{proxy+}",
        "httpMethod": method,
        "path": parts.path,
        "headers": given,
        "multiValueHeaders": {name: [value] for name, value in given.items()},
        "multiValueQueryStringParameters": parse_qs(parts.query) or None,
        "requestContext": {"identity": identity or {"sourceIp": "192.0.2.1", "userArn": None}},
        "body": body.decode() or None,
        "isBase64Encoded": False,
    }


@pytest.fixture
def function(dynamodb_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[DynamoDBStore, Any]:
    """The function's store, and what answers events in a process of its own: statuses and JSON."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", dynamodb_url)
    table = f"jobs-{uuid.uuid4().hex}"
    store = DynamoDBStore(table)
    store.create_table()

    def answer(authorization: str, *events: Any) -> list[tuple[int, Any]]:
        given, answered = tmp_path / "events.json", tmp_path / "answers.json"
        given.write_text(json.dumps(events))
        environment = {
            **os.environ,
            "PIXELSERVE_GATEWAY_TABLE": table,
            "PIXELSERVE_GATEWAY_RESULTS": "s3://bucket/results",
            "PIXELSERVE_GATEWAY_RUNTIME": "http://127.0.0.1:9",
            "PIXELSERVE_GATEWAY_AUTHORIZATION": authorization,
        }
        command = [sys.executable, "-c", HANDLE, str(given), str(answered)]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
        assert ran.returncode == 0, ran.stderr + ran.stdout
        return [(answer["statusCode"], json.loads(answer["body"])) for answer in json.loads(answered.read_text())]

    return store, answer


def test_a_signed_request_comes_as_an_event(function: tuple[DynamoDBStore, Any]) -> None:
    store, answer = function
    _, key = ApiKeys(store).make("alice", (), time.time())
    name = access_key_id(key)

    def signed(method: str, target: str, body: bytes = b"") -> dict[str, str]:
        request = AWSRequest(method, f"https://{HOST}{target}", data=body, headers={"Content-Type": "application/json"})
        SigV4Auth(Credentials(name, secret_access_key(store, name)), "lambda", "us-east-1").add_auth(request)
        return dict(request.headers)

    jobs, wanted = "/v1/jobs", b'{"feature": "colour", "input": {}}'
    listed = f"{jobs}?limit=5&state=queued&state=running&cursor=12%2034"
    events = [
        event(method, target, body, signed(method, target, body))
        for event in (http_event, rest_event)
        for method, target, body in (("GET", jobs, b""), ("GET", listed, b""), ("POST", jobs, wanted))
    ]
    staged = "/my%20stage/image_similarity"
    events.append(http_event("POST", staged, b'{"img": "aGk="}', signed("POST", staged, b'{"img": "aGk="}')))
    events.append(http_event("POST", jobs, wanted + b" ", signed("POST", jobs, wanted)))
    events.append(http_event("GET", f"{jobs}?limit=6", b"", signed("GET", f"{jobs}?limit=5")))
    statuses = [status for status, _ in answer("keys", *events)]
    assert statuses == [*(200, 400, 404) * 2, 503, 401, 401]  # 400: the cursor, 404: the feature, 503: the endpoint


def test_callers_whom_iam_knows_come_as_events(function: tuple[DynamoDBStore, Any]) -> None:
    _, answer = function
    iam = {"accessKey": "AKIA", "accountId": "111122223333", "callerId": "AIDA", "userArn": ARN, "userId": "AIDA"}
    path = "/v1/jobs"
    known = [
        http_event("GET", path, authorizer={"iam": iam}),
        rest_event("GET", path, identity={"userArn": ARN, "sourceIp": "192.0.2.1"}),
    ]
    unknown = [
        http_event("GET", path),
        http_event("GET", path, authorizer={"iam": None}),
        http_event("GET", path, authorizer={"jwt": {"claims": {"userArn": ARN}}}),
        http_event("GET", path, headers={"userArn": ARN}),
        rest_event("GET", path),
        rest_event("GET", path) | {"requestContext": {"authorizer": {"iam": iam}}},  # a function's own words
    ]
    assert [status for status, _ in answer("iam", *known, *unknown)] == [200] * 2 + [401] * 6
