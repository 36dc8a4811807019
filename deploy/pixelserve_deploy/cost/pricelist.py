"""AWS's Price List: from its answers, or from downloaded offer files, to one price or a refusal.

The list has many rows that look like the one that is wanted. A price is taken only from exactly one product of exactly
the region, with one on-demand term, in the unit and the currency of the book. Products of other components (HyperPod's
`Cluster`), of training plans, and those that cost nothing are left aside; what is ambiguous then is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from pixelserve.errors import Unavailable
from pixelserve_deploy.aws import find_partition
from pixelserve_deploy.cost.errors import CostError
from pixelserve_deploy.cost.pricebook import Price, Tier

Product = Mapping[str, Any]
"""One answer of get_products: product, serviceCode, terms, version."""
API_REGION = {"aws": "us-east-1", "aws-cn": "cn-northwest-1"}
"""Where each partition answers for its price list."""


class PriceRefused(CostError):
    """The list has not exactly the one price that was asked for."""


@dataclass(frozen=True)
class Wanted:
    """A price of the book, and how the list calls it."""

    service: str
    """Of the book, and the list's code unless `--service-code` names another."""
    dimension: str
    unit: str
    attributes: Mapping[str, str]
    """What the product has exactly; the region comes on top."""
    usage_type: str
    """A regular expression of the usage type after the region's prefix."""
    units: tuple[str, ...]
    """The list's own."""
    region_attribute: str = "regionCode"
    per: Decimal = Decimal(1)
    """The book's unit, in the list's."""
    tiered: bool = True

    def matches(self, product: Product, region: str) -> bool:
        """Whether the product is of this kind and region."""
        attributes = product["product"].get("attributes", {})
        wanted = {**self.attributes, self.region_attribute: region}
        usage_type = rf"(?:[A-Z]{{2,4}}\d?-)?{self.usage_type}"
        return all(attributes.get(key) == value for key, value in wanted.items()) and bool(
            re.fullmatch(usage_type, attributes.get("usagetype", ""))
        )


MILLION = Decimal(10**6)
TRAFFIC = (
    Wanted("AWSLambda", "duration", "GB-second", {"group": "AWS-Lambda-Duration"}, "Lambda-GB-Second",
           ("Lambda-GB-Second", "Second", "seconds")),
    Wanted("AWSLambda", "requests", "1M requests", {"group": "AWS-Lambda-Requests"}, "Request", ("Requests", "Request"),
           per=MILLION),
    Wanted("AmazonApiGateway", "requests", "1M requests", {}, "ApiGatewayRequest", ("Requests",), per=MILLION),
    Wanted("AWSDataTransfer", "out", "GB", {"transferType": "AWS Outbound"}, "DataTransfer-Out-Bytes", ("GB",),
           region_attribute="fromRegionCode"),
    Wanted("AmazonCloudWatch", "ingestion", "GB", {}, "DataProcessing-Bytes", ("GB",)),
    Wanted("AmazonECR", "storage", "GB-month", {}, "TimedStorage-ByteHrs", ("GB-Mo",)),
)  # fmt: skip


def want_hosting(instance: str) -> Wanted:
    """The hour of an endpoint's instance."""
    attributes = {"instanceName": instance, "component": "Hosting"}
    return Wanted("AmazonSageMaker", f"hosting {instance}", "hour", attributes, f"Host:{re.escape(instance)}", ("Hrs",),
                  tiered=False)  # fmt: skip


def fetch_products(client: Any, region: str, wanted: Wanted, code: str) -> list[Product]:
    """What the API has, page by page; `client` is boto3's of `pricing`. Raises Unavailable when it does not answer."""
    from botocore.exceptions import BotoCoreError, ClientError

    filters = [
        {"Type": "TERM_MATCH", "Field": field, "Value": value}
        for field, value in {wanted.region_attribute: region, **wanted.attributes}.items()
    ]
    request: dict[str, Any] = {"ServiceCode": code, "Filters": filters, "FormatVersion": "aws_v1"}
    found: list[Product] = []
    while True:
        try:
            answer = client.get_products(**request)
        except (BotoCoreError, ClientError) as error:
            raise Unavailable(f"The price list did not answer: {error} --from-file reads a downloaded offer.") from None
        found += [json.loads(text) for text in answer["PriceList"]]
        if not answer.get("NextToken"):
            return found
        request["NextToken"] = answer["NextToken"]


