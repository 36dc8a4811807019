"""Write a new, dated price book from AWS's Price List, and show what has changed.

The list is asked through boto3 with your credentials, or read from offer files that you have downloaded. Of the prices
that it does not have exactly once, the new book keeps the old ones with their old dates, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import sys
from pathlib import Path

from pixelserve_deploy.aws import find_partition
from pixelserve_deploy.cost import (
    Change,
    CostError,
    Price,
    PriceBook,
    find_book,
    find_partition_book,
    format_book,
    format_plain,
    name_book,
    pricelist,
    refresh_book,
)
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.options import save_text
from pixelserve_deploy.outputs import check_output

EXAMPLES = """\
  pixelserve cost refresh --region us-east-2
  pixelserve cost refresh --region eu-west-1 --instance ml.g5.xlarge -o prices.json
  pixelserve cost refresh --region us-east-2 --from-file AmazonSageMaker.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--region", required=True, help="whose prices")
    parser.add_argument("--instance", action="append", metavar="TYPE",
                        help="an instance to ask for (default: those that the book has of the region)")  # fmt: skip
    parser.add_argument("--book", metavar="ID", help="the book to begin with (default: the partition's newest)")
    parser.add_argument("--from-file", action="append", type=Path, metavar="OFFER",
                        help="a downloaded offer file, in place of the API; may be repeated")  # fmt: skip
    parser.add_argument("--service-code", action="append", default=[], metavar="SERVICE=CODE",
                        help="what this partition calls a service, where it differs")  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, metavar="OUT", help="a new file (default: BOOK-ID.json here)")


def run(arguments: argparse.Namespace) -> int:
    region = arguments.region
    old = _find_old_book(arguments)
    codes = _parse_codes(arguments.service_code)
    today = datetime.datetime.now(datetime.UTC).date()
    output = arguments.output or Path(f"{name_book(old, region, today)}.json")
    if output.exists():
        raise CostError(f"{output} exists already, and no price book is written over. Name another file with -o.")
    check_output(output)
    wants = _list_wants(arguments, old)
    if arguments.from_file:
        products = pricelist.read_offers(arguments.from_file)
        present = {product["serviceCode"] for product in products}
        wants = [wanted for wanted in wants if codes.get(wanted.service, wanted.service) in present]
        if not wants:
            raise CostError(f"The files are offers of {', '.join(sorted(present))}, and none is wanted of those.")
        source = functools.partial(_select_offered, products)
    else:
        source = functools.partial(pricelist.fetch_products, pricelist.make_pricing_client(region), region)

    def look(wanted: pricelist.Wanted) -> Price:
        code = codes.get(wanted.service, wanted.service)
        return pricelist.pick_price(source(wanted, code), wanted, region, old.currency, today.isoformat())

    result = refresh_book(old, region, wants, look, today)
    for change in result.changes:
        print(_describe(change, old.currency))
    print(f"prices read: {len(wants) - len(result.refused)}; changed or new: {len(result.changes)}")
    for refusal in result.refused:
        print(f"kept as it was: {refusal}", file=sys.stderr)
    save_text(output, format_book(result.book))
    return 1 if result.refused else 0


def _find_old_book(arguments: argparse.Namespace) -> PriceBook:
    """The book to begin with. Raises CostError for one of another partition."""
    partition = find_partition(arguments.region)
    book = find_book(arguments.book) if arguments.book else find_partition_book(partition)
    if book.partition != partition:
        raise CostError(f"{book.id} is of the partition {book.partition}; {arguments.region} is in {partition}.")
    return book


def _list_wants(arguments: argparse.Namespace, old: PriceBook) -> list[pricelist.Wanted]:
    kind = "hosting "
    known = sorted(
        d.removeprefix(kind) for _, region, d in old.prices if region == arguments.region and d.startswith(kind)
    )
    return [*pricelist.TRAFFIC, *map(pricelist.want_hosting, arguments.instance or known)]


def _parse_codes(options: list[str]) -> dict[str, str]:
    pairs = [option.partition("=") for option in options]
    wrong = [option for option, (name, _, code) in zip(options, pairs, strict=True) if not (name and code)]
    if wrong:
        raise UsageError(f"--service-code {wrong[0]}: write SERVICE=CODE")
    return {name: code for name, _, code in pairs}


def _select_offered(products: list[pricelist.Product], _wanted: pricelist.Wanted, code: str) -> list[pricelist.Product]:
    return [product for product in products if product["serviceCode"] == code]


def _describe(change: Change, currency: str) -> str:
    now = f"{format_plain(change.now)} {currency}"
    if change.before is None or change.part is None:
        return f"new      {change.name}: {now}"
    flag = "CHECK    " if change.large else "changed  "
    return f"{flag}{change.name}: {format_plain(change.before)} to {now} ({100 * change.part:+.1f} %)"
