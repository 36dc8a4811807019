"""What a bill supposes, said beside it: how the endpoint is called, sizes, seconds, instances, prices and the day."""

from __future__ import annotations

import datetime
import shlex
from collections.abc import Sequence

from pixelserve_deploy.cost.amounts import format_grouped, format_percent, format_short
from pixelserve_deploy.cost.defaults import find_model
from pixelserve_deploy.cost.modes import INSTANCE, MODES
from pixelserve_deploy.cost.profile import LINK, MONTH_HOURS, UsageProfile, encode_size
from pixelserve_deploy.cost.question import Question
from pixelserve_deploy.cost.usage import MILLION
from pixelserve_deploy.cost.workload import Workload
from pixelserve_deploy.reports import Section, Table


def list_assumptions(workload: Workload, question: Question, command: Sequence[str]) -> dict[str, str]:
    """By what they are about, as a person reads them; `command` is the command line that asked."""
    profile = question.profile
    book = question.book
    given = ", ".join(f"{name} {format_grouped(amount)}" for name, amount in workload.prices)
    return {
        "called": "through API Gateway" if profile.gateway else "the endpoint itself, without API Gateway",
        "callers": "outside AWS" if profile.egress else f"in {profile.region}: nothing is billed for what leaves",
        "request": _describe_size(profile, "request"),
        "answer": _describe_answer(profile),
        "seconds": _describe_seconds(workload, question),
        "instances": _describe_instances(question),
        "month": f"{MONTH_HOURS} h",
        "region": profile.region,
        "prices": f"{book.id} of {book.effective_from}{f'; given: {given}' if given else ''}",
        "price source": book.source,
        "policy": question.policy.name,
        "reckoned on": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": shlex.join(["pixelserve", *command]),
    }


def build_assumptions_section(said: dict[str, str]) -> Section:
    """Them as a table."""
    return Section("What this supposes", Table(("About", "Supposed"), tuple(said.items())))


def _describe_size(profile: UsageProfile, part: str) -> str:
    size, encoding = getattr(profile, f"{part}_bytes"), getattr(profile, f"{part}_encoding")
    wire = encode_size(size, encoding)
    text = f"{format_short(size / MILLION)} MB, {encoding}"
    return text if wire == size else f"{text}: {format_short(wire / MILLION)} MB on the wire"


def _describe_answer(profile: UsageProfile) -> str:
    if profile.delivery == LINK:
        return f"{format_short(profile.response_bytes / MILLION)} MB in S3, by a link"
    return _describe_size(profile, "response")


def _describe_seconds(workload: Workload, question: Question) -> str:
    known = find_model(workload.model)
    documented = f"as documented for {format_short(known.request_bytes / MILLION)} MB"
    parts = []
    for machine, where, given in (
        (INSTANCE, question.profile.instance, workload.seconds or workload.measured),
        ("memory", f"Lambda or serverless with {question.profile.memory_mb} MB", workload.cpu_seconds),
    ):
        seconds = question.seconds[machine]
        if seconds is not None:
            source = "measured" if given is workload.measured and given is not None else "given"
            parts.append(f"{format_short(seconds)} on {where}, {source if given is not None else documented}")
    return "; ".join(parts) or "not known"


def _describe_instances(question: Question) -> str:
    scaling = question.scaling
    count = "as many as the load needs" if scaling.instances is None else f"{scaling.instances}"
    return (
        f"{question.profile.instance}, {count}, driven at {format_percent(scaling.utilisation)} at most "
        f"({MODES['batch'].title} at 100 %), {question.profile.concurrency} at a time"
    )
