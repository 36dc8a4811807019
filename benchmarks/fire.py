"""Three attacks that once stopped a worker, against the server as it is: what they cost, and who is served meanwhile.

`--before CHECKOUT` measures the server of another checkout of this project first. Silence is cut off after SILENCE
seconds here; the other limits are as they are by default. Everything stays on loopback.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import report
from serving import running_process

SILENCE = 5
WATCHED_SECONDS = 20.0
HEAD = b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
TRAILER_BYTES = 132_000_000
BODIES = 64
STRAY = 200


def flood_with_trailers(process: psutil.Process, port: int) -> dict[str, Any]:
    """One request whose trailers are TRAILER_BYTES long."""
    worker = process.children()[0]
    before, most = worker.memory_info().rss, 0
    began = time.monotonic()
    sent = 0
    piece = b"a: b\r\n" * 10_000
    with socket.create_connection(("127.0.0.1", port), timeout=60) as caller:
        caller.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n")
        with contextlib.suppress(OSError):
            while sent < TRAILER_BYTES and not select.select([caller], [], [], 0)[0]:
                caller.sendall(piece)
                sent += len(piece)
                most = max(most, worker.memory_info().rss)
        seconds = time.monotonic() - began
        most = max(most, worker.memory_info().rss)
    return {"taken_mb": round(sent / 1e6, 1), "peak_mb": round((most - before) / 1e6), "seconds": round(seconds, 1)}


def drip_bodies(_process: psutil.Process, port: int) -> dict[str, Any]:
    """BODIES callers each declare a body of 25 MB and send a byte a second."""
    return _hold(port, BODIES, HEAD + b"Content-Length: 25000000\r\n\r\n[")


def send_stray_bytes(_process: psutil.Process, port: int) -> dict[str, Any]:
    """STRAY callers send a byte now and then, of a head that never ends."""
    return _hold(port, STRAY, HEAD)


def _hold(port: int, count: int, first: bytes) -> dict[str, Any]:
    """How many of so many slow callers are held after WATCHED_SECONDS, and how others were answered meanwhile."""
    statuses: list[int] = []
    with contextlib.ExitStack() as stack:
        callers = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(count)]
        for caller in callers:
            caller.sendall(first)
        until = time.monotonic() + WATCHED_SECONDS
        while time.monotonic() < until:
            time.sleep(1)
            statuses.append(_ask(port))
            callers = [caller for caller in callers if _drips(caller)]
        return {"callers": count, "held": len(callers), "others_served": f"{statuses.count(200)}/{len(statuses)}"}


def _drips(caller: socket.socket) -> bool:
    """Sends a byte; whether the other side still takes them."""
    poll = select.poll()
    poll.register(caller, select.POLLERR | select.POLLHUP | select.POLLRDHUP)
    if poll.poll(0):
        return False
    try:
        caller.send(b"a")
    except OSError:
        return False
    return True


def _ask(port: int) -> int:
    """The status of a small request of somebody else."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", b'{"x": 1}', {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


ATTACKS: dict[str, Callable[[psutil.Process, int], dict[str, Any]]] = {
    "132 MB of trailers": flood_with_trailers,
    "64 slow bodies": drip_bodies,
    "one stray byte now and then": send_stray_bytes,
}


def measure(version: str, code: Path) -> Iterator[dict[str, Any]]:
    """A row for each attack on a fresh server of the code in a checkout."""
    for name, attack in ATTACKS.items():
        with running_process(
            "pixelserve",
            PYTHONPATH=os.pathsep.join([str(code.resolve() / "container"), str(code.resolve() / "deploy")]),
            PIXELSERVE_SILENCE_SECONDS=str(SILENCE),
        ) as (process, port):
            yield {"attack": name, "version": version, **attack(psutil.Process(process.pid), port)}


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--before", type=Path, help="another checkout, to be measured too")
    before = parser.parse_args().before
    rows = [] if before is None else list(measure("before", before))
    rows += measure("now", Path(__file__).parents[1])
    names = list(dict.fromkeys(name for row in rows for name in row))
    report.table([{name: row.get(name, "") for name in names} for row in rows], names)
    report.write("fire", rows)


if __name__ == "__main__":
    main()
