"""Ctrl-C and SIGTERM at seeded moments of commands that start servers: they end soon, quietly, and leave nothing."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import httpx
import pytest
from drawing import picture
from servers import ROOT, unshared, wait_for

MOMENTS = 10
"""Of each command; two of them are not left to `make soak`."""
HANG_SECONDS = 15.0
SLOW = """
import os, tempfile, time

def model_fn(model_dir):
    pass

def predict_fn(seconds, model):
    print("it sleeps", flush=True)
    with open(os.path.join(tempfile.gettempdir(), "asleep"), "w"):
        pass
    time.sleep(seconds)
"""
MARK = "PIXELSERVE_TEST_MARK"

OWN_MEMORY = ["sh", "-c", 'mount --bind "$1" /dev/shm && shift && exec "$@"', "sh"]
"""Runs a command, in a mount namespace, to which the folder of the next argument is its shared memory."""
PIXELSERVE = [sys.executable, "-m", "pixelserve_deploy"]
COMMANDS = {
    "up": [*PIXELSERVE, "up", "-v", "--port", "0"],
    "invoke": [*PIXELSERVE, "invoke", "image-super-resolution", "photo.png", "--scale", "4", "-o", "large.png"],
    "transform": [*PIXELSERVE, "transform", "human-image-segmentation", "photos", "masks"],
    "slow": [*PIXELSERVE, "up", "slow", "--port", "0"],
    "slow transform": [*PIXELSERVE, "transform", "slow", "orders", "answers"],
    "slow check": [*PIXELSERVE, "check", "slow", "--body", "orders/30.json"],
    "demo": [sys.executable, str(ROOT / "notebooks" / "demo.py")],
}
START_LINES = {"up": 5, "invoke": 3, "transform": 5, "demo": 5}
"""How many lines each writes before its work is done."""
CASES = [
    pytest.param(name, number, marks=[] if number < 2 else [pytest.mark.soak])
    for name in START_LINES
    for number in range(MOMENTS)
]


@dataclass
class Run:
    """A command that runs in a session of its own, begun at `begun`, and the lines it has written.

    `folders` are its shared memory and its folder for temporary files.
    """

    process: subprocess.Popen[str]
    mark: str
    folders: list[Path]
    begun: float = field(default_factory=time.monotonic)
    lines: list[str] = field(default_factory=list)

    def read_line(self) -> bool:
        """Whether there was a further line."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line:
            self.lines.append(line)
        return bool(line)

    def is_asleep(self) -> bool:
        """Whether the handler SLOW is at its work."""
        return any(folder.joinpath("asleep").exists() for folder in self.folders)

    def left_behind(self) -> list[str]:
        """Processes of this run that have not ended, and its files in shared memory and among the temporary ones."""
        found = [f"pid {process.name}" for process in Path("/proc").glob("[0-9]*") if self.mark in _environ(process)]
        files = [path for folder in self.folders for path in folder.rglob("*") if path.name != "asleep"]
        return found + list(map(str, files))


