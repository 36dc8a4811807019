"""Server processes: starting one, what it waits for, its last words, its end. And the signals that ask this one to end.

A signal sets a `Stop`; it raises nothing where it arrives, so that no lock of a library is left held. Every wait of a
process that may be asked to end looks at its `Stop`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from types import FrameType
from typing import TYPE_CHECKING, Self, TypeVar

from pixelserve.errors import NotReady, PixelserveError, State, Unavailable
from pixelserve.machine import cores
from pixelserve.observe import LogLine
from pixelserve.wire import read_error

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

STOP_SIGNALS = tuple(
    number
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")
    if (number := getattr(signal, name, None)) is not None  # Windows has the first two
)
OTHER_SIGNALS = tuple(number for name in ("SIGUSR1", "SIGUSR2") if (number := getattr(signal, name, None)) is not None)
"""They would end a process that does not know them; a handler may use them in its worker."""
START_SECONDS = 480.0
"""SageMaker gives a container 8 minutes to become healthy."""
STOP_SECONDS = 30.0
"""SageMaker kills a container 30 seconds after SIGTERM."""
REAP_SECONDS = 1.0
MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 20),  # glibc's own threshold grows with what it sees
    "MALLOC_TRIM_THRESHOLD_": str(1 << 20),
    "THP_MEM_ALLOC_ENABLE": "1",  # torch: huge pages, which make that cheap
}
"""Environment of workers: large blocks go back to the system when they are freed."""
_MALLOPT = {"MALLOC_MMAP_THRESHOLD_": -3, "MALLOC_TRIM_THRESHOLD_": -1}
"""The same in glibc's malloc.h."""
_LAST_WORDS = 5
_LOOK_SECONDS = 0.1
"""Between two looks at a `Stop` while something else is waited for."""
_RUN_MODULE = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: end with the thread that started this
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent has ended already")
os.execv(sys.executable, [sys.executable, "-m", *sys.argv[2:]])
"""


class Stopped(PixelserveError):
    """A signal asked this process to end while it waited for something."""

    code = "stopped"


class Stop:
    """Set by the first signal that asks this process to end; `signal` is which."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._heard, self._tell = os.pipe()

    def __del__(self) -> None:
        os.close(self._heard)
        os.close(self._tell)

    @contextlib.contextmanager
    def listening(self) -> Iterator[Self]:
        """While entered, the signals set this, and others are ignored. SIGHUP stays so where nohup started this."""
        taken = [n for n in STOP_SIGNALS if not (n.name == "SIGHUP" and signal.getsignal(n) is signal.SIG_IGN)]
        before = {number: signal.signal(number, self._on_signal) for number in taken}
        before |= {number: signal.signal(number, signal.SIG_IGN) for number in OTHER_SIGNALS}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal = signal.Signals(number)
            os.write(self._tell, b"!")  # never read: whoever looks sees it

    @property
    def is_set(self) -> bool:
        return self.signal is not None

    def check(self) -> None:
        """Raises Stopped when it is set."""
        if self.is_set:
            raise Stopped("Stopped.")

    def wait(self, seconds: float) -> bool:
        """Returns as soon as it is set, or after `seconds`; whether it is set."""
        poll = select.poll()
        poll.register(self._heard, select.POLLIN)
        poll.poll(1000 * max(0.0, seconds))
        return self.is_set

    async def wait_async(self) -> None:
        """Returns when it is set; for the event loop of the main thread."""
        loop = asyncio.get_running_loop()
        heard = asyncio.Event()
        loop.add_reader(self._heard, heard.set)
        try:
            await heard.wait()
        finally:
            loop.remove_reader(self._heard)

    def result_of(self, future: Future[T]) -> T:
        """The future's result. Raises what it raises, and Stopped when this is set before it is done."""
        while not wait([future], _LOOK_SECONDS).done:
            self.check()
        return future.result()

    def run_aside(self, work: Callable[[], T]) -> T:
        """The result of `work`, which runs on a thread of its own and is left to itself when this is set.

        For calls that block inside a library. Raises what `work` raises, and Stopped.
        """
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001  it is raised where the result is asked for
                future.set_exception(error)

        threading.Thread(target=run, name="aside", daemon=True).start()
        return self.result_of(future)


def check_platform() -> None:
    """Raises Unavailable where no server runs: everywhere but on Linux."""
    if not sys.platform.startswith("linux"):
        raise Unavailable(
            f"The server needs Linux, and this is {sys.platform}. Run its image in Docker: `pixelserve build FOLDER`, "
            "then `docker run --rm -p 127.0.0.1:8080:8080 IMAGE serve`."
        )


class ServerFailed(PixelserveError):
    """A server process ended, or said that it will not become ready.

    The message has the reason and, for the one at the screen, its last words; `reason` is what callers may be told.
    """

    code = "server_failed"

    def __init__(self, name: str, reason: str, last_words: Iterable[str] = (), state: State | None = None) -> None:
        super().__init__("\n".join([f"{name}: {reason}", *last_words]), state=state)
        self.name, self.reason = name, reason

    def without_last_words(self) -> ServerFailed:
        """The same for a screen that has shown them already."""
        return ServerFailed(self.name, self.reason, state=self.state)


