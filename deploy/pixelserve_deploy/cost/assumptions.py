"""What bills suppose, said beside them: what is called and how, sizes, seconds, instances, prices and the day."""

from __future__ import annotations

import datetime
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from pixelserve_deploy.cost.amounts import format_grouped, format_measure, format_percent, format_short, round_half_up
from pixelserve_deploy.cost.defaults import SCALE, find_model
from pixelserve_deploy.cost.documented import DocumentedCase
from pixelserve_deploy.cost.modes import INSTANCE, MODES, Scaling, apply_mode, count_start_hours, name_carrier
from pixelserve_deploy.cost.policy import AS_DOCUMENTED, DOCUMENTED_CORRECTED, EXACT, Policy
from pixelserve_deploy.cost.pricebook import PriceBook, name_price
from pixelserve_deploy.cost.profile import LINK, MONTH_HOURS, RAW, UsageProfile, encode_size
from pixelserve_deploy.cost.question import Question
from pixelserve_deploy.cost.simulation import Fleet
from pixelserve_deploy.cost.usage import format_size
from pixelserve_deploy.cost.workload import Workload
from pixelserve_deploy.reports import Section, Table


@dataclass(frozen=True)
class Basis:
    """What one bill rests on; `profile` is the bill's own, in its mode."""

    workload: Workload
    question: Question
    profile: UsageProfile


Describe = Callable[[Basis], str | None]
Assumptions = dict[str, str | dict[str, str]]
"""By what they are about, as a person reads them; by the names of bills where these differ."""


def list_assumptions(
    bases: Mapping[str, Basis], question: Question, command: Sequence[str], fleet: Fleet | None = None
) -> Assumptions:
    """Only what the bills of `bases`, by their names, count with. `command` is the command line that asked.

    With a `fleet` the instances are those of its simulation.
    """
    aspects: dict[str, Describe] = {
        "requests": _describe_requests,
        "called": _describe_call,
        "callers": _describe_callers,
        "request": _describe_request,
        "answer": _describe_answer,
        "logs": lambda basis: f"{format_size(basis.profile.log_bytes)} a request",
        "registry": lambda basis: f"an image of {format_grouped(basis.profile.image_gb)} GB",
        "seconds": _describe_seconds,
        "instances": _describe_instances if fleet is None else lambda basis: _describe_fleet(basis, fleet),
        "requests at a time": _describe_concurrency,
        "starts": _describe_starts if fleet is None else lambda _: _describe_scaling(fleet),
    }
    said: Assumptions = {}
    for about, describe in aspects.items():
        texts = {name: text for name, basis in bases.items() if (text := describe(basis))}
        is_of_all = len(texts) == len(bases) and len(set(texts.values())) == 1
        said[about] = next(iter(texts.values())) if is_of_all else texts
    if fleet is not None:
        said["patience"] = f"late after {fleet.late_after:g} s, failed after {fleet.time_out:g} s of waiting"
    policy = question.policy
    said |= {
        "month": f"{MONTH_HOURS} h",
        "policy": policy.name,
        "tiers": "each at its own price" if policy.tiers else "the price of the first for all",
        "free tier": "taken off" if question.free_tier else "not taken off",
        **list_circumstances(question.book, question.profile.region, command),
    }
    return {about: text for about, text in said.items() if text}


def list_lever_assumptions(job: DocumentedCase, question: Question, command: Sequence[str]) -> Assumptions:
    """The same of the documents' job with each lever pulled: what its rows have in common."""
    profile, scaling = job.profile, question.scaling
    count = "as many as the load needs" if scaling.instances is None else str(scaling.instances)
    return {
        "job": f"{job.id}: {format_grouped(profile.requests)} requests a month of "
        f"{format_size(profile.request_bytes)}, {format_measure(profile.seconds)} s each on {profile.instance}",
        "called": "through API Gateway; by a job in batch transform",
        "instances": f"{count}, driven at {format_percent(scaling.utilisation)} at most from the row on that has them "
        "on all month; those of batch transform at 100 %",
        "starts": {mode: text for mode in MODES if (text := _name_starts(apply_mode(profile, mode, scaling), scaling))},
        "month": f"{MONTH_HOURS} h",
        "policy": f"{AS_DOCUMENTED.name}, {DOCUMENTED_CORRECTED.name}, and {EXACT.name} for the rest",
        **list_circumstances(question.book, profile.region, command),
    }


def list_circumstances(book: PriceBook, region: str, command: Sequence[str]) -> dict[str, str]:
    """Where, when and with which prices was reckoned, and by which command."""
    prices = [book.price(service, region, dimension) for service, dimension in sorted(book.given)]
    given = ", ".join(f"{name_price(price.service, price.dimension)} {format_grouped(price.first)}" for price in prices)
    return {
        "region": region,
        "prices": f"{book.id} of {book.effective_from}{f'; given: {given}' if given else ''}",
        "price source": book.source,
        "reckoned on": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": shlex.join(["pixelserve", *command]),
    }


