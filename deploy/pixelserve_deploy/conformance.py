"""The container contract of SageMaker against any image, whoever built it: what can be seen from outside.

The lines are those of docs/contract.md that need no handler of ours. Their sources are SageMaker's developer guide,
"Use your own inference code with hosting services" (`serve`, port 8080, /ping within 2 s, SIGTERM and 30 s) and "Batch
transform" (/execution-parameters), and the quotas of InvokeEndpoint (25 MB).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import docker
import httpx
from docker.errors import APIError

from pixelserve.processes import Stop
from pixelserve.wire import ATTRIBUTES
from pixelserve_deploy.handlers import Finding
from pixelserve_deploy.image import find_local, translate_errors

PORT, OTHER_PORT = 8080, 8099
STOP_SECONDS = 30
CALLS_AT_ONCE = 8
LARGEST = 25_000_000
"""Bytes of a real-time request at most, as of 2025."""
BIND_LABEL = "com.amazonaws.sagemaker.capabilities.accept-bind-to-port"
KILLED = 137
ROOM_TO_START = 20.0
"""Seconds more than twice the first start, for the second."""
LAST_LINES = 5


@dataclass(frozen=True)
class Trial:
    """What is run, and what it is sent: `body` with `headers`, where the caller has one."""

    image: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    model_dir: Path | None = None
    """Lies read-only at /opt/ml/model."""
    environment: Mapping[str, str] = field(default_factory=dict)
    start_seconds: float = 300.0
    ping_seconds: float = 2.0
    """The most that a /ping may take: SageMaker's own."""


def check_image(client: docker.DockerClient, trial: Trial, stop: Stop) -> Iterator[Finding]:
    """Yields what each line of the contract comes to. Raises ImageError for an image that is not here, and Stopped."""
    labels = find_local(client, trial.image).labels
    began = time.monotonic()
    with _create(client, trial, PORT) as container, _make_caller() as caller:
        yield (started := _start(container, caller, PORT, trial, stop))
        if started.kind != "ok":
            return
        took = time.monotonic() - began
        for check in NAMES:
            finding = stop.run_aside(lambda check=check: _guard(check, caller, trial))  # type: ignore[misc]
            yield finding
        yield stop.run_aside(lambda: _end(container))
    if labels.get(BIND_LABEL) != "true":
        yield Finding("note", "bind to port", f"no label {BIND_LABEL}=true: it cannot be one of several containers")
        return
    with _create(client, trial, OTHER_PORT) as container, _make_caller() as caller:
        again = replace(trial, start_seconds=ROOM_TO_START + 2 * took)
        moved = _start(container, caller, OTHER_PORT, again, stop)
        text = f"SAGEMAKER_BIND_TO_PORT={OTHER_PORT} moves it" if moved.kind == "ok" else moved.text
        yield Finding(moved.kind, "bind to port", text)


@contextlib.contextmanager
def _create(client: docker.DockerClient, trial: Trial, port: int) -> Iterator[Any]:
    """The container of `docker run IMAGE serve`, not started; it is gone in the end."""
    environment = dict(trial.environment)
    if port != PORT:
        environment["SAGEMAKER_BIND_TO_PORT"] = str(port)
    volumes = {str(trial.model_dir): {"bind": "/opt/ml/model", "mode": "ro"}} if trial.model_dir else {}
    with translate_errors(f"{trial.image} could not be run"):
        container = client.containers.create(
            trial.image, "serve", environment=environment, volumes=volumes, ports={f"{port}/tcp": ("127.0.0.1", None)}
        )
    try:
        yield container
    finally:
        container.remove(force=True)


def _make_caller() -> httpx.Client:
    return httpx.Client(timeout=60, trust_env=False)


