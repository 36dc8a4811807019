"""Real containers for tests: an image and a handler's text in, HTTP on the engine's own network out."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest
from servers import ROOT, Served, wait_for

from pixelserve.errors import Unavailable
from pixelserve_deploy.image import Recipe, build, connect

TIME_TO_BUILD = pytest.mark.timeout(1200)
"""The mark of tests that use an image: the first of them builds it."""
PUBLISHED = "http://127.0.0.1:8080"
"""Where the printed line of `docker run` serves."""


@contextlib.contextmanager
def engine_or_skip() -> Iterator[docker.DockerClient]:
    """The Docker Engine; the test is skipped where none answers."""
    with contextlib.ExitStack() as stack:
        try:
            engine = stack.enter_context(connect())
        except Unavailable as error:
            pytest.skip(error.message)
        yield engine


def recipe(**fields: Any) -> Recipe:
    """This tree's image; PIP_FIND_LINKS_URL is where builds of torch are had beside the usual index."""
    find_links = os.environ.get("PIP_FIND_LINKS_URL")
    arguments = {"TORCH_FIND_LINKS": find_links} if find_links else {}
    return Recipe(source=ROOT, name="pixelserve-test", network="host", arguments=arguments, **fields)


def built(client: docker.DockerClient, **fields: Any) -> str:
    """The tag of this tree's image, built now; all that has not changed comes from the engine's cache."""
    return build(client, recipe(**fields), lambda line: None)


def build_options() -> list[str]:
    """Where builds of torch are had in tests, as words of `pixelserve build`."""
    find_links = os.environ.get("PIP_FIND_LINKS_URL")
    return ["--network", "host", *(["--torch-find-links", find_links] if find_links else [])]


def printed_line(said: str) -> str:
    """The line of `docker run` that a build printed."""
    return next(line.partition(":")[2] for line in said.splitlines() if line.startswith("To try it:"))


@contextlib.contextmanager
def running_printed(line: str) -> Iterator[str]:
    """The URL of the healthy container that the printed line runs; SIGTERM ends it, with exit code 0."""
    if shutil.which("docker") is None:
        pytest.skip("the printed line needs the program docker")
    with subprocess.Popen(shlex.split(line)) as run:
        try:
            wait_for(_is_healthy, what="the container of the printed line", seconds=60)
            yield PUBLISHED
        finally:
            run.terminate()
            assert run.wait(60) == 0


def _is_healthy() -> bool:
    try:
        return httpx.get(f"{PUBLISHED}/ping", trust_env=False).is_success
    except httpx.TransportError:
        return False


class Container(Served):
    """`docker run IMAGE serve` as SageMaker does it; removed by `close`. `files` are mounted as /opt/ml/model/code."""

    def __init__(
        self,
        client: docker.DockerClient,
        image: str,
        folder: Path,
        files: dict[str, str] | None,
        environ: dict[str, str],
        **run: Any,
    ) -> None:
        self.model_path = "/opt/ml/model"
        options = dict(run)
        if files is not None:
            model = folder / "model"
            (model / "code").mkdir(parents=True)
            for name, text in files.items():
                (model / "code" / name).write_text(text)
            options["volumes"] = {str(model): {"bind": "/opt/ml/model", "mode": "ro"}}
        self.container = client.containers.run(image, "serve", detach=True, environment=environ, **options)
        self.container.reload()
        # its own address: Docker's proxy for published ports takes on connections that the container would refuse
        address = self.container.attrs["NetworkSettings"]["IPAddress"]
        self.url = f"http://{address}:{environ.get('SAGEMAKER_BIND_TO_PORT', '8080')}"
        self.client = httpx.Client(base_url=self.url, timeout=60, trust_env=False)

    def runs(self) -> bool:
        """Whether it has not ended."""
        self.container.reload()
        return str(self.container.status) == "running"

    def log_text(self) -> str:
        """What it has written so far."""
        return bytes(self.container.logs()).decode(errors="replace")

    def processes(self, word: str) -> list[int]:
        """Pids on the host of its processes whose command line has the word."""
        table = self.container.top(ps_args="-eo pid,args")
        return [int(row[0]) for row in table["Processes"] if word in row[1]]

    def terminate(self, seconds: int = 40) -> int:
        """`docker stop`: SIGTERM, then SIGKILL after `seconds`; the exit code."""
        self.container.stop(timeout=seconds)
        return self.exit_code()

    def exit_code(self, seconds: float = 60) -> int:
        """Waits for its end."""
        return int(self.container.wait(timeout=seconds)["StatusCode"])

    def close(self) -> None:
        self.client.close()
        self.container.remove(force=True)
