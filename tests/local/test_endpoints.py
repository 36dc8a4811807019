"""Server processes on this machine: started, watched, stopped, and their failures told."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import httpx
import local_handlers as handlers
import pytest

from pixelserve.errors import BadRequest, NotFound
from pixelserve.local.endpoints import JAVA_PORTS, _reserve_port, started, wait_until_ready
from pixelserve.local.sources import Source
from pixelserve.observe import LogLine
from pixelserve.processes import ServerFailed


def group_is_gone(pgid: int) -> bool:
    try:
        os.killpg(pgid, 0)
    except ProcessLookupError:
        return True
    return False


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.05)


def test_a_terminal_does_not_obey_what_is_logged():
    for line in ("\x1b]0;OWNED\x07", '{"level": "error", "message": "\\u001b]0;OWNED\\u0007"}'):
        assert LogLine.parse(line).text == r"\x1b]0;OWNED\x07"


def test_a_folder_that_is_called_like_a_feature_does_not_hide_it(tmp_path, monkeypatch):
    (tmp_path / "image-super-resolution").mkdir()
    monkeypatch.chdir(tmp_path)
    assert (Source.parse("image-super-resolution").folder / "inference.py").is_file()
    with pytest.raises(NotFound):
        Source.parse("./image-super-resolution")


def test_an_endpoint_becomes_ready_answers_and_leaves_nothing_behind(tmp_path):
    source = Source.parse(str(handlers.write(tmp_path / "doubler", handlers.DOUBLER)))
    told = []
    with started([source]) as (endpoint,):
        wait_until_ready([endpoint], lambda _, reason: told.append(reason))
        answer = httpx.post(f"{endpoint.url}/invocations", json={"value": 4}, trust_env=False)
        pid = endpoint.server.pid
        assert endpoint.url.startswith("http://127.0.0.1:")
    assert answer.text == "8"
    assert told[-1] == ""
    assert endpoint.server.wait(0) == 0
    assert group_is_gone(pid)


def test_a_model_that_does_not_load_is_told_with_its_traceback(tmp_path):
    source = Source("broken", handlers.write(tmp_path, handlers.BROKEN))
    with pytest.raises(ServerFailed) as failure, started([source]) as endpoints:
        wait_until_ready(endpoints)
    assert "broken: The model did not load" in failure.value.message
    assert "the weights are of another network" in failure.value.message
    assert "inference.py" in failure.value.message
    assert group_is_gone(endpoints[0].server.pid)


def test_a_process_that_ends_is_told(tmp_path):
    source = Source("doubler", handlers.write(tmp_path, handlers.DOUBLER))
    with started([source]) as (endpoint,):
        wait_until_ready([endpoint])
        endpoint.check_alive()
        os.kill(endpoint.server.pid, signal.SIGKILL)
        endpoint.server.wait(10)
        with pytest.raises(ServerFailed, match=r"doubler: The server process ended \(signal 9\)"):
            endpoint.check_alive()


def test_an_endpoint_that_is_late_is_told_with_what_it_waits_for(tmp_path):
    slow = handlers.BROKEN.replace("raise", "import time; time.sleep(600); raise")
    with started([Source("slow", handlers.write(tmp_path, slow))]) as endpoints:
        with pytest.raises(ServerFailed, match="slow: It was not ready in 0 s: "):
            wait_until_ready(endpoints, seconds=0.2)
        pid = endpoints[0].server.pid
    assert group_is_gone(pid)


def test_the_log_is_handed_on_line_by_line(tmp_path):
    source = Source("doubler", handlers.write(tmp_path, handlers.DOUBLER + "\nprint('hello from the handler')\n"))
    lines = []
    with started([source], lambda endpoint, line: lines.append((endpoint.name, line))) as endpoints:
        wait_until_ready(endpoints)
    assert ("doubler", LogLine(None, "hello from the handler")) in lines
    assert any(line.level == 20 and "listening on 127.0.0.1" in line.text for _, line in lines)


def test_the_model_folder_reaches_the_handler(tmp_path):
    shows_folder = "def model_fn(model_dir):\n    return model_dir\ndef predict_fn(data, model):\n    return model\n"
    source = Source("shows", handlers.write(tmp_path / "shows", shows_folder), model_dir=tmp_path / "weights")
    with started([source]) as (endpoint,):
        wait_until_ready([endpoint])
        answer = httpx.post(f"{endpoint.url}/invocations", json=1, trust_env=False)
    assert answer.json() == str(tmp_path / "weights")


def test_the_server_ends_when_its_parent_is_killed(tmp_path):
    folder = handlers.write(tmp_path, handlers.DOUBLER)
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom pixelserve.local.endpoints import Source, started\n"
        "with started([Source('doubler', Path(sys.argv[1]))]) as endpoints:\n"
        "    print(endpoints[0].server.pid, flush=True)\n    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    wait_for(lambda: b"pixelserve.serving" not in _command_line(pid))


def _command_line(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def test_two_endpoints_of_one_name_are_refused(tmp_path):
    with pytest.raises(BadRequest, match="Two endpoints are called twin"), started([Source("twin", tmp_path)] * 2):
        pass


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("my_model", "my-model"),
        ("./my_model/", "my-model"),
        ("other=my_model", "other"),
        ("image_super_resolution", "image-super-resolution"),
        ("image-super-resolution", "image-super-resolution"),
    ],
)
def test_a_source_is_a_feature_or_a_folder(tmp_path, monkeypatch, text, name):
    handlers.write(tmp_path / "my_model", handlers.DOUBLER)
    monkeypatch.chdir(tmp_path)
    source = Source.parse(text)
    assert source.name == name
    assert (source.folder / "inference.py").is_file()


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("nothing", NotFound, "There is no feature nothing. Features: image_super_resolution, .*. A folder"),
        ("./nothing", NotFound, "There is no inference.py in "),
        ("a=nothing", NotFound, "pixelserve new"),
        ("a_b=my_model", BadRequest, "'a_b' cannot be an endpoint's name"),
    ],
)
def test_a_source_that_is_not_there_is_told(tmp_path, monkeypatch, text, error, message):
    handlers.write(tmp_path / "my_model", handlers.DOUBLER)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        Source.parse(text)


@pytest.mark.parametrize("text", ["not JSON", "[1]", "3", '{"a": 1}', '{"level": 3}', '{"level": "loud"}'])
def test_a_line_that_is_not_of_our_log_is_kept_as_it_is(text):
    assert LogLine.parse(text) == LogLine(None, text)


def test_a_log_line_puts_its_traceback_last():
    line = LogLine.parse('{"ts": 1, "level": "error", "logger": "x", "message": "m", "traceback": "t\\n", "id": 7}')
    assert line == LogLine(40, "m id=7\nt")


def test_a_kept_port_is_for_one_server_that_may_reuse_it():
    with _reserve_port() as keeper:
        port = keeper.getsockname()[1]
        assert port in JAVA_PORTS
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        with socket.create_server(("127.0.0.1", port)) as server:  # which sets SO_REUSEADDR
            assert server.getsockname()[1] == port


@pytest.mark.skipif(not shutil.which("java"), reason="multi-model-server needs Java")
@pytest.mark.xdist_group("multi-model-server")
def test_two_endpoints_run_under_multi_model_server(tmp_path):
    pytest.importorskip("sagemaker_inference")
    folder = handlers.write(tmp_path, handlers.DOUBLER)
    sources = [Source("first", folder), Source("second", folder)]
    environment = {"PIXELSERVE_BACKEND": "mms", "SAGEMAKER_STARTUP_TIMEOUT": "10"}
    with started(sources, extra=environment) as endpoints:
        wait_until_ready(endpoints)
        for endpoint in endpoints:
            headers = {"accept": "application/json"}
            answer = httpx.post(f"{endpoint.url}/invocations", json={"value": 4}, headers=headers, trust_env=False)
            assert (answer.status_code, answer.text) == (200, "8")
        assert all(int(endpoint.url.rpartition(":")[2]) <= 32_767 for endpoint in endpoints)
        time.sleep(11)  # for so long sagemaker-inference looks for its server, and gives up where it sees two
        for endpoint in endpoints:
            endpoint.check_alive()


def test_a_line_that_tells_progress():
    def told(**fields):
        return LogLine.parse(json.dumps({"level": "debug", "message": "progress", "request_id": "a", **fields}))

    assert told(done=1, total=4).progress == ("a", 0.25)
    assert told(done=9, total=4).progress == ("a", 1.0)
    assert told(done=1, total=4, message="m").progress is None
    for odd in ({}, {"done": 1, "total": 0}, {"done": "x", "total": 4}, {"done": None, "total": None}):
        assert (told(**odd).level, told(**odd).progress) == (10, None)