class ServerProcess:
    """A server of this package in a process, and a session, of its own.

    It ends with the thread that started it, however that ends, so that none is ever left behind. `log` is called with
    each line it writes, from a thread of this object's own; without it the lines go where those of this process go, and
    only what is written to standard error is kept as last words.
    """

    def __init__(
        self,
        name: str,
        environment: Mapping[str, str],
        *,
        module: str = "pixelserve.serving",
        pass_fds: Sequence[int] = (),
        log: Callable[[LogLine], None] | None = None,
    ) -> None:
        check_platform()
        self.name = name
        self._log = log
        self._is_killed = self._is_reported = False
        self._last_words: deque[str] = deque(maxlen=_LAST_WORDS)
        self._process = subprocess.Popen(
            command_of(module),
            stdin=subprocess.DEVNULL,
            stdout=None if log is None else subprocess.PIPE,
            stderr=subprocess.PIPE if log is None else subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            pass_fds=pass_fds,
        )
        self._reader = threading.Thread(target=self._read_log, name=f"log of {name}", daemon=True)
        self._reader.start()

    def _read_log(self) -> None:
        stream = self._process.stderr if self._log is None else self._process.stdout
        assert stream is not None
        with stream as lines:
            for raw in lines:
                with contextlib.suppress(Exception):  # read to the end whatever happens: the server would block
                    self._pass_on(raw)

    def _pass_on(self, raw: bytes) -> None:
        line = LogLine.parse(raw.decode(errors="replace").rstrip("\n"))
        if line.is_error:
            self._last_words.append(line.text)
        if self._log is not None:
            self._log(line)
        else:
            sys.stderr.buffer.write(raw)
            sys.stderr.flush()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def check_alive(self) -> None:
        """Raises ServerFailed when the process has ended."""
        code = self._process.poll()
        if code is not None:
            if not self._is_reported:  # once: a child of the handler may hold the log open for ever
                self._is_reported = True
                self._reader.join(1.0)
            state = State.LOAD_FAILED if self._is_killed else state_of_ending(code)
            raise self._failure(f"The server process ended ({describe_ending(code)}).", state)

    def why_not_ready(self, ping: httpx.Response | None) -> PixelserveError | None:
        """What the server is waiting for, by its answer to `/ping` (None: it gave none); None when it is ready.

        Raises ServerFailed, with its state, when it has ended or waits in vain.
        """
        self.check_alive()
        if ping is None:
            return NotReady("The server is starting.", state=State.STARTING, retry_after=1)
        if ping.status_code == 200:
            return None
        error = read_error(ping.status_code, ping.content)
        if error.state is not None and error.state.is_final:
            raise self._failure(error.message, error.state)
        return error

    def _failure(self, reason: str, state: State) -> ServerFailed:
        return ServerFailed(self.name, reason, list(self._last_words), state)

    def kill(self) -> None:
        """Ends the server, and all that it started, at once."""
        self._is_killed = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def wait(self, seconds: float) -> int | None:
        """The exit code, None when the process has not ended within `seconds`."""
        try:
            return self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            return None

    def terminate(self) -> None:
        """Asks the server to drain and end."""
        self._process.terminate()


def stop_all(servers: Iterable[ServerProcess], seconds: float = STOP_SECONDS) -> list[int]:
    """Asks all servers to end, and ends those that have not within `seconds`, and whatever they left; exit codes."""
    all_servers = list(servers)
    deadline = time.monotonic() + seconds
    for server in all_servers:
        server.terminate()
    codes = [server.wait(deadline - time.monotonic()) for server in all_servers]
    for server in all_servers:
        server.kill()
        server.wait(STOP_SECONDS)
    return [-signal.SIGKILL if code is None else code for code in codes]


def describe_ending(code: int) -> str:
    """How a process ended, in words: `code` is that of `subprocess`."""
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def state_of_ending(code: int) -> State:
    """What became of a model whose process ended while it loaded: SIGKILL is the kernel's word for memory gone."""
    return State.OUT_OF_MEMORY if code == -signal.SIGKILL else State.LOAD_FAILED


def command_of(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module, which ends with the thread that starts it, however that ends."""
    return [sys.executable, "-c", _RUN_MODULE, str(os.getpid()), module, *arguments]


def give_memory_back() -> None:
    """For this process, which runs already, what MEMORY is for those that it starts."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None  # musl has none
    if mallopt is not None:
        for name, option in _MALLOPT.items():
            mallopt(option, int(MEMORY[name]))


def worker_environment(compute_threads: int, workers: int) -> dict[str, str]:
    """This process's environment with what a worker's lacks: memory given back when freed, its share of the cores."""
    env = MEMORY | os.environ
    env.setdefault("OMP_NUM_THREADS", str(compute_threads or max(1, cores() // workers)))
    return env


async def reap_orphans(own: Callable[[], Collection[int]]) -> None:
    """Collects for ever what has ended and was left to a container's first process.

    `own` gives the children that this process itself still waits for.
    """
    while True:
        await asyncio.sleep(REAP_SECONDS)
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and ended.si_pid not in own():
                os.waitpid(ended.si_pid, 0)
