"""Tells webhooks of the ends of jobs, and keeps the log of it in each job."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import Mapping

from pixelserve_gateway.jobs.job import Delivery, Job, Webhook, with_webhook
from pixelserve_gateway.jobs.secret import webhook_secret
from pixelserve_gateway.jobs.service import JobService
from pixelserve_gateway.jobs.webhooks import GONE, SCHEDULES, Phrase, Sender

INTERRUPTED = "interrupted before the answer was known"
_SHORT_PAUSE = 2.0


class Deliveries:
    """`phrases` are the bodies of webhooks by dialect."""

    def __init__(self, jobs: JobService, sender: Sender, phrases: Mapping[str, Phrase]) -> None:
        self._jobs = jobs
        self._sender = sender
        self._phrases = phrases

    async def deliver(self, job_id: str) -> None:
        """Makes a request to the job's webhook, and the next ones too when they are due within seconds."""
        while (job := await self._make_request(job_id)) is not None:
            assert job.webhook is not None
            pause = (job.webhook.due or math.inf) - self._jobs.clock()
            if pause > _SHORT_PAUSE:
                break
            await asyncio.sleep(max(pause, 0))

    async def _make_request(self, job_id: str) -> Job | None:
        """One request, if it is due. It is in the log before it is made, so that none is forgotten."""
        begun = await self._jobs.change(job_id, self._begun_delivery)
        if begun is None:
            return None
        assert begun.webhook is not None
        secret = await self._jobs.threads.write(webhook_secret, self._jobs.store, begun.tenant)
        delivery = await self._sender.send(begun, self._phrases[begun.dialect](begun), secret, self._jobs.clock())
        number = len(begun.webhook.deliveries)
        return await self._jobs.change(job_id, lambda job: self._ended_delivery(job, number, delivery))

    def _begun_delivery(self, job: Job) -> Job | None:
        """The job with a further request in its log, and the time of the one after, should this process end now."""
        now, webhook = self._jobs.clock(), job.webhook
        if not is_due(webhook, now):
            return None
        assert webhook is not None
        schedule = SCHEDULES[webhook.schedule]
        deliveries = (*webhook.deliveries, Delivery(now, None, INTERRUPTED))
        due = schedule.next_due(len(deliveries), now + schedule.timeout)
        return with_webhook(job, dataclasses.replace(webhook, deliveries=deliveries, due=due))

    def _ended_delivery(self, job: Job, number: int, delivery: Delivery) -> Job | None:
        """The job with the outcome of that request in its log."""
        webhook = job.webhook
        if webhook is None or len(webhook.deliveries) < number:
            return None
        schedule = SCHEDULES[webhook.schedule]
        deliveries = (*webhook.deliveries[: number - 1], delivery, *webhook.deliveries[number:])
        delivered = webhook.delivered or (delivery.status is not None and schedule.accepts(delivery.status))
        due = webhook.due
        if delivered or delivery.status == GONE:
            due = None
        elif number == len(webhook.deliveries):
            due = schedule.next_due(number, self._jobs.clock())
        return with_webhook(job, dataclasses.replace(webhook, deliveries=deliveries, due=due, delivered=delivered))


def is_due(webhook: Webhook | None, now: float) -> bool:
    """Whether the webhook's next request is to be made."""
    return webhook is not None and webhook.due is not None and webhook.due <= now