def _environ(process: Path) -> str:
    try:
        return (process / "environ").read_text(errors="replace")
    except OSError:
        return ""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Run]]:
    """Starts a command of COMMANDS in a folder with what it needs; it is gone after the test."""
    within = unshared("--mount")
    work = tmp_path / "work"
    (work / "photos").mkdir(parents=True)
    cv2.imwrite(str(work / "photo.png"), picture(200, 300))
    for number in range(8):
        cv2.imwrite(str(work / "photos" / f"{number}.png"), picture(300, 400))
    (work / "slow").mkdir()
    (work / "orders").mkdir()
    (work / "orders" / "30.json").write_text("30")
    (work / "slow" / "inference.py").write_text(SLOW)
    folders = [tmp_path / "shm", tmp_path / "tmp"]
    for folder in folders:
        folder.mkdir()
    runs: list[Run] = []

    def begin(name: str) -> Run:
        mark = f"mark-{uuid.uuid4().hex}"
        environ = {**os.environ, MARK: mark, "PIXELSERVE_STATE_DIR": str(tmp_path / "state")}
        environ |= {"TMPDIR": str(folders[1]), "PYTHONUNBUFFERED": "1"}
        environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "container"), str(ROOT / "deploy")])
        process = subprocess.Popen(
            [*within, *OWN_MEMORY, str(folders[0]), *COMMANDS[name]],
            cwd=work,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        runs.append(Run(process, mark, folders))
        return runs[-1]

    yield begin
    for run in runs:
        if run.process.poll() is None:
            run.process.kill()
        run.process.communicate()


@pytest.mark.parametrize(("name", "number"), CASES)
def test_an_interrupted_command_ends_and_leaves_nothing(name: str, number: int, start: Callable[[str], Run]) -> None:
    chance = random.Random(f"{name} {number}")
    run = start(name)
    for _ in range(1 + number // 2 % START_LINES[name]):
        assert run.read_line()
    time.sleep(chance.random() * (time.monotonic() - run.begun) / len(run.lines))
    if number % 2:
        run.process.send_signal(signal.SIGTERM)
    else:
        os.killpg(run.process.pid, signal.SIGINT)  # as a terminal does
    sent = time.monotonic()
    rest, _ = run.process.communicate(timeout=HANG_SECONDS)
    sys.stdout.write(f"{name}, after line {len(run.lines)}: ended in {time.monotonic() - sent:.2f} s\n")
    output = "".join(run.lines) + rest
    assert "Traceback" not in output
    was_done = "-> large.png" in output  # and Python was about to exit
    assert "Stopped." in output or run.process.returncode in (0, *([-signal.SIGTERM] if was_done else [])), output
    wait_for(lambda: not run.left_behind(), 5, "nothing left behind")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT])
def test_other_signals_end_it_as_well(number: signal.Signals, start: Callable[[str], Run]) -> None:
    run = start("up")
    while run.read_line() and "Ctrl-C stops it" not in run.lines[-1]:
        pass
    run.process.send_signal(number)
    rest, _ = run.process.communicate(timeout=HANG_SECONDS)
    assert run.process.returncode == 0
    assert "Traceback" not in rest
    wait_for(lambda: not run.left_behind(), 5, "nothing left behind")


def test_a_request_in_flight_is_answered_and_nothing_is_said(start: Callable[[str], Run]) -> None:
    run = start("slow")
    while run.read_line() and "Ctrl-C stops it" not in run.lines[-1]:
        pass
    url = re.search(r"http://[\d.:]+", run.lines[-1])
    assert url
    answers: list[httpx.Response] = []
    path = f"{url[0]}/endpoints/slow/invocations"
    caller = threading.Thread(target=lambda: answers.append(httpx.post(path, json=30, timeout=60, trust_env=False)))
    caller.start()
    while run.read_line() and "it sleeps" not in run.lines[-1]:
        pass
    os.killpg(run.process.pid, signal.SIGINT)
    rest, _ = run.process.communicate(timeout=HANG_SECONDS)
    caller.join(HANG_SECONDS)
    assert rest == "Stopped.\n"
    assert (answers[0].status_code, answers[0].headers["x-amzn-errortype"]) == (503, "ServiceUnavailable")
    wait_for(lambda: not run.left_behind(), 5, "nothing left behind")


@pytest.mark.parametrize("name", ["slow transform", "slow check"])
def test_a_handler_in_the_middle_of_its_work_is_not_waited_for(name: str, start: Callable[[str], Run]) -> None:
    run = start(name)
    wait_for(run.is_asleep, what="a handler that sleeps")
    assert run.process.poll() is None
    run.process.send_signal(signal.SIGTERM)
    rest, _ = run.process.communicate(timeout=HANG_SECONDS)
    assert "Traceback" not in rest
    assert run.process.returncode == 128 + signal.SIGTERM
    wait_for(lambda: not run.left_behind(), 5, "nothing left behind")
