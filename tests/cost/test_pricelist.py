"""AWS's Price List: the rows that look like the one wanted, through botocore's stubber, and offer files."""

from __future__ import annotations

import copy
import datetime
import json
from decimal import Decimal
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from profiles import BOOK

from pixelserve_deploy import cli
from pixelserve_deploy.cost import pricelist
from pixelserve_deploy.cost.errors import PriceMissing
from pixelserve_deploy.cost.pricebook import find_book
from pixelserve_deploy.cost.pricelist import (
    API_REGION,
    TRAFFIC,
    PriceRefused,
    Wanted,
    fetch_products,
    make_pricing_client,
    pick_price,
    want_hosting,
)
from pixelserve_deploy.cost.refresh import refresh_book

REGION = "us-east-2"
G4DN = want_hosting("ml.g4dn.xlarge")
TODAY = datetime.date(2026, 11, 21)


def dimension(
    price: str = "0.7364000000", currency: str = "USD", unit: str = "Hrs", begin: str = "0", end: str = "Inf"
):
    return {
        "unit": unit,
        "endRange": end,
        "description": f"${price} per hour",
        "appliesTo": [],
        "rateCode": f"SKU1.JRTCKXETXF.{begin}",
        "beginRange": begin,
        "pricePerUnit": {currency: price},
    }


def product(
    *dimensions: Any, sku: str = "SKU1", terms: int = 1, code: str = "AmazonSageMaker", **attributes: str
) -> dict[str, Any]:
    """One element of an answer's PriceList, before it becomes a string."""
    rows = {f"{sku}.JRTCKXETXF.{number}": row for number, row in enumerate(dimensions or [dimension()])}
    return {
        "product": {
            "productFamily": "ML Instance",
            "attributes": {
                "regionCode": REGION,
                "instanceName": "ml.g4dn.xlarge",
                "component": "Hosting",
                "usagetype": "USE2-Host:ml.g4dn.xlarge",
                "servicecode": code,
                "location": "US East (Ohio)",
                **attributes,
            },
            "sku": sku,
        },
        "serviceCode": code,
        "terms": {
            "OnDemand": {
                f"{sku}.JRTCKXETXF{term or ''}": {
                    "priceDimensions": rows,
                    "sku": sku,
                    "effectiveDate": "2026-11-01T00:00:00Z",
                    "offerTermCode": "JRTCKXETXF",
                    "termAttributes": {},
                }
                for term in range(terms)
            }
        },
        "version": "20261115000000",
        "publicationDate": "2026-11-15T00:00:00Z",
    }


def filters(wanted: Wanted, region: str = REGION) -> list[dict[str, str]]:
    fields = {wanted.region_attribute: region, **wanted.attributes}
    return [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in fields.items()]


