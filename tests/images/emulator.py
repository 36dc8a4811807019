"""A function of an image under AWS's own runtime interface emulator, and calls of it."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import docker
import httpx
from servers import free_port, wait_for

INVOKE = "/2015-03-31/functions/function/invocations"


@contextlib.contextmanager
def emulated(
    client: docker.DockerClient,
    emulator: Path,
    image: str,
    command: list[str],
    environ: Mapping[str, str] | None = None,
) -> Iterator[httpx.Client]:
    """A function of the image, as Lambda runs it: by a user without rights, on a root that is read-only.

    It is on the host's network, so that it reaches what the test runs.
    """
    port, runtime_port = free_port(), free_port()
    addresses = ["--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
    addresses += ["--runtime-api-address", f"127.0.0.1:{runtime_port}"]
    container = client.containers.run(
        image,
        [*addresses, *command],
        entrypoint="/emulator/aws-lambda-rie",
        volumes={str(emulator.parent): {"bind": "/emulator", "mode": "ro"}},
        read_only=True,
        user="993:990",
        tmpfs={"/tmp": ""},
        environment={"AWS_LAMBDA_FUNCTION_TIMEOUT": "60", **(environ or {})},
        network_mode="host",
        detach=True,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=90, trust_env=False) as caller:
            wait_for(lambda: _listens(caller), what="the emulator")
            yield caller
    finally:
        container.remove(force=True)


def _listens(caller: httpx.Client) -> bool:
    try:
        caller.get("/")
    except httpx.TransportError:
        return False
    return True


def call(function: httpx.Client, event: object) -> Any:
    """What the function returns to the event."""
    return function.post(INVOKE, content=json.dumps(event)).json()


def http_event(body: bytes | None = None, method: str = "POST", path: str = "/", **headers: str) -> dict[str, Any]:
    """What a function URL sends."""
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {name.replace("_", "-"): value for name, value in headers.items()},
        "requestContext": {"http": {"method": method, "path": path, "sourceIp": "192.0.2.1"}},
        "body": None if body is None else base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }
