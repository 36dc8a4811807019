"""Price books: what a price must tell, what is refused, and how files are written."""

from __future__ import annotations

import json
from importlib import resources

import pytest

from pixelserve_deploy.cost.errors import CostError, PriceMissing
from pixelserve_deploy.cost.pricebook import find_book, find_newest_book, format_book, load_books, parse_book

STATUSES = {"documented", "observed", "observed-or-equal", "observed-secondary", "derived", "unverified"}


def _text(name: str) -> str:
    return (resources.files("pixelserve_deploy.cost") / "data" / "pricebooks" / f"{name}.json").read_text("utf-8")


@pytest.mark.parametrize("book", load_books().values(), ids=load_books())
def test_every_price_has_a_date_a_source_and_a_status(book) -> None:
    for price in [*book.prices.values(), *book.free.values()]:
        assert price.status in STATUSES
        assert price.as_of
        assert len(price.source) > 10
    assert {price.region.startswith("cn-") for price in book.prices.values()} == {book.partition == "aws-cn"}
    assert book.currency == {"aws": "USD", "aws-cn": "CNY"}[book.partition]


@pytest.mark.parametrize("name", load_books())
def test_a_file_is_what_its_book_writes(name) -> None:
    assert format_book(parse_book(_text(name), name)) == _text(name)


def test_a_missing_price_is_refused_by_name() -> None:
    book = find_newest_book("cn-northwest-1")
    with pytest.raises(PriceMissing, match=r"no price of AmazonSageMaker hosting ml\.g4dn\.xlarge in cn-northwest-1"):
        book.price("AmazonSageMaker", "cn-northwest-1", "hosting ml.g4dn.xlarge")
    with pytest.raises(PriceMissing, match=r"It has .*hosting ml\.g5\.xlarge"):
        find_newest_book("us-east-2").price("AmazonSageMaker", "us-east-2", "hosting ml.p9.large")
    with pytest.raises(PriceMissing, match=r"The book aws-2026-11 has it: --book aws-2026-11\."):
        find_book("aws-2022-06").price("AmazonS3", "us-east-2", "put")
    with pytest.raises(PriceMissing, match=r"no prices of mars-1\. It has ap-northeast-1"):
        find_book("aws-2026-11").price("AWSLambda", "mars-1", "requests")


def test_unknown_regions_and_books_list_those_there_are() -> None:
    with pytest.raises(PriceMissing, match=r"prices of mars-1\. Regions: .*cn-north-1.*us-east-2"):
        find_newest_book("mars-1")
    with pytest.raises(CostError, match=r"no price book nowhere\. Books: .*aws-2022-06"):
        find_book("nowhere")


def test_the_later_book_has_the_later_price() -> None:
    key = ("AmazonSageMaker", "us-east-2", "hosting ml.g4dn.xlarge")
    assert str(find_book("aws-2022-06").price(*key).first) == "0.736"
    assert str(find_newest_book("us-east-2").price(*key).first) == "0.7364"
    assert find_newest_book("us-east-2").find("AmazonSageMaker", "us-east-2", "async ml.g4dn.xlarge") is None


def test_prices_changed_by_hand_are_noticed() -> None:
    text = _text("aws-2022-06").replace('"0.736"', '"0.0736"')
    with pytest.raises(CostError, match="the prices have changed since the book was written"):
        parse_book(text, "mine.json")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda fields: fields.pop("currency"), "KeyError"),
        (lambda fields: fields["prices"].append(fields["prices"][0]), "two prices of one service"),
        (lambda fields: fields["prices"][0]["tiers"][0].update(price="free"), "is no price book"),
        (lambda fields: fields["prices"][0]["tiers"][0].update(price="-1"), "no amount"),
        (lambda fields: fields["prices"][0]["tiers"][0].update(up_to="5"), "open end"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(change, expected) -> None:
    fields = json.loads(_text("aws-2022-06"))
    change(fields)
    with pytest.raises(CostError, match=expected):
        parse_book(json.dumps(fields), "mine.json")
    with pytest.raises(CostError, match="is no price book"):
        parse_book("[]", "mine.json")


def test_ohio_has_virginias_prices_as_derived_ones_say() -> None:
    prices = find_newest_book("us-east-2").prices
    pairs = [
        (price, prices[price.service, "us-east-1", price.dimension])
        for price in prices.values()
        if price.region == "us-east-2" and (price.service, "us-east-1", price.dimension) in prices
    ]
    known = [(ohio, virginia) for ohio, virginia in pairs if not ohio.marked]
    assert len({ohio.service for ohio, _ in known}) > 5
    assert [ohio.name for ohio, virginia in known if ohio.first != virginia.first] == []
    tiered = [(ohio, virginia) for ohio, virginia in pairs if len(virginia.tiers) > 1]
    assert {ohio.service for ohio, _ in tiered} >= {"AWSLambda", "AmazonApiGateway", "AWSDataTransfer"}
    for ohio, virginia in tiered:
        assert [(tier.up_to, tier.price) for tier in ohio.tiers] == [
            (tier.up_to, tier.price) for tier in virginia.tiers
        ]
    derived = [(ohio, virginia) for ohio, virginia in pairs if "the figure of us-east-1" in ohio.source]
    assert len(derived) == 5
    assert all(ohio.first == virginia.first for ohio, virginia in derived)