def _start(container: Any, caller: httpx.Client, port: int, trial: Trial, stop: Stop) -> Finding:
    """Starts the container and points the caller at its port; whether it became healthy."""
    try:
        with translate_errors(f"{trial.image} could not be run", passing=APIError):
            container.start()
    except APIError as error:
        return Finding("problem", "serve", f"`docker run IMAGE serve` cannot start: {error.explanation}")
    container.reload()
    bound = (container.attrs["NetworkSettings"]["Ports"].get(f"{port}/tcp") or [{"HostPort": "0"}])[0]
    caller.base_url = httpx.URL(f"http://127.0.0.1:{bound['HostPort']}")
    return _wait_until_healthy(container, caller, trial, stop)


def _wait_until_healthy(container: Any, caller: httpx.Client, trial: Trial, stop: Stop) -> Finding:
    began = time.monotonic()
    seen = "nothing listens on its port"
    while time.monotonic() - began < trial.start_seconds:
        container.reload()
        if container.status == "exited":
            code = container.attrs["State"]["ExitCode"]
            return Finding(
                "problem", "serve", f"`docker run IMAGE serve` ended with exit code {code}: {_tail(container)}"
            )
        with contextlib.suppress(httpx.TransportError):
            answer = caller.get("/ping", timeout=trial.ping_seconds)
            if answer.status_code == 200:
                return Finding("ok", "serve", f"/ping is 200 after {time.monotonic() - began:.1f} s")
            seen = f"/ping is {answer.status_code}: {answer.text[:200]}"
        stop.wait(0.2)
        stop.check()
    return Finding("problem", "serve", f"/ping was not 200 in {trial.start_seconds:g} s: {seen}. {_tail(container)}")


def _tail(container: Any) -> str:
    lines = bytes(container.logs(tail=LAST_LINES)).decode(errors="replace").strip().splitlines()
    return "it wrote " + " | ".join(lines) if lines else "it wrote nothing"


def _guard(check: Any, caller: httpx.Client, trial: Trial) -> Finding:
    """The check's finding; a connection that breaks is a problem."""
    try:
        found: Finding = check(caller, trial)
    except httpx.TransportError as error:
        return Finding("problem", NAMES[check], f"no answer: {type(error).__name__} {error}".rstrip())
    return found


