"""Webhooks over real connections: signatures, schedules, the delivery log, and what is refused."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path

import gateway_jobs
import pytest
import sites
from gateway_jobs import NOW, TRACE, Gateway, receiving
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from pixelserve.errors import InvalidImage
from pixelserve_gateway.jobs import (
    Delivery,
    Job,
    JobState,
    JobStore,
    Look,
    Output,
    Sender,
    SQLiteStore,
    Webhook,
    webhook_secret,
)
from pixelserve_gateway.jobs.deliveries import INTERRUPTED
from pixelserve_gateway.jobs.job import Lane, new_id
from pixelserve_gateway.jobs.webhooks import SCHEDULES

SECRET = b"s" * 32


def _job(url: str, schedule: str = "native") -> Job:
    return Job(
        id=new_id(NOW),
        tenant="ours",
        feature="f",
        dialect="native",
        call={},
        created=NOW,
        updated=NOW,
        expires=NOW + 9,
        due=NOW,
        webhook=Webhook(url, schedule),
    )


def _send(url: str, schedule: str = "native", sender: Sender | None = None, *, allow_private: bool = True) -> Delivery:
    sender = sender or Sender(allow_private=allow_private)
    return asyncio.run(sender.send(_job(url, schedule), '{"a": "图"}', SECRET, NOW))


def test_a_webhook_is_signed_by_the_standard(store: JobStore, tmp_path: Path) -> None:
    async def story() -> None:
        gateway = Gateway(store, tmp_path)
        gateway.clock.now = now = time.time()
        with receiving() as receiver:
            job = await gateway.submit(webhook=receiver.url)
            await gateway.tick()
            ((headers, body),) = receiver.requests
        assert json.loads(body) == {"job": job.id, "state": "succeeded"}
        assert headers[":path"] == "/hook?x=1"
        assert headers["content-type"] == "application/json"
        assert headers["webhook-id"] == f"msg_{job.id}"
        assert headers["webhook-timestamp"] == str(int(now))
        assert headers["traceparent"] == TRACE.parent
        Verifier(webhook_secret(store, "ours")).verify(body, dict(headers))
        for wrong in (webhook_secret(store, "theirs"), SECRET):
            with pytest.raises(WebhookVerificationError):
                Verifier(wrong).verify(body, dict(headers))
        told = await gateway.job(job.id)
        assert told.webhook is not None
        assert told.webhook.deliveries == (Delivery(now, 200, "delivered"),)
        assert (told.webhook.delivered, told.webhook.due, told.due) == (True, None, told.expires)

    asyncio.run(story())


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELED, JobState.EXPIRED])
def test_every_end_is_told(tmp_path: Path, state: JobState) -> None:
    async def story() -> None:
        gateway = Gateway(SQLiteStore(tmp_path / "jobs.sqlite"), tmp_path)
        with receiving() as receiver:
            job = await gateway.submit(webhook=receiver.url)
            if state is JobState.FAILED:
                gateway.endpoints.answers = [InvalidImage("Not a picture.")]
            elif state is JobState.CANCELED:
                await gateway.jobs.cancel("ours", job.id)
            else:
                gateway.clock.now += 21_600
            await gateway.tick()
            ((_, body),) = receiver.requests
        assert json.loads(body) == {"job": job.id, "state": state}

    asyncio.run(story())


def test_a_native_webhook_is_tried_for_hours_under_one_id(store: JobStore, tmp_path: Path) -> None:
    async def story() -> None:
        gateway = Gateway(store, tmp_path)
        with receiving(500, 503, 404, 500, 500, 500, 500, 500) as receiver:
            job = await gateway.submit(webhook=receiver.url)
            await gateway.tick()
            for number, pause in enumerate((10, 40, 160, 640, 2560, 10_240, 40_960), start=1):
                assert len(receiver.requests) == number
                await gateway.tick(after=pause - 1)
                assert len(receiver.requests) == number
                await gateway.tick(after=1)
            await gateway.tick(after=20_000)
            assert len(receiver.requests) == 8
            assert {headers["webhook-id"] for headers, _ in receiver.requests} == {f"msg_{job.id}"}
            assert len({headers["webhook-timestamp"] for headers, _ in receiver.requests}) == 8
        told = await gateway.job(job.id)
        assert told.webhook is not None
        assert not told.webhook.delivered
        assert [entry.outcome for entry in told.webhook.deliveries[:3]] == [
            "answered 500",
            "answered 503",
            "answered 404",
        ]
        assert told.due == told.expires

    asyncio.run(story())


@pytest.mark.parametrize(("statuses", "requests"), [((500, 200), 2), ((204,), 3), ((500, 500, 500, 200), 3)])
def test_hidream_tries_three_times_a_second_apart(tmp_path: Path, statuses: tuple[int, ...], requests: int) -> None:
    async def story() -> None:
        gateway = Gateway(SQLiteStore(tmp_path / "jobs.sqlite"), tmp_path)
        with receiving(*statuses) as receiver:
            job = await gateway.submit(webhook=receiver.url, schedule="hidream")
            for _ in range(6):
                await gateway.tick(after=1)
            assert len(receiver.requests) == requests
        told = await gateway.job(job.id)
        assert told.webhook is not None
        assert told.webhook.delivered == (requests == 2)

    asyncio.run(story())


def test_a_retry_that_is_due_in_a_second_is_made_by_the_same_tick(tmp_path: Path) -> None:
    async def story() -> None:
        gateway = Gateway(SQLiteStore(tmp_path / "jobs.sqlite"), tmp_path)
        gateway.jobs.clock = time.time
        with receiving(500, 500, 200) as receiver:
            await gateway.submit(webhook=receiver.url, schedule="hidream")
            await gateway.ticker.tick(gateway.jobs.clock() + 60)
            assert len(receiver.requests) == 3

    asyncio.run(story())


def test_a_receiver_that_is_gone_is_not_tried_again(tmp_path: Path) -> None:
    async def story() -> None:
        gateway = Gateway(SQLiteStore(tmp_path / "jobs.sqlite"), tmp_path)
        with receiving(410) as receiver:
            job = await gateway.submit(webhook=receiver.url)
            await gateway.tick()
            await gateway.tick(after=1_000)
            assert len(receiver.requests) == 1
        told = await gateway.job(job.id)
        assert told.webhook is not None
        assert told.webhook.deliveries[0].outcome == "gone: not tried again"

    asyncio.run(story())


def test_a_request_whose_outcome_was_lost_is_in_the_log_and_made_again(store: JobStore, tmp_path: Path) -> None:
    class Dying(Sender):
        async def send(self, job: Job, body: str, secret: bytes, now: float) -> Delivery:
            await super().send(job, body, secret, now)
            raise asyncio.CancelledError

    async def story() -> None:
        gateway = Gateway(store, tmp_path)
        alive = gateway.ticker
        gateway.ticker = gateway_jobs.Ticker(
            gateway.jobs, gateway.endpoints, Dying(allow_private=True), {"native": gateway_jobs.phrase}
        )
        with receiving() as receiver:
            job = await gateway.submit(webhook=receiver.url)
            await gateway.tick()
            gateway.ticker = alive
            await gateway.tick(after=24)
            assert len(receiver.requests) == 1
            await gateway.tick(after=1)  # the request's time-out, and the pause after it
            assert len({headers["webhook-id"] for headers, _ in receiver.requests}) == 1
            assert len(receiver.requests) == 2
        told = await gateway.job(job.id)
        assert told.webhook is not None
        assert [entry.outcome for entry in told.webhook.deliveries] == [INTERRUPTED, "delivered"]

    asyncio.run(story())


def test_two_processes_make_one_request(store: JobStore, tmp_path: Path) -> None:
    async def story() -> None:
        clock = gateway_jobs.Clock()
        several = [Gateway(store, tmp_path, clock=clock) for _ in range(4)]
        with receiving() as receiver:
            for _ in range(5):
                job = await several[0].submit(webhook=receiver.url)
                await several[0].jobs.cancel("ours", job.id)
            await asyncio.gather(*(gateway.tick() for gateway in several))
            assert len(receiver.requests) == 5

    asyncio.run(story())


def test_receivers_that_never_answer_hold_up_neither_looks_nor_other_tenants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SCHEDULES, "native", dataclasses.replace(SCHEDULES["native"], timeout=300.0))

    async def story() -> None:
        store = SQLiteStore(tmp_path / "jobs.sqlite")
        gateway = Gateway(store, tmp_path, asynchronous=True, looks=1, tells=2, tells_each=1)
        gateway.endpoints.looks = [Look(output=Output(b"out", "image/png"))]
        stop = asyncio.Event()
        with sites.accepting(sites.be_silent) as port, receiving() as receiver:
            for _ in range(3):
                untold = await gateway.submit(webhook=f"http://127.0.0.1:{port}/")
                await gateway.jobs.cancel("ours", untold.id)
            loop = asyncio.create_task(gateway.ticker.run(stop))
            while len(store.due_by_tenant(Lane.TELL, NOW, 3)["ours"]) == 3:  # none is begun
                await asyncio.sleep(0.01)
            told = await gateway.submit("theirs", webhook=receiver.url)
            await gateway.jobs.cancel("theirs", told.id)
            await gateway_jobs.until(lambda: bool(receiver.requests))
            job = await gateway.submit()
            await gateway.ticker.start(job)
            gateway.clock.now += 2
            assert (await gateway.jobs.wait("ours", job.id, 30)).state is JobState.SUCCEEDED
            stop.set()
            await loop

    asyncio.run(story())


def test_a_body_that_cannot_be_phrased_holds_nothing_up(tmp_path: Path) -> None:
    async def story() -> None:
        gateway = Gateway(SQLiteStore(tmp_path / "jobs.sqlite"), tmp_path)
        with receiving() as receiver:
            broken = await gateway.submit(webhook=receiver.url)
            await gateway.jobs.change(broken.id, lambda job: dataclasses.replace(job, dialect="unknown"))
            await gateway.submit(webhook=receiver.url)
            await gateway.tick()
            assert len(receiver.requests) == 1

    asyncio.run(story())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_named_and_not_followed(status: int) -> None:
    with receiving(status) as receiver:
        delivery = _send(receiver.url)
        assert len(receiver.requests) == 1
    assert delivery == Delivery(NOW, status, "redirects to https://elsewhere.test/hook: not followed, give that URL")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "169.254.169.254", "0x7f000001"])
def test_an_internal_address_is_refused(host: str) -> None:
    delivery = _send(f"http://{host}/", allow_private=False)
    assert delivery.status is None
    assert delivery.outcome.startswith("address refused: ")
    assert "internal address" in delivery.outcome


def test_metadata_is_refused_where_private_addresses_are_not() -> None:
    assert _send("http://169.254.169.254/").outcome.startswith("address refused: ")


def test_a_certificate_that_nobody_vouches_for_is_named(tmp_path: Path) -> None:
    context, _ = sites.certificate(tmp_path)
    with sites.serving(context) as site:
        delivery = _send(f"https://127.0.0.1:{site.server_port}/")
    assert (delivery.status, delivery.outcome) == (None, "TLS: self-signed certificate")


def test_a_certificate_of_another_host_is_named(tmp_path: Path) -> None:
    context, trust = sites.certificate(tmp_path)
    with sites.serving(context) as site:
        sender = Sender(allow_private=True, ssl_context=trust)
        delivery = _send(f"https://127.0.0.1:{site.server_port}/", sender=sender)
    assert delivery.outcome.startswith("TLS: IP address mismatch")


def test_what_speaks_no_tls_is_named() -> None:
    with receiving() as receiver:
        delivery = _send(receiver.url.replace("http:", "https:"))
    assert delivery.outcome.startswith("TLS: ")


def test_a_host_without_an_address_is_named() -> None:
    assert _send("http://nowhere.invalid/").outcome == "nowhere.invalid has no address."


def test_a_port_at_which_nobody_listens_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert _send(f"http://127.0.0.1:{port}/").outcome == "the connection failed"


@pytest.mark.parametrize("talk", [sites.be_silent, lambda connection: sites.drip(connection, b"HTTP/1.1 200" * 100)])
def test_a_receiver_that_is_slow_is_given_up(
    talk: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SCHEDULES, "native", dataclasses.replace(SCHEDULES["native"], timeout=0.5))
    with sites.accepting(talk) as port:
        assert _send(f"http://127.0.0.1:{port}/").outcome == "no answer within 0.5 s"


def test_what_answers_no_http_is_named() -> None:
    with sites.accepting(lambda connection: connection.sendall(b"220 mail.test ESMTP\r\n")) as port:
        assert _send(f"http://127.0.0.1:{port}/").outcome == "the connection failed"


def test_the_schedules_are_those_of_the_documents() -> None:
    hidream = SCHEDULES["hidream"]
    assert (hidream.timeout, hidream.pauses) == (5.0, (1.0, 1.0))
    assert hidream.accepts(200)
    assert not hidream.accepts(201)
    native = SCHEDULES["native"]
    assert sum(native.pauses) > 3 * 3_600
    assert [native.accepts(status) for status in (199, 200, 204, 299, 300, 500)] == [
        False,
        True,
        True,
        True,
        False,
        False,
    ]
