"""The one engine: usage times price, by a policy, in Decimals, with where each figure comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from pixelserve_deploy.cost.amounts import format_grouped, format_plain, round_half_up
from pixelserve_deploy.cost.errors import CostError
from pixelserve_deploy.cost.policy import Policy
from pixelserve_deploy.cost.pricebook import MARKED, Allowance, Price, PriceBook
from pixelserve_deploy.cost.profile import UsageProfile
from pixelserve_deploy.cost.usage import PER_MS_PLACES, Usage, list_usages

UNITS = {"1M requests": "million", "1k requests": "thousand", "hour": "h"}
"""Units of price books as formulas call them."""


@dataclass(frozen=True)
class Erratum:
    """What a document has wrong. With `printed` and `expected` it is an amount, otherwise a remark."""

    why: str
    line: str | None = None
    printed: Decimal | None = None
    expected: Decimal | None = None


@dataclass(frozen=True)
class LineItem:
    """One line of a bill."""

    key: str
    service: str
    usage: str
    quantity: Decimal
    unit: str
    unit_price: Decimal
    formula: str
    unit_system: str
    rounding: str
    amount: Decimal
    price: Price
    status: str
    """That of the price, or of the first tier reached that has its own."""
    erratum: Erratum | None = None
    allowance: Allowance | None = None
    """What was taken off as free."""

    @property
    def marked(self) -> bool:
        """Whether the price is derived or unverified."""
        return self.status in MARKED


@dataclass(frozen=True)
class Estimate:
    """The bill of a profile, in the currency of the book."""

    id: str
    currency: str
    policy: Policy
    book: str
    profile: UsageProfile
    lines: tuple[LineItem, ...]

    @property
    def total(self) -> Decimal:
        """The sum of the lines as they are, rounded or not."""
        return sum((line.amount for line in self.lines), Decimal(0))

    @property
    def marked(self) -> list[str]:
        """The keys of the lines whose prices are derived or unverified."""
        return sorted({line.key for line in self.lines if line.marked})

    @property
    def per_million(self) -> Decimal | None:
        """The total for a million requests; None without requests."""
        return self.total / self.profile.requests * 10**6 if self.profile.requests else None


def estimate(
    profile: UsageProfile,
    book: PriceBook,
    policy: Policy,
    *,
    free_tier: bool = False,
    errata: Sequence[Erratum] = (),
    name: str = "estimate",
) -> Estimate:
    """The bill. Raises PriceMissing for what the book does not have."""
    by_line = {erratum.line: erratum for erratum in errata if erratum.printed is not None}
    usages = list_usages(profile, policy)
    book.require(profile.region, [usage.price for usage in usages])
    lines = [_line(usage, profile, book, policy, free_tier, by_line.get(usage.key)) for usage in usages]
    return Estimate(name, book.currency, policy, book.id, profile, tuple(lines))


def list_account_lines(bills: Sequence[Estimate], book: PriceBook, *, free_tier: bool) -> tuple[LineItem, ...]:
    """What one account pays for bills of one region, period and policy: tiers and what is free count once.

    Raises PriceMissing for what the book does not have.
    """
    profile, policy = bills[0].profile, bills[0].policy
    usages: dict[tuple[str, str], Usage] = {}
    for bill in bills:
        for usage in list_usages(bill.profile, policy):
            usages[usage.price] = usages[usage.price].plus(usage) if usage.price in usages else usage
    return tuple(_line(usage, profile, book, policy, free_tier, None) for usage in usages.values())


def _line(
    usage: Usage, profile: UsageProfile, book: PriceBook, policy: Policy, free_tier: bool, erratum: Erratum | None
) -> LineItem:
    service, dimension = usage.price
    price = book.price(service, profile.region, dimension)
    _same_unit(usage, price)
    allowance = book.free.get((service, dimension)) if free_tier else None
    if allowance is not None:
        _same_unit(usage, allowance)
    free = min(usage.quantity, usage.counted(allowance.amount * profile.months)) if allowance else Decimal(0)
    parts = _parts(usage, price, policy, usage.quantity - free, profile.months)
    amount = sum((quantity * unit_price for quantity, unit_price in parts), Decimal(0))
    sums = " + ".join(f"{format_grouped(quantity)} x {format_plain(unit_price)}" for quantity, unit_price in parts)
    less = f" - {format_grouped(free)} free" if free else ""
    unit = UNITS.get(usage.unit, usage.unit)
    formula = f"{usage.formula} = {format_grouped(usage.quantity)} {unit}{less}; {sums} = {format_grouped(amount)}"
    if policy.cents:
        amount = round_half_up(amount, 2)
    if policy.errata and erratum is not None and erratum.printed is not None:
        formula = f"{formula}; printed {format_plain(erratum.printed)}"
        amount = erratum.printed
    return LineItem(
        key=usage.key,
        service=usage.service,
        usage=usage.text,
        quantity=usage.quantity,
        unit=usage.unit,
        unit_price=parts[0][1],
        formula=formula,
        unit_system=usage.unit_system,
        rounding=_rounding(usage, policy),
        amount=amount,
        price=price,
        status=next((tier.status for tier in price.tiers[: len(parts)] if tier.status), price.status),
        erratum=erratum,
        allowance=allowance,
    )


def _same_unit(usage: Usage, price: Price | Allowance) -> None:
    """Raises CostError where the book counts otherwise than the usage."""
    if price.unit != usage.price_unit:
        raise CostError(
            f"{price.service} {price.dimension} is priced per {price.unit}, and the usage is counted per "
            f"{usage.price_unit}. Correct the unit in the price book."
        )


def _parts(
    usage: Usage, price: Price, policy: Policy, quantity: Decimal, months: Decimal
) -> list[tuple[Decimal, Decimal]]:
    """Quantities with their unit prices, one for each tier that is reached; always at least one."""
    if usage.factor is not None:
        return [(quantity, round_half_up(price.first * usage.factor, PER_MS_PLACES))]
    if not policy.tiers:
        return [(quantity, price.first)]
    parts: list[tuple[Decimal, Decimal]] = []
    start = Decimal(0)
    for tier in price.tiers:
        end = quantity if tier.up_to is None else min(quantity, tier.up_to * months)
        if end > start or not parts:
            parts.append((end - start, tier.price))
        start = max(start, end)
    return parts


def _rounding(usage: Usage, policy: Policy) -> str:
    words = [f"price per ms to {PER_MS_PLACES} decimals"] if usage.factor is not None else []
    return ", ".join([*words, "to the cent"]) + ", half up" if policy.cents else "none"
