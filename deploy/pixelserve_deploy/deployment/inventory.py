"""The endpoints of a region, ours and others': what they run on, what they cost, when they last worked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from pixelserve_deploy.aws import Session
from pixelserve_deploy.cost import MONTH_HOURS, PriceBook, PriceMissing, find_newest_book
from pixelserve_deploy.deployment.api import API, list_endpoints
from pixelserve_deploy.deployment.spec import STACK_PREFIX, Mode
from pixelserve_deploy.deployment.stacks import is_ours
from pixelserve_deploy.deployment.templates import TAG

WINDOW = timedelta(days=15)
"""How far back the last call is looked for, unless somebody wants to know of longer."""
KEPT = timedelta(days=455)
"""CloudWatch keeps hours for so long (metrics retention, user guide)."""
HOUR = 3600
MOST_QUERIES = 500
"""GetMetricData takes so many at once."""


@dataclass(frozen=True)
class Entry:
    """An endpoint, or a stack of ours that has none (a Lambda function, or one that failed)."""

    name: str
    status: str
    is_ours: bool
    mode: str
    created: datetime
    machines: tuple[tuple[str, int], ...] = ()
    """Instance types and how many of each; empty: nothing is billed by the hour."""
    hourly: Decimal | None = Decimal(0)
    """None: no price is known."""
    currency: str = "USD"
    api: str = ""
    """The REST API whose stack has it; empty: it has a stack of its own, or is others'."""
    last_call: datetime | None = None
    """Start of the last hour with a call; None: none within `window`."""
    window: timedelta = WINDOW
    """How far back it was looked for."""

    @property
    def monthly(self) -> Decimal | None:
        return None if self.hourly is None else self.hourly * MONTH_HOURS

    def measure_idle(self, now: datetime) -> timedelta:
        """How long nobody has called it; of one that was never called, its age."""
        return now - max(self.last_call or self.created, self.created)


def list_entries(session: Session, *, with_calls: bool = True, window: timedelta = WINDOW) -> list[Entry]:
    """All endpoints and our stacks, by name; their last calls in the `window` before now. Raises AwsError."""
    stacks = {stack["StackName"].removeprefix(STACK_PREFIX): stack for stack in _list_stacks(session)}
    parts = {part: name for name, stack in stacks.items() if _read_mode(stack) == API for part in list_endpoints(name)}
    entries = list(_list_endpoints(session, set(stacks), parts))
    there = {entry.name for entry in entries}
    entries += [_read_stack(name, stack) for name, stack in stacks.items() if name not in there]
    entries.sort(key=lambda entry: (not entry.is_ours, entry.name))
    return _add_calls(session, entries, datetime.now(UTC), window) if with_calls else entries


def _list_stacks(session: Session) -> Iterator[dict[str, Any]]:
    for page in session.client("cloudformation").pages("describe_stacks"):
        for stack in page["Stacks"]:
            if is_ours(stack["StackName"], _read_tags(stack)) and stack["StackStatus"] != "DELETE_COMPLETE":
                yield stack


def _read_stack(name: str, stack: Mapping[str, Any]) -> Entry:
    return Entry(name, stack["StackStatus"], True, _read_mode(stack) or "no endpoint", stack["CreationTime"])


def _read_mode(stack: Mapping[str, Any]) -> str:
    return _read_tags(stack).get(f"{TAG}:mode", "")


def _read_tags(stack: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in stack.get("Tags", [])}


def _list_endpoints(session: Session, ours: set[str], parts: Mapping[str, str]) -> Iterator[Entry]:
    client = session.client("sagemaker")
    try:
        book = find_newest_book(session.region)
    except PriceMissing:
        book = None
    for page in client.pages("list_endpoints"):
        for summary in page["Endpoints"]:
            name = summary["EndpointName"]
            endpoint = client.describe_endpoint(EndpointName=name)
            config = client.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
            mode = find_mode(config)
            machines = count_machines(endpoint, config)
            yield Entry(
                name,
                endpoint["EndpointStatus"],
                name in ours or name in parts,
                mode,
                summary["CreationTime"],
                machines,
                _price(book, session.region, mode, machines),
                book.currency if book else "USD",
                parts.get(name, ""),
            )