def asked(*pages: list[dict[str, Any]], wanted: Wanted = G4DN, currency: str = "USD", region: str = REGION):
    """The price that the API's pages lead to."""
    client = boto3.client("pricing", region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")
    with Stubber(client) as stub:
        for number, page in enumerate(pages):
            expected = {"ServiceCode": wanted.service, "Filters": filters(wanted, region), "FormatVersion": "aws_v1"}
            if number:
                expected["NextToken"] = f"page{number}"
            more = {"NextToken": f"page{number + 1}"} if number + 1 < len(pages) else {}
            answer = {"FormatVersion": "aws_v1", "PriceList": [json.dumps(row) for row in page], **more}
            stub.add_response("get_products", answer, expected)
        found = fetch_products(client, region, wanted, wanted.service)
        stub.assert_no_pending_responses()
    return pick_price(found, wanted, region, currency, "2026-11-21")


def test_the_one_product_is_the_price() -> None:
    price = asked([product()])
    assert (price.name, price.unit, price.status) == (
        "AmazonSageMaker hosting ml.g4dn.xlarge in us-east-2",
        "hour",
        "observed",
    )
    assert price.first == Decimal("0.7364")
    assert price.source == "AWS Price List, AmazonSageMaker 20261115000000, SKU SKU1"


def test_all_pages_are_read() -> None:
    assert asked([], [product()]).first == Decimal("0.7364")
    with pytest.raises(PriceRefused, match="has 2 products, not one"):
        asked([product()], [product(dimension("0.9"), sku="SKU2")])


@pytest.mark.parametrize(
    "lookalike",
    [
        product(dimension("0.81"), sku="SKU2", component="Cluster", usagetype="USE2-Cluster:ml.g4dn.xlarge"),
        product(dimension("0.44"), sku="SKU2", usagetype="USE2-TrainingPlan-Host:ml.g4dn.xlarge"),
        product(dimension("0.44"), sku="SKU2", usagetype="USE2-Host:ml.g4dn.xlarge-TrainingPlan"),
        product(dimension("0"), sku="SKU2"),
        product(dimension("0.7"), sku="SKU2", regionCode="us-east-1", usagetype="USE1-Host:ml.g4dn.xlarge"),
        product(dimension("0.9"), sku="SKU2", instanceName="ml.g4dn.2xlarge", usagetype="USE2-Host:ml.g4dn.2xlarge"),
        product(dimension("0.9"), sku="SKU2", component="AsyncInf", usagetype="USE2-AsyncInf:ml.g4dn.xlarge"),
    ],
    ids=["cluster", "training plan", "training plan behind", "nothing to pay", "other region", "other size", "async"],
)
def test_lookalikes_are_left_aside_and_never_taken_alone(lookalike) -> None:
    assert asked([lookalike, product()]).first == Decimal("0.7364")
    with pytest.raises(PriceRefused, match="has 0 products, not one"):
        asked([lookalike])


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (product(terms=2), "one on-demand term is expected, the list has 2"),
        (product(terms=0), "one on-demand term is expected, the list has 0"),
        (
            product(dimension(end="100"), dimension("0.6", begin="100")),
            "one price dimension is expected, the list has 2",
        ),
        (product(dimension(currency="CNY")), "priced in CNY, and the book is in USD"),
        (product(dimension(unit="Quantity")), "the unit is Quantity, not Hrs"),
        (product(dimension("n/a")), "'n/a' in the price list is no number"),
        (product(dimension(end="10")), "the last tier ends at 10"),
    ],
)
def test_what_is_ambiguous_is_refused(row, expected) -> None:
    with pytest.raises(PriceRefused, match=expected):
        asked([row])


def test_china_is_asked_in_china_and_read_as_yuan(monkeypatch) -> None:
    assert API_REGION == {"aws": "us-east-1", "aws-cn": "cn-northwest-1"}
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "none")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
    assert make_pricing_client("cn-north-1").meta.endpoint_url == "https://api.pricing.cn-northwest-1.amazonaws.com.cn"
    row = product(dimension("5.1", currency="CNY"), regionCode="cn-northwest-1", usagetype="CNW1-Host:ml.g4dn.xlarge")
    assert asked([row], currency="CNY", region="cn-northwest-1").first == Decimal("5.1")
    with pytest.raises(PriceRefused, match="priced in CNY, and the book is in USD"):
        asked([row], region="cn-northwest-1")


def test_tiers_are_brought_to_the_books_unit() -> None:
    (gateway,) = [wanted for wanted in TRAFFIC if wanted.service == "AmazonApiGateway"]
    first = dimension("0.0000035000", unit="Requests", end="333000000")
    second = dimension("0.0000028000", unit="Requests", begin="333000000")
    rows = {"code": "AmazonApiGateway", "usagetype": "USE2-ApiGatewayRequest"}
    price = asked([product(second, first, **rows)], wanted=gateway)
    assert [(tier.up_to, tier.price) for tier in price.tiers] == [(333, Decimal("3.5")), (None, Decimal("2.8"))]
    gap = dimension("0.0000028000", unit="Requests", begin="400000000")
    with pytest.raises(PriceRefused, match="the tiers do not join at 333000000"):
        asked([product(first, gap, **rows)], wanted=gateway)
    free = dimension("0", unit="Requests", end="333000000")
    with pytest.raises(PriceRefused, match="an allowance is no price"):
        asked([product(free, second, **rows)], wanted=gateway)


