"""The container images: size, seconds to build and to rebuild after a change of code, from `docker run` to healthy, and
what `docker stop` under load costs on either back end.

Needs a Docker Engine. torch comes from where a plain `pixelserve build` takes it, or from the page TORCH_FIND_LINKS
names, as with `--torch-find-links`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import docker
import httpx
import report

from pixelserve_deploy.image import Recipe, build, connect

ROOT = Path(__file__).parents[1]
SERVERS: dict[str, dict[str, Any]] = {"cpu": {}, "cpu + mms": {"mms": True}, "lambda": {"target": "lambda"}}
KINDS = SERVERS | {"gateway": {"target": "gateway"}}
BACK_ENDS = {"native": "cpu", "mms": "cpu + mms"}
SLEEPER = """
import time

def model_fn(model_dir):
    return None

def predict_fn(data, model):
    time.sleep(0.02)
    return data
"""
STARTS, STOPS, CALLERS = 5, 5, 8
COLUMNS = ("image", "gigabytes", "cold_s", "rebuild_s")


def recipe(kind: str, source: Path, cache: bool = True) -> Recipe:
    find_links = os.environ.get("TORCH_FIND_LINKS")
    arguments = {"TORCH_FIND_LINKS": find_links} if find_links else {}
    name = f"pixelserve-bench-{kind.replace(' + ', '-')}"
    return Recipe(source, name=name, network="host", arguments=arguments, cache=cache, **KINDS[kind])


def timed_build(client: docker.DockerClient, wanted: Recipe) -> tuple[str, float]:
    """The image's tag, and the seconds its build took."""
    started = time.perf_counter()
    tag = build(client, wanted, lambda line: None)
    return tag, time.perf_counter() - started


def builds(client: docker.DockerClient, kind: str) -> tuple[str, dict[str, Any]]:
    """A build of all steps, and one after a line was added to a module of the server."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".git", ".venv", "build", "*_cache"))
        tag, cold = timed_build(client, recipe(kind, source, cache=False))
        with (source / "container" / "pixelserve" / "serving" / "native" / "worker.py").open("a") as module:
            module.write(f"# changed at {time.time()}\n")
        tag, rebuilt = timed_build(client, recipe(kind, source))
    size = client.images.get(tag).attrs["Size"]
    return tag, {"image": kind, "gigabytes": round(size / 1e9, 3), "cold_s": round(cold, 1), "rebuild_s": rebuilt}


@contextlib.contextmanager
def running(client: docker.DockerClient, tag: str, port: int, **options: Any) -> Iterator[Any]:
    """A container on the engine's own network, and its URL."""
    container = client.containers.run(tag, detach=True, **options)
    try:
        container.reload()
        yield container, f"http://{container.attrs['NetworkSettings']['IPAddress']}:{port}"
    finally:
        container.remove(force=True)


def serving(client: docker.DockerClient, tag: str, back_end: str, model: Path | None = None) -> Any:
    """A container that serves the image's own feature, or the model."""
    mounted = {str(model): {"bind": "/opt/ml/model", "mode": "ro"}} if model else {}
    environment = {"PIXELSERVE_BACKEND": back_end}
    return running(client, tag, 8080, command="serve", environment=environment, volumes=mounted)


def wait_until_healthy(address: str) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with (
            contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError),
            urllib.request.urlopen(address, timeout=5),
        ):
            return
        time.sleep(0.01)
    raise AssertionError(f"{address} did not become healthy")


def seconds_to_healthy(container: Callable[[], Any], path: str) -> float:
    """From `docker run` to 200 for the path."""
    started = time.perf_counter()
    with container() as (_, url):
        wait_until_healthy(url + path)
        return time.perf_counter() - started


def stop_under_load(client: docker.DockerClient, tag: str, back_end: str, model: Path) -> dict[str, int]:
    """Requests answered and lost while `docker stop` ends a container that 8 callers keep busy, and its exit code."""
    outcomes: Counter[str] = Counter()
    with serving(client, tag, back_end, model) as (container, url):
        wait_until_healthy(f"{url}/ping")
        while not _answers(url):
            time.sleep(0.05)
        callers = [threading.Thread(target=_call_until_refused, args=(url, outcomes)) for _ in range(CALLERS)]
        for caller in callers:
            caller.start()
        time.sleep(1.0)
        container.stop(timeout=30)
        code = container.wait()["StatusCode"]
        for caller in callers:
            caller.join()
    return {"answered": outcomes["answered"], "lost": outcomes["lost"], "exit_code": code}


def _answers(url: str) -> bool:
    try:
        return httpx.post(f"{url}/invocations", json=1, timeout=10, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _call_until_refused(url: str, outcomes: Counter[str]) -> None:
    with httpx.Client(base_url=url, timeout=20, trust_env=False) as client:
        while True:
            try:
                outcomes["answered" if client.post("/invocations", json=1).is_success else "lost"] += 1
            except (httpx.ConnectError, httpx.ConnectTimeout):  # never taken on
                return
            except httpx.TransportError:
                outcomes["lost"] += 1
                return


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument(
        "--gateway", action="store_true", help="measure the gateway's image alone, into results of its own"
    )
    gateway = parser.parse_args().gateway
    with connect() as client:
        if gateway:
            report.write("image-gateway", [measure_gateway(client)])
        else:
            report.write("image", measure_servers(client))


def measure_gateway(client: docker.DockerClient) -> dict[str, Any]:
    tag, row = builds(client, "gateway")
    # Without an address of a runtime it would look for credentials of AWS; /health calls neither.
    gateway = partial(running, client, tag, 8100, environment={"PIXELSERVE_GATEWAY_RUNTIME": "http://127.0.0.1:8080"})
    started = report.distribution([seconds_to_healthy(gateway, "/health") for _ in range(STARTS)])
    row |= {"rebuild_s": round(row["rebuild_s"], 1), "run_to_health": started}
    report.table([row | {"run_to_health_s": started["p50"]}], (*COLUMNS, "run_to_health_s"))
    return row


def measure_servers(client: docker.DockerClient) -> list[dict[str, Any]]:
    made = {kind: builds(client, kind) for kind in SERVERS}
    rows = [row | {"rebuild_s": round(row["rebuild_s"], 1)} for _, row in made.values()]
    report.table(rows, COLUMNS)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder)
        (model / "code").mkdir()
        (model / "code" / "inference.py").write_text(SLEEPER)
        model.chmod(0o755)
        for back_end, kind in BACK_ENDS.items():
            tag = made[kind][0]
            starts = [seconds_to_healthy(partial(serving, client, tag, back_end), "/ping") for _ in range(STARTS)]
            stops = [stop_under_load(client, tag, back_end, model) for _ in range(STOPS)]
            rows.append(
                {
                    "back_end": back_end,
                    "run_to_ping": report.distribution(starts),
                    "answered": sum(stop["answered"] for stop in stops),
                    "lost": sum(stop["lost"] for stop in stops),
                    "exit_codes": [stop["exit_code"] for stop in stops],
                }
            )
    shown = [row | {"run_to_ping_s": row["run_to_ping"]["p50"]} for row in rows if "back_end" in row]
    report.table(shown, ("back_end", "run_to_ping_s", "answered", "lost", "exit_codes"))
    return rows


if __name__ == "__main__":
    main()