def build_assumptions_section(said: Mapping[str, str | dict[str, str]]) -> Section:
    """Them as a table; what differs has a row for each text, with the names of the bills that have it."""
    rows = []
    for about, supposed in said.items():
        if isinstance(supposed, str):
            rows.append((about, supposed))
        else:
            for text in dict.fromkeys(supposed.values()):
                names = (name for name in supposed if supposed[name] == text)
                rows.append((f"{about} ({', '.join(names)})", text))
    return Section("What this supposes", Table(("About", "Supposed"), tuple(rows)))


def _name_starts(profile: UsageProfile, scaling: Scaling) -> str | None:
    """How often instances start, and what is billed around it; None where nothing is."""
    hours = count_start_hours(profile, scaling)
    if not hours:
        return None
    starts = hours / scaling.start_hours
    often = round_half_up(starts * 24 / MONTH_HOURS, 4)
    said = f"{format_short(often)} a day" if often >= 1 else f"{format_short(starts)} a month"
    return f"{said}, of {format_grouped(60 * scaling.start_hours)} min each"


def _describe_requests(basis: Basis) -> str:
    profile = basis.profile
    number = format_grouped(profile.requests)
    if profile.months == 1:
        return f"{number} a month"
    hours = format_grouped(round_half_up(profile.months * MONTH_HOURS, 2))
    return f"{number} in {hours} h, {format_grouped(profile.answered)} of them answered"


def _describe_call(basis: Basis) -> str | None:
    profile = basis.profile
    if profile.mode == "batch":
        return "by a job" if profile.gateway else None
    return "through API Gateway" if profile.gateway else "directly, without API Gateway"


def _describe_callers(basis: Basis) -> str:
    profile = basis.profile
    return "outside AWS" if profile.egress else f"in {profile.region}: nothing is billed for what leaves"


def _describe_request(basis: Basis) -> str:
    profile = basis.profile
    if carrier := name_carrier(profile):
        return f"{format_size(profile.request_bytes)}{carrier}"
    encoding = profile.request_encoding if MODES[profile.mode].waits else RAW
    return _describe_size(profile.request_bytes, encoding, basis.question.policy)


def _describe_answer(basis: Basis) -> str:
    profile = basis.profile
    if profile.delivery == LINK:
        return f"{format_size(profile.response_bytes)}, read from S3"
    return _describe_size(profile.response_bytes, profile.response_encoding, basis.question.policy)


def _describe_size(size: Decimal, encoding: str, policy: Policy) -> str:
    wire = encode_size(size, encoding)
    text = f"{format_size(size)}, {encoding}"
    if wire == size:
        return text
    return f"{text}: {f'{format_size(wire)} on the wire' if policy.base64 else f'counted as {format_size(size)}'}"


def _describe_seconds(basis: Basis) -> str:
    workload, profile = basis.workload, basis.profile
    seconds = f"{format_measure(profile.seconds)} on"
    if MODES[profile.mode].machine != INSTANCE:
        source = _cite_document(basis) if workload.cpu_seconds is None else "given"
        return f"{seconds} a CPU with {profile.memory_mb} MB, {source}"
    source = "measured" if workload.measured else "given" if workload.seconds else _cite_document(basis)
    asked = basis.question.profile.instance
    return f"{seconds} {profile.instance}, {source}{'' if profile.instance == asked else f'; those of {asked}'}"


def _cite_document(basis: Basis) -> str:
    """What the documents' seconds are of."""
    known, size = find_model(basis.workload.model), basis.profile.request_bytes
    source = f"as documented for {format_size(known.request_bytes)}"
    if not known.enlarges:
        return source
    scaled = "" if size == known.request_bytes else ", in proportion to the size"
    return f"{source} at x{SCALE}{scaled}"


def _describe_instances(basis: Basis) -> str | None:
    profile, scaling = basis.profile, basis.question.scaling
    driven = f"driven at {format_percent(scaling.utilisation)} at most"
    count = scaling.instances
    if profile.mode == "realtime":
        number = "as many as the load needs" if count is None else str(count)
        return f"{profile.instance}, always on: {number}, {driven}"
    return {
        "autoscaled": f"{profile.instance}: as many as the load needs, {count or 1} or more, {driven}",
        "async": f"{profile.instance}: as many as the load needs, none without any, {driven}",
        "batch": f"{profile.instance}: as long as a job works, at 100 %",
    }.get(profile.mode)


def _describe_fleet(basis: Basis, fleet: Fleet) -> str:
    aim = format_percent(Decimal(str(fleet.utilisation)))
    return f"{basis.profile.instance}: {fleet.least} to {fleet.most}, scaled so that they are driven at {aim}"


def _describe_scaling(fleet: Fleet) -> str:
    return (
        f"an instance works {fleet.cold_start:g} s after its order and is billed from then on; {fleet.cool_out:g} s "
        f"between scale-outs, {fleet.cool_in:g} s of calm before a scale-in"
    )


def _describe_concurrency(basis: Basis) -> str | None:
    if MODES[basis.profile.mode].machine != INSTANCE:
        return None
    if basis.workload.measured:
        return "as many an instance as when it was measured"
    return f"{basis.profile.concurrency} an instance"


def _describe_starts(basis: Basis) -> str | None:
    return _name_starts(basis.profile, basis.question.scaling)