def test_a_new_book_shows_changes_and_keeps_what_was_refused() -> None:
    def look(wanted: Wanted):
        row = product(
            dimension("0.95"),
            instanceName=wanted.attributes["instanceName"],
            usagetype=f"USE2-{wanted.usage_type}".replace("\\", ""),
        )
        return pick_price([] if "g6" in wanted.dimension else [row], wanted, REGION, "USD", "2026-11-21")

    wants = [G4DN, want_hosting("ml.g4dn.2xlarge"), want_hosting("ml.g6.xlarge"), want_hosting("ml.g5.99xlarge")]
    result = refresh_book(BOOK, REGION, wants, look, TODAY)
    changes = {change.name.split()[2]: change for change in result.changes if "hosting" in change.name}
    assert (changes["ml.g4dn.xlarge"].large, changes["ml.g4dn.2xlarge"].large) == (True, False)
    assert changes["ml.g5.99xlarge"].before is None
    assert len(result.refused) == 1
    assert (result.book.id, result.book.currency) == ("aws-us-east-2-2026-11-21", "USD")
    assert result.book.price("AmazonSageMaker", REGION, "hosting ml.g6.xlarge") == BOOK.price(
        "AmazonSageMaker", REGION, "hosting ml.g6.xlarge"
    )
    assert result.book.price("AmazonSageMaker", REGION, "hosting ml.g4dn.xlarge").as_of == "2026-11-21"
    for kind in ("async", "batch"):  # they are copies of the hosting price
        copy_of = result.book.price("AmazonSageMaker", REGION, f"{kind} ml.g4dn.2xlarge")
        assert (copy_of.first, copy_of.as_of, copy_of.marked) == (Decimal("0.95"), "2026-11-21", True)
        assert f"{kind} ml.g4dn.2xlarge" in " ".join(change.name for change in result.changes)
    with pytest.raises(PriceMissing, match="so no book is written"):
        refresh_book(BOOK, REGION, [want_hosting("ml.g6.xlarge")], look, TODAY)


def offer(*rows: dict[str, Any]) -> dict[str, Any]:
    """A bulk offer file of these products."""
    return {
        "formatVersion": "v1.0",
        "offerCode": "AmazonSageMaker",
        "version": "20261115000000",
        "products": {row["product"]["sku"]: row["product"] for row in rows},
        "terms": {"OnDemand": {row["product"]["sku"]: row["terms"]["OnDemand"] for row in rows}},
    }


def test_refresh_reads_a_downloaded_offer(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "boto3", None)
    cluster = product(dimension("0.1"), sku="SKU2", component="Cluster")
    (tmp_path / "offer.json").write_text(json.dumps(offer(product(dimension("0.9")), cluster)))
    command = ["cost", "refresh", "--region", REGION, "--from-file", str(tmp_path / "offer.json")]
    new = tmp_path / "new.json"
    assert cli.main([*command, "--instance", "ml.g4dn.xlarge", "-o", str(new)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "CHECK    AmazonSageMaker hosting ml.g4dn.xlarge in us-east-2: 0.7364 to 0.9 USD (+22.2 %)",
        "CHECK    AmazonSageMaker batch ml.g4dn.xlarge in us-east-2: 0.7364 to 0.9 USD (+22.2 %)",
        "prices read: 1; changed or new: 2",
    ]
    assert find_book(str(new)).price("AmazonSageMaker", REGION, "hosting ml.g4dn.xlarge").first == Decimal("0.9")
    both = [*command, "--instance", "ml.g4dn.xlarge", "--instance", "ml.g5.xlarge"]
    assert cli.main([*both, "-o", str(new)]) == 1
    assert f"{new} exists already, and no price book is written over." in capsys.readouterr().err
    assert cli.main([*both, "-o", str(tmp_path / "newer.json")]) == 1
    assert "kept as it was: AmazonSageMaker hosting ml.g5.xlarge in us-east-2" in capsys.readouterr().err
    (tmp_path / "offer.json").write_text("{}")
    assert cli.main(command) == 1
    assert "is no offer file" in capsys.readouterr().err


def test_refresh_asks_the_api(tmp_path, capsys, monkeypatch) -> None:
    client = boto3.client("pricing", region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")
    monkeypatch.setattr(pricelist, "make_pricing_client", lambda region: client)
    with Stubber(client) as stub:
        for _ in TRAFFIC:
            stub.add_response("get_products", {"FormatVersion": "aws_v1", "PriceList": []})
        stub.add_response("get_products", {"FormatVersion": "aws_v1", "PriceList": [json.dumps(product())]})
        stub.add_client_error("get_products", "AccessDeniedException", "not allowed")
        command = [
            "cost",
            "refresh",
            "--region",
            REGION,
            "--instance",
            "ml.g4dn.xlarge",
            "-o",
            str(tmp_path / "new.json"),
        ]
        assert cli.main(command) == 1
        printed = capsys.readouterr()
        assert printed.err.count("kept as it was") == len(TRAFFIC)
        assert "prices read: 1; changed or new: 0" in printed.out
        (tmp_path / "new.json").unlink()
        assert cli.main(command) == 1
        assert "The price list did not answer" in capsys.readouterr().err


def test_one_products_form_is_not_changed_by_reading() -> None:
    row = product()
    before = copy.deepcopy(row)
    pick_price([row], G4DN, REGION, "USD", "2026-11-21")
    assert row == before