def read_offers(paths: Iterable[Path]) -> list[Product]:
    """The products of downloaded offer files, in the API's form. Raises CostError for other files."""
    return [product for path in paths for product in _offer(path)]


def _offer(path: Path) -> Iterator[Product]:
    try:
        offer = json.loads(path.read_text("utf-8"))
        terms = offer["terms"].get("OnDemand", {})
        products = offer["products"]
        head = {"serviceCode": offer["offerCode"], "version": offer["version"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CostError(
            f"{path} is no offer file: {error!r}. Download a service's index.json of the region from the Price List."
        ) from None
    for sku, product in products.items():
        yield {**head, "product": product, "terms": {"OnDemand": terms.get(sku, {})}}


def pick_price(products: Iterable[Product], wanted: Wanted, region: str, currency: str, as_of: str) -> Price:
    """The one price. Raises PriceRefused naming what there is instead."""
    name = f"{wanted.service} {wanted.dimension} in {region}"
    candidates = [product for product in products if wanted.matches(product, region)]
    rows = [(product, _dimensions(product, name)) for product in candidates]
    priced = [(product, found) for product, found in rows if not _costs_nothing(found)]
    if len(priced) != 1:
        types = [product["product"]["attributes"]["usagetype"] for product, _ in priced]
        free = len(rows) - len(priced)
        aside = f", {free} without a charge aside" if free else ""
        raise PriceRefused(
            f"{name}: the list has {len(priced)} products, not one{aside} ({', '.join(types) or 'none'})."
        )
    product, found = priced[0]
    if len(found) > 1 and not wanted.tiered:
        raise PriceRefused(f"{name}: one price dimension is expected, the list has {len(found)}.")
    return Price(
        service=wanted.service,
        region=region,
        dimension=wanted.dimension,
        unit=wanted.unit,
        tiers=_tiers(found, wanted, currency, name),
        status="observed",
        as_of=as_of,
        source=f"AWS Price List, {product['serviceCode']} {product['version']}, SKU {product['product']['sku']}",
    )


def _dimensions(product: Product, name: str) -> list[Mapping[str, Any]]:
    """The price dimensions of the product's one on-demand term."""
    terms = list(product["terms"].get("OnDemand", {}).values())
    if len(terms) != 1:
        raise PriceRefused(f"{name}: one on-demand term is expected, the list has {len(terms)}.")
    return list(terms[0]["priceDimensions"].values())


def _costs_nothing(dimensions: Iterable[Mapping[str, Any]]) -> bool:
    return all(_amount(text) == 0 for row in dimensions for text in row["pricePerUnit"].values())


def _tiers(dimensions: Iterable[Mapping[str, Any]], wanted: Wanted, currency: str, name: str) -> tuple[Tier, ...]:
    rows = sorted(dimensions, key=lambda row: _amount(row.get("beginRange", "0")))
    tiers, start = [], Decimal(0)
    for row in rows:
        if row["unit"] not in wanted.units:
            raise PriceRefused(f"{name}: the unit is {row['unit']}, not {' or '.join(wanted.units)}.")
        if currency not in row["pricePerUnit"]:
            raise PriceRefused(f"{name}: priced in {', '.join(row['pricePerUnit'])}, and the book is in {currency}.")
        price = _amount(row["pricePerUnit"][currency])
        if price <= 0:
            raise PriceRefused(f"{name}: a tier costs {price}; an allowance is no price.")
        if _amount(row.get("beginRange", "0")) != start:
            raise PriceRefused(f"{name}: the tiers do not join at {start}.")
        end = row.get("endRange", "Inf")
        start = Decimal("Inf") if end == "Inf" else _amount(end)
        tiers.append(Tier(None if end == "Inf" else start / wanted.per, price * wanted.per))
    if start.is_finite():
        raise PriceRefused(f"{name}: the last tier ends at {start}.")
    return tuple(tiers)


def _amount(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise PriceRefused(f"{text!r} in the price list is no number.") from None


def make_pricing_client(region: str) -> Any:
    """boto3's client of the price list that has the region. Raises ModuleNotFoundError without boto3."""
    import boto3

    return boto3.client("pricing", region_name=API_REGION[find_partition(region)])
