"""The documents' job with each lever pulled: what remains of the bill."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from pixelserve_deploy.cost.defaults import SCALE, estimate_answer_bytes
from pixelserve_deploy.cost.documented import DocumentedCase
from pixelserve_deploy.cost.engine import Estimate, estimate
from pixelserve_deploy.cost.modes import Scaling, apply_mode, require_possible
from pixelserve_deploy.cost.policy import AS_DOCUMENTED, DOCUMENTED_CORRECTED, EXACT
from pixelserve_deploy.cost.pricebook import PriceBook
from pixelserve_deploy.cost.profile import LINK, RAW, UsageProfile


@dataclass(frozen=True)
class Lever:
    """One way to run the job, and its bill."""

    what: str
    bill: Estimate


@dataclass(frozen=True)
class Measurement:
    """Seconds per image on an instance, from a benchmark."""

    instance: str
    seconds: Decimal


def pull_levers(case: DocumentedCase, book: PriceBook, scaling: Scaling, measured: Measurement | None) -> list[Lever]:
    """The bills, from the printed one on; those from the third on have the prices of `book`.

    Raises CostError where the instances of `scaling` cannot serve the job.
    """
    exact = case.profile
    month = apply_mode(exact, "realtime", scaling)
    jpeg, webp = (_answers(month, codec) for codec in ("jpeg", "webp"))
    link = replace(webp, delivery=LINK)
    inside = replace(link, egress=False)
    queued = apply_mode(inside, "async", scaling)
    rows = {
        "answers of the same size as JPEG bytes, not Base64": replace(month, response_encoding=RAW),
        "answers in JPEG, at the size measured": jpeg,
        "answers in WebP, at the size measured": webp,
        "WebP by links to S3, read over the internet": link,
        "WebP by links to S3, read in the region": inside,
        f"the same, asynchronous on {queued.instance}, scaled to zero": queued,
        "the same, in a batch transform a day": apply_mode(inside, "batch", scaling),
    }
    if measured is not None:
        faster = replace(inside, instance=measured.instance, seconds=measured.seconds)
        rows[f"the same, at measured speed on {measured.instance}"] = apply_mode(faster, "batch", scaling)
    for profile in (month, *rows.values()):
        require_possible(profile, scaling)
    return [
        Lever("as the document prints it", case.estimate(AS_DOCUMENTED)),
        Lever("with its error corrected", case.estimate(DOCUMENTED_CORRECTED)),
        Lever("counted exactly: Base64, today's price of the instance", estimate(exact, book, EXACT)),
        Lever("with the instance on all month", estimate(month, book, EXACT)),
        *(Lever(what, estimate(profile, book, EXACT)) for what, profile in rows.items()),
    ]


def _answers(profile: UsageProfile, codec: str) -> UsageProfile:
    size = estimate_answer_bytes(profile.request_bytes, SCALE, codec)
    return replace(profile, response_encoding=RAW, response_bytes=size)
