"""What `/metrics` says of processes that have ended, and of what a front answers by itself."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from handlers import BUSY, ECHO
from raw_http import connected, post
from servers import Server, unshared, wait_for

from pixelserve.observe import metrics


def counted(server: Server, status: int) -> float:
    found = re.findall(rf'pixelserve_requests_total{{status="{status}"}} (\S+)', server.client.get("/metrics").text)
    return float(found[0]) if found else 0.0


def predicted(server: Server) -> float:
    text = server.client.get("/metrics").text
    return float(re.findall(r'pixelserve_stage_seconds_count{stage="predict"} (\S+)', text)[0])


def test_workers_that_die_leave_their_counts_and_no_files(serve: Callable[..., Server], tmp_path: Path) -> None:
    (tmp_path / "metrics").mkdir()
    server = serve(BUSY, PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "metrics")).ready()
    files = []
    for number in (1, 2):
        assert server.invoke('{"raise": "MemoryError"}').status_code == 507
        assert server.invoke("{}").status_code == 200
        wait_for(lambda number=number: counted(server, 507) == number)
        with connected(server, post(b'{"seconds": 600}')):
            wait_for(lambda: "pixelserve_requests_held 1.0" in server.client.get("/metrics").text)
            os.kill(server.workers()[0], signal.SIGKILL)
            wait_for(lambda number=number: server.loaded() == number + 1)
        text = server.ready().client.get("/metrics").text
        assert "pixelserve_requests_held 0.0" in text
        assert counted(server, 507) == number
        assert predicted(server) == number
        files.append(len(list((tmp_path / "metrics").rglob("*.db"))))
    assert files[0] == files[-1], files


COUNT = "from pixelserve.observe import metrics; metrics.Metrics().request(200, 0.1)"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With the files of three processes that have ended, each of which counted one request."""
    monkeypatch.setenv(metrics.DIRECTORY, str(tmp_path))
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for _ in range(3):
        subprocess.run([sys.executable, "-c", COUNT], check=True, env=environ)
    return tmp_path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_they_counted_is_added_up_once(folder: Path) -> None:
    (folder / "counter_1000000000.db").touch()  # it ended as it made its file
    for _ in range(2):
        metrics.fold_ended()
        assert names(folder) == {"counter_ended.db", "histogram_ended.db"}
        text = metrics.render().decode()
        assert 'pixelserve_requests_total{status="200"} 3.0' in text
        assert 'pixelserve_request_seconds_bucket{le="0.1"} 3.0' in text
        assert "pixelserve_request_seconds_sum 0.3" in text


def test_without_descriptors_it_is_done_later(folder: Path) -> None:
    before = names(folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
    try:
        metrics.fold_ended()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert names(folder) == before
    assert 'pixelserve_requests_total{status="200"} 3.0' in metrics.render().decode()
    assert len(names(folder)) == 2


def test_what_cannot_be_read_is_logged_and_ends_nothing(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    metrics.fold_ended()
    (folder / "counter_1000000000.db").write_bytes(b"\xff\0\0\0" * 100)
    metrics.fold_ended()
    assert "could not be added up" in caplog.text


SMALL_MEMORY = ["sh", "-c", 'mount -t tmpfs -o size=512k tmpfs /dev/shm && exec "$@"', "sh"]
FILLS = """
    def model_fn(model_dir):
        return None

    def predict_fn(data, model):
        if data:
            with open("/dev/shm/filler", "wb", 0) as file:
                try:
                    while True:
                        file.write(bytes(4096))
                except OSError:
                    pass
        return data
"""


def test_a_worker_that_dies_in_full_memory_does_not_take_the_server_along(serve: Callable[..., Server]) -> None:
    """Pages of the metrics' files cannot be had then: who touches one that has none gets SIGBUS."""
    server = serve(FILLS, within=[*unshared("--mount"), *SMALL_MEMORY]).ready()
    for number in (1, 2):
        assert server.invoke("true").status_code == 200
        ends = server.log_text().count(" ended (")
        os.kill(server.workers()[0], signal.SIGKILL)
        wait_for(lambda ends=ends: server.log_text().count(" ended (") >= ends + 2, what="successors without memory")
        assert server.runs()
        ping = server.ping()
        assert ping is not None
        assert ping.status_code == 503
        Path(f"/proc/{server.process.pid}/root/dev/shm/filler").unlink()
        assert predicted(server.ready()) == number


def test_a_front_counts_what_it_answers_itself(serve: Callable[..., Server], tmp_path: Path) -> None:
    """And nothing that a model's own server has counted."""
    code = tmp_path / "models" / "a" / "code"
    code.mkdir(parents=True)
    (code / "inference.py").write_text("\n".join(line[4:] for line in ECHO.splitlines()))
    front = serve(
        SAGEMAKER_MULTI_MODEL="true",
        PIXELSERVE_MODELS_DIR=str(tmp_path / "models"),
        PIXELSERVE_MAX_BODY_BYTES="1000",
        PIXELSERVE_SILENCE_SECONDS="1",
    ).ready()
    assert front.client.post("/models", json={"model_name": "a", "url": str(code.parent)}).status_code == 200
    own = {
        404: post(b"{}").replace(b"/invocations", b"/models/none/invoke"),
        413: post(b"{" + b" " * 2_000).replace(b"/invocations", b"/models/a/invoke"),
        408: post(b"{", length=900).replace(b"/invocations", b"/models/a/invoke"),
    }
    for status, request in own.items():
        with connected(front, request) as connection:
            assert connection.recv(12) == b"HTTP/1.1 %d" % status
    with connected(front, own[408]):
        pass  # it hangs up before its body is whole
    for status in (404, 408, 413, 499):
        wait_for(lambda status=status: counted(front, status) == 1, what=f"one {status}")
    assert front.client.post("/models/a/invoke", content=b"{").status_code == 400
    wait_for(lambda: counted(front, 400) == 1)