def find_mode(config: Mapping[str, Any]) -> str:
    """How an endpoint of this configuration runs."""
    if config.get("AsyncInferenceConfig"):
        return str(Mode.ASYNC)
    if any("ServerlessConfig" in variant for variant in config["ProductionVariants"]):
        return str(Mode.SERVERLESS)
    return str(Mode.REALTIME)


def count_machines(endpoint: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
    """Instance types and how many there are now, for each variant and each of its pools."""
    return tuple(_list_machines(endpoint, config))


def _list_machines(endpoint: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    types = {variant["VariantName"]: variant.get("InstanceType") for variant in config["ProductionVariants"]}
    for variant in endpoint.get("ProductionVariants", []):
        for pool in variant.get("InstancePools", []):
            yield pool["InstanceType"], pool["CurrentInstanceCount"]
        kind = types.get(variant["VariantName"])
        if kind and not variant.get("InstancePools"):
            yield kind, variant.get("CurrentInstanceCount", 0)


def _price(book: PriceBook | None, region: str, mode: str, machines: Iterable[tuple[str, int]]) -> Decimal | None:
    total = Decimal(0)
    for kind, count in machines:
        dimension = f"{'async' if mode == Mode.ASYNC else 'hosting'} {kind}"
        price = book.find("AmazonSageMaker", region, dimension) if book else None
        if price is None:
            return None
        total += price.first * count
    return total


def _add_calls(session: Session, entries: list[Entry], now: datetime, window: timedelta) -> list[Entry]:
    """The entries with the time of their last call, by CloudWatch."""
    metrics = [(number, metric) for number, entry in enumerate(entries) for metric in _list_metrics(entry)]
    client = session.client("cloudwatch")
    last: dict[int, datetime] = {}
    for start in range(0, len(metrics), MOST_QUERIES):
        part = metrics[start : start + MOST_QUERIES]
        queries = [
            {"Id": f"q{index}", "MetricStat": {"Metric": metric, "Period": HOUR, "Stat": "Sum"}}
            for index, (_, metric) in enumerate(part)
        ]
        for page in client.pages("get_metric_data", MetricDataQueries=queries, StartTime=now - window, EndTime=now):
            for result in page["MetricDataResults"]:
                number = part[int(result["Id"][1:])][0]
                for time, value in zip(result["Timestamps"], result["Values"], strict=True):
                    if value > 0:
                        last[number] = max(time, last.get(number, time))
    return [replace(entry, last_call=last.get(number), window=window) for number, entry in enumerate(entries)]


def _list_metrics(entry: Entry) -> Iterator[dict[str, Any]]:
    """Metrics that count calls: the pages of SageMaker, Lambda and API Gateway on metrics in CloudWatch."""
    if entry.mode == Mode.LAMBDA:
        yield _metric("AWS/Lambda", "Invocations", FunctionName=entry.name)
        return
    if entry.mode == API:  # its function runs every minute, so the calls are counted before it
        yield _metric("AWS/ApiGateway", "Count", ApiName=STACK_PREFIX + entry.name)
        return
    yield _metric("AWS/SageMaker", "Invocations", EndpointName=entry.name, VariantName="AllTraffic")
    if entry.mode == Mode.ASYNC:
        yield _metric("AWS/SageMaker", "InvocationsProcessed", EndpointName=entry.name)


def _metric(namespace: str, name: str, **dimensions: str) -> dict[str, Any]:
    return {
        "Namespace": namespace,
        "MetricName": name,
        "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
    }


def select_idle(entries: Iterable[Entry], idle: timedelta, older_than: timedelta, now: datetime) -> list[Entry]:
    """Those that nobody has called for so long and that are so old."""
    return [entry for entry in entries if entry.measure_idle(now) >= idle and now - entry.created >= older_than]
