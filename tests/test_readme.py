"""The pages do what they say: their commands and their Python run, in order, as a reader would run them."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from documents import Block, blocks
from drawing import picture
from servers import ROOT

NOT_RUN = {
    "README.md: Two commands": "tests/test_demo.py runs the demo, and `make test` is this",
    "README.md: Install": "it takes gigabytes; tests/test_install.py runs it in `make soak`",
    "README.md: The container image": "it needs a Docker Engine and an account; tests/images has both, simulated",
    "docs/getting-started.md: 1. Install": "it needs a package index",
    "docs/own-model.md: Weights 2": "it needs a network; tests/deploy/test_weights.py fetches from a server of its own",
    "docs/own-model.md: basicsr itself": "tests/test_install.py runs it in an environment of its own",
    "docs/own-model.md: Into the image, and to S3": "it needs a Docker Engine; tests/images builds, packed models too",
}
PAGES = ("README.md", "docs/getting-started.md", "docs/own-model.md", "docs/requests.md", "docs/cost.md")
EXPORT = re.compile(r"export (\w+)=(.*)\n")
EXPORTS = 4


class Reader:
    """A reader with two terminals: one for `pixelserve up`, one for the rest, which has what `up` says to export."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self._up: dict[tuple[str, ...], dict[str, str]] = {}
        self._environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PIXELSERVE_STATE_DIR": str(folder / "state"),
            "SAGEMAKER_USER_CONFIG_OVERRIDE": str(ROOT / "notebooks" / "sagemaker.yaml"),
        }

    def read(self, page: str) -> str:
        """What the page's blocks print, all but those that are not run. Fails when one of their commands does."""
        return "".join(self.run(block) for block in blocks(page) if block.name not in NOT_RUN)

    def run(self, block: Block) -> str:
        """What the block prints."""
        if block.language == "console":
            return "".join(map(self._run_line, block.text.splitlines()))
        if "def model_fn" in block.text:  # a handler, whose name is its docstring's first word
            file = self.folder / block.text.strip('"').partition(":")[0] / "inference.py"
            file.parent.mkdir()
            file.write_text(block.text)
            return ""
        return self._finish([sys.executable, "-c", block.text])

    def _run_line(self, line: str) -> str:
        words = shlex.split(line, comments=True)
        if words[:2] == ["pixelserve", "up"]:
            self.serve(words[2:])
            return ""
        return self._finish(["bash", "-euc", line])

    def _finish(self, command: list[str]) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self._environment, stdout=subprocess.PIPE, text=True, timeout=100
        )
        assert done.returncode == 0, command
        return done.stdout

    def serve(self, words: list[str]) -> None:
        """Exports what an `up` says that has these endpoints; starts it where none runs yet."""
        endpoints = tuple(itertools.takewhile(lambda word: not word.startswith("-"), words))
        if endpoints not in self._up:
            self._up[endpoints] = self._stack.enter_context(self._serving(words))
        self._environment |= self._up[endpoints]

    @contextmanager
    def _serving(self, words: list[str]) -> Iterator[dict[str, str]]:
        """A running `up`, on a port that is free; what it says to export. Ctrl-C ends it."""
        command = ["pixelserve", "up", *words, "--port", "0"]
        with subprocess.Popen(
            command, cwd=self.folder, env=self._environment, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            exports: dict[str, str] = {}
            for line in process.stdout:
                exports |= dict(EXPORT.findall(line))
                if len(exports) == EXPORTS:
                    break
            try:
                assert len(exports) == EXPORTS, f"{command} said to export {exports}"
                yield exports
            finally:
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=60)
        assert process.returncode == 0


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("reader")
    (folder / "photos").mkdir()
    for name in ("photo.jpg", "copy.jpg", "photos/first.jpg"):
        cv2.imwrite(str(folder / name), picture(48, 64))
    with ExitStack() as stack:
        yield Reader(folder, stack)


def image(path: Path) -> tuple[int, ...]:
    """Height, width and channels of a file, whatever its name says."""
    return tuple(cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED).shape)


def test_what_is_not_run_is_on_a_page() -> None:
    names = [block.name for page in PAGES for block in blocks(page)]
    assert set(NOT_RUN) <= set(names)
    assert len([name for name in names if name.startswith("README.md") and name not in NOT_RUN]) >= 4


def test_the_first_hour(reader: Reader) -> None:
    printed = reader.read("docs/getting-started.md")
    assert "512\n" in printed
    for name in ("large.png", "large.webp", "asynchronous.png"):
        assert image(reader.folder / name) == (96, 128, 3)
    assert image(reader.folder / "masks" / "photo.jpg.out") == (48, 64)


def test_the_readme(reader: Reader) -> None:
    printed = reader.read("README.md")
    assert image(reader.folder / "large.png") == (192, 256, 3)
    assert image(reader.folder / "person.png") == (48, 64, 4)
    assert image(reader.folder / "large" / "first.jpg.out") == (96, 128, 3)
    assert image(reader.folder / "large.webp") == (96, 128, 3)
    assert '"cosine": 1.0' in printed
    assert "0 problems." in printed
    assert "653.16" in printed
    assert "<html" in (reader.folder / "bill.html").read_text()


def test_an_own_model(reader: Reader) -> None:
    printed = reader.read("docs/own-model.md")
    assert printed.count("0 problems.") == 3
    assert "PROBLEM" not in printed
    assert "realesr-general-x4v3" in printed
    assert image(reader.folder / "blurred.png") == (48, 64, 3)


def test_requests(reader: Reader) -> None:
    reader.serve([])
    assert reader.read("docs/requests.md") == "400 bad_request scale False\n"


def test_costs(reader: Reader) -> None:
    assert "never" in reader.read("docs/cost.md")