def _post(caller: httpx.Client, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
    return caller.post("/invocations", content=body, headers=dict(headers))


def _ping(caller: httpx.Client, trial: Trial) -> Finding:
    seconds = caller.get("/ping").elapsed.total_seconds()
    if seconds > trial.ping_seconds:
        return Finding("problem", "ping", f"took {seconds:.1f} s; SageMaker waits for {trial.ping_seconds:g} s")
    return Finding("ok", "ping", f"within {trial.ping_seconds:g} s")


def _invoke(caller: httpx.Client, trial: Trial) -> Finding:
    if trial.body is None:
        return Finding("unchecked", "invocations", "give --body FILE, a request that it should answer")
    answer = _post(caller, trial.body, trial.headers)
    said = f"{answer.status_code}, {answer.headers.get('content-type', 'no type')}, {len(answer.content):,} bytes"
    return Finding(
        "ok" if answer.is_success else "problem",
        "invocations",
        said if answer.is_success else f"{said}: {answer.text[:200]}",
    )


def _take_attributes(caller: httpx.Client, trial: Trial) -> Finding:
    headers = {**trial.headers, ATTRIBUTES: "trace=1", "X-Amzn-SageMaker-Unheard-Of": "1"}
    answer = _post(caller, trial.body or b"{}", headers)
    plain = _post(caller, trial.body or b"{}", trial.headers)
    if answer.status_code != plain.status_code:
        return Finding("problem", "attributes", f"custom attributes turn {plain.status_code} into {answer.status_code}")
    return Finding("ok", "attributes", "custom attributes and unknown headers do no harm")


def _refuse_empty(caller: httpx.Client, trial: Trial) -> Finding:
    return _judge_refusal("empty body", _post(caller, b"", trial.headers))


def _refuse_type(caller: httpx.Client, trial: Trial) -> Finding:
    return _judge_refusal(
        "unknown type", _post(caller, trial.body or b"x", {"Content-Type": "application/x-unheard-of"})
    )


def _judge_refusal(name: str, answer: httpx.Response) -> Finding:
    if 400 <= answer.status_code < 500:
        return Finding("ok", name, f"refused with {answer.status_code}")
    return Finding("note", name, f"answered {answer.status_code}; 4xx would tell callers that it is their request")


def _take_large(caller: httpx.Client, trial: Trial) -> Finding:
    answer = _post(caller, bytes(LARGEST), trial.headers)
    if answer.status_code == 413:
        return Finding("problem", "large body", f"{LARGEST / 1e6:g} MB are refused; SageMaker passes on so much")
    if answer.is_server_error:
        said = f"{LARGEST / 1e6:g} MB of zeros are answered {answer.status_code}"
        if _post(caller, bytes(1), trial.headers).status_code != answer.status_code:
            return Finding("problem", "large body", f"{said}, and one byte is not; SageMaker passes on so much")
        return Finding("note", "large body", f"{said}, as one byte is; 4xx would tell that they are read")
    return Finding("ok", "large body", f"{LARGEST / 1e6:g} MB are read: {answer.status_code}")


def _ping_when_busy(caller: httpx.Client, trial: Trial) -> Finding:
    with ThreadPoolExecutor(CALLS_AT_ONCE) as pool:
        calls = [pool.submit(_post, caller, trial.body or b"{}", trial.headers) for _ in range(CALLS_AT_ONCE)]
        try:
            status = caller.get("/ping", timeout=trial.ping_seconds).status_code
        except httpx.TimeoutException:
            said = f"no /ping in {trial.ping_seconds:g} s beside {CALLS_AT_ONCE} calls"
            return Finding("problem", "ping when busy", said)
        answers = [call.result().status_code for call in calls]
    if status != 200:
        return Finding("problem", "ping when busy", f"/ping is {status} beside {CALLS_AT_ONCE} calls")
    return Finding(
        "ok",
        "ping when busy",
        f"200 beside {CALLS_AT_ONCE} calls, which got {', '.join(map(str, sorted(set(answers))))}",
    )


def _refuse_route(caller: httpx.Client, _trial: Trial) -> Finding:
    status = caller.get("/no-such-route").status_code
    return Finding("ok" if status == 404 else "note", "unknown route", f"answered {status}")


def _tell_parameters(caller: httpx.Client, _trial: Trial) -> Finding:
    answer = caller.get("/execution-parameters")
    if answer.status_code == 404:
        return Finding("ok", "execution parameters", "404: batch transform uses its defaults")
    try:
        told = answer.json()
        known = {"MaxConcurrentTransforms", "BatchStrategy", "MaxPayloadInMB"} & told.keys()
    except (ValueError, AttributeError):
        known = set()
    if answer.is_success and known:
        return Finding("ok", "execution parameters", ", ".join(f"{name} {told[name]}" for name in sorted(known)))
    return Finding("problem", "execution parameters", f"{answer.status_code} without them: answer 404, or the JSON")


NAMES = {
    _ping: "ping",
    _invoke: "invocations",
    _take_attributes: "attributes",
    _refuse_empty: "empty body",
    _refuse_type: "unknown type",
    _take_large: "large body",
    _ping_when_busy: "ping when busy",
    _refuse_route: "unknown route",
    _tell_parameters: "execution parameters",
}
"""The checks of a healthy container, in their order."""


def _end(container: Any) -> Finding:
    """SIGTERM, and SIGKILL after the time that SageMaker gives."""
    began = time.monotonic()
    container.stop(timeout=STOP_SECONDS)
    code = int(container.wait(timeout=STOP_SECONDS)["StatusCode"])
    seconds = time.monotonic() - began
    if code == KILLED:
        return Finding("problem", "stop", f"SIGTERM did not end it in {STOP_SECONDS} s; SageMaker kills it then")
    kind = "ok" if code == 0 else "note"
    return Finding(kind, "stop", f"SIGTERM ended it in {seconds:.1f} s with exit code {code}")  # type: ignore[arg-type]
