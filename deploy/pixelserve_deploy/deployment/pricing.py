"""What an endpoint costs by its existence, from the price books: an hour and a month, at rest and at most.

What is paid by the request is left to `pixelserve cost estimate`.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from decimal import Decimal

from pixelserve_deploy.cost import MONTH_HOURS, PriceBook, PriceMissing, find_newest_book, format_money
from pixelserve_deploy.deployment.spec import EndpointSpec, Mode

FREE = Decimal(0)
SAGEMAKER, LAMBDA = "AmazonSageMaker", "AWSLambda"
KINDS = {Mode.REALTIME: "hosting", Mode.ASYNC: "async"}
"""How price books call the hours of instances."""
LIKE = 0.95
"""How alike a misspelt instance type is to the right one, by difflib's ratio: ml.g4dn.xlage has 0.96."""
BESIDE = "Requests, data, storage and logs come on top: pixelserve cost estimate."


@dataclass(frozen=True)
class Cost:
    """Amounts are in the currency of the region's price book; None is what no book has, and a note says so."""

    currency: str
    hour_at_rest: Decimal | None
    hour_at_most: Decimal | None
    book: str
    notes: tuple[str, ...] = ()

    @property
    def month_at_rest(self) -> Decimal | None:
        return _month(self.hour_at_rest)

    @property
    def month_at_most(self) -> Decimal | None:
        return _month(self.hour_at_most)


def price_endpoint(spec: EndpointSpec, region: str, book: PriceBook | None = None) -> Cost:
    """The cost in a region, by its newest price book unless another is given. Nothing is guessed."""
    try:
        book = book or find_newest_book(region)
    except PriceMissing as error:
        return Cost("USD", None, None, "", (str(error),))
    price = _price_fleet if spec.is_on_instances else _price_memory
    try:
        rest, most, notes = price(spec, region, book)
    except PriceMissing as error:
        return Cost(book.currency, None, None, book.id, (str(error),))
    return Cost(book.currency, rest, most, book.id, (*notes, BESIDE))


def _price_fleet(spec: EndpointSpec, region: str, book: PriceBook) -> tuple[Decimal, Decimal, tuple[str, ...]]:
    """At rest all instances are of the first type, at most all of the dearest."""
    unknown = [kind for kind in spec.instances if not book.find(SAGEMAKER, region, f"{KINDS[spec.mode]} {kind}")]
    if unknown and region in book.regions:
        raise PriceMissing(f"No price is known of {', '.join(unknown)} in {region}.{suggest_type(unknown[0], book)}")
    hours = [book.price(SAGEMAKER, region, f"{KINDS[spec.mode]} {kind}").first for kind in spec.instances]
    notes = ["An update by blue/green doubles the instances for some minutes."]
    if len(spec.instances) > 1:
        pools = zip(spec.instances, hours, strict=True)
        listed = ", ".join(f"{kind} {format_money(hour, book.currency, 3)}" for kind, hour in pools)
        notes.append(f"An hour of the pools, in order of preference: {listed}.")
    if spec.least == 0:
        notes.append("It starts with one instance, and scales to none when no request waits.")
    return spec.least * hours[0], spec.greatest * max(hours), tuple(notes)


def suggest_type(name: str, book: PriceBook) -> str:
    """A question that names the instance type which was meant, if there is one like it."""
    known = {dimension.rpartition(" ")[2] for service, _, dimension in book.prices if service == SAGEMAKER}
    close = [] if name in known else difflib.get_close_matches(name, known, 1, LIKE)
    return f" Did you mean {close[0]}?" if close else ""


def _price_memory(spec: EndpointSpec, region: str, book: PriceBook) -> tuple[Decimal, Decimal | None, tuple[str, ...]]:
    """Nothing at rest; at most every call that may run at once, all the time."""
    service, dimension = (SAGEMAKER, "serverless") if spec.mode is Mode.SERVERLESS else (LAMBDA, "duration")
    hour = book.price(service, region, dimension).first * Decimal(spec.memory_mb) / 1024 * 3600
    if spec.calls_at_once is None:
        return FREE, None, ("As many calls run at once as the account allows; `concurrency` sets a limit.",)
    return FREE, spec.calls_at_once * hour, ()


def _month(hour: Decimal | None) -> Decimal | None:
    return None if hour is None else hour * MONTH_HOURS
