"""What operators see: answers that no application has made are counted as all others are."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from collections.abc import Callable

import pytest
from fire_hosts import Host
from handlers import BUSY
from raw_http import connected, post, read_all, read_answers
from servers import Server, wait_for

REFUSED = {
    400: b"no request\r\n\r\n",
    408: b"GET /ping HTTP/1.1\r\n",
    431: b"GET /ping HTTP/1.1\r\nhost: localhost\r\na: " + b"b" * 70_000 + b"\r\n\r\n",
}


def _counted(text: str) -> Counter[int]:
    """Answers by status, of Prometheus' text."""
    counts = re.findall(r'^pixelserve_requests_total{status="(\d+)"} (\S+)$', text, re.MULTILINE)
    return Counter({int(status): int(float(count)) for status, count in counts})


@pytest.mark.parametrize("host", ["worker", "lobby", "front"], indirect=True)
def test_answers_of_the_protocol_are_counted(host: Host) -> None:
    before = _counted(host.get("/metrics").text)
    for status, data in REFUSED.items():
        with connected(host, data) as connection:
            assert read_all(connection).startswith(b"HTTP/1.1 %d " % status)
    counted = _counted(host.get("/metrics").text) - before
    assert {status: count for status, count in counted.items() if status in REFUSED} == dict.fromkeys(REFUSED, 1)


def test_an_answer_in_place_of_a_lost_worker_is_counted(serve: Callable[..., Server]) -> None:
    server = serve(BUSY).ready()
    with connected(server, post(b'{"seconds": 600}')) as connection:
        wait_for(lambda: "pixelserve_requests_held 1.0" in server.client.get("/metrics").text)
        os.kill(server.workers()[0], signal.SIGKILL)
        assert [status for status, _ in read_answers(connection, 1)] == [503]
    assert _counted(server.ready().client.get("/metrics").text)[503] == 1


def test_an_answer_in_place_of_a_worker_that_stands_still_is_counted(serve: Callable[..., Server]) -> None:
    server = serve(BUSY, SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS="1").ready()
    os.kill(server.workers()[0], signal.SIGSTOP)
    status = server.invoke("{}").status_code
    assert status in (503, 504)
    wait_for(lambda: server.loaded() == 2)
    assert _counted(server.ready().client.get("/metrics").text)[status] == 1
