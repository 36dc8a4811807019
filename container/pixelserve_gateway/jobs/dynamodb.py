"""Jobs in one DynamoDB table. Tried against moto only; never seen on AWS."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import uuid
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from pixelserve.errors import Unavailable
from pixelserve_gateway.jobs.job import Job, JobState, Lane, dump, load
from pixelserve_gateway.jobs.store import Record
from pixelserve_gateway.jobs.table import BY_DUE, BY_TENANT, BY_TURN, TABLE

_Item = dict[str, dict[str, str]]
_FIRST, _LAST = "#", "~"
"""Sort before and after all digits."""
_REFUSED = ("ConditionalCheckFailedException", "TransactionCanceledException", "TransactionConflictException")


class DynamoDBStore:
    """A JobStore in a table of one string key, `pk`, with three indexes.

        job#ID              tenant, number, state, lane, due, turn, version, body, written (a token of the write)
        key#[TENANT,KEY]    id: the job that the tenant gave this key
        KIND#NAME           lane (the kind), due (0), version, body

    `by_tenant` (tenant, number) lists a tenant's jobs, `by_due` (lane, due) what is due, and records by kind, `by_turn`
    (lane, turn: a hash of the tenant, then due) has those that have not ended, or whose webhook waits. Indexes follow a
    moment later; all that decides is read and written at `pk`, read consistently and written on conditions.
    boto3 honours AWS_ENDPOINT_URL_DYNAMODB and its other variables.
    """

    def __init__(self, table: str) -> None:
        config = Config(
            connect_timeout=5,
            read_timeout=10,
            retries={"total_max_attempts": 5, "mode": "standard"},
            max_pool_connections=16,  # as many as call at once
        )
        self._table = table
        self._client: Any = boto3.Session().client("dynamodb", config=config)

    def create_table(self) -> None:
        """Makes the table, paid by request, unless it is there."""
        with _explained(self._table):
            try:
                self._client.create_table(TableName=self._table, **TABLE)
            except self._client.exceptions.ResourceInUseException:
                return
            self._client.get_waiter("table_exists").wait(TableName=self._table)

    def add(self, job: Job) -> Job | None:
        puts = [self._put(_job_item(job), "attribute_not_exists(pk)")]
        if job.key is None:
            return job if self._transact(puts) else None
        holder = _key_name(job.tenant, job.key)
        while (standing := self.find(job.tenant, job.key)) is None:
            puts[1:] = [self._put({"pk": {"S": holder}, "id": {"S": job.id}}, "attribute_not_exists(pk)")]
            if self._transact(puts):
                return job
            if self.get(job.id) is not None:
                return None
        return standing

    def get(self, job_id: str) -> Job | None:
        item = self._item(f"job#{job_id}")
        return None if item is None else load(item["body"]["S"])

    def find(self, tenant: str, key: str) -> Job | None:
        holder = self._item(_key_name(tenant, key))
        return None if holder is None else self.get(holder["id"]["S"])

    def replace(self, job: Job) -> Job | None:
        stored = dataclasses.replace(job, version=job.version + 1)
        item = _job_item(stored)
        if self._write(self._client.put_item, Item=item, **_when_version(job.version)):
            return stored
        # botocore sends a write again whose answer was lost, and then it is our own that stands in the way
        return stored if self._item(item["pk"]["S"]) == item else None

    def remove(self, job: Job) -> bool:
        key = {"pk": {"S": f"job#{job.id}"}}
        deletes = [{"Delete": {"TableName": self._table, "Key": key, **_when_version(job.version)}}]
        if job.key is not None:
            holder = {"pk": {"S": _key_name(job.tenant, job.key)}}
            deletes.append({"Delete": {"TableName": self._table, "Key": holder}})
        return self._transact(deletes)

    def jobs(self, tenant: str, states: Collection[JobState], before: str | None, limit: int) -> list[Job]:
        names = {"#tenant": "tenant", "#number": "number"}
        values = {":tenant": {"S": tenant}, ":last": {"N": str((1 << 63) - 1) if before is None else before}}
        options: dict[str, Any] = {}
        if states:
            names["#state"] = "state"
            wanted = {f":state{number}": {"S": state.value} for number, state in enumerate(states)}
            values.update(wanted)
            options["FilterExpression"] = f"#state IN ({', '.join(wanted)})"
        items = self._query(
            limit,
            IndexName=BY_TENANT,
            KeyConditionExpression="#tenant = :tenant AND #number < :last",
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=values,
            ScanIndexForward=False,
            **options,
        )
        return [load(item["body"]["S"]) for item in items]

    def due(self, lane: Lane, now: float, limit: int) -> list[Job]:
        return [load(item["body"]["S"]) for item in self._in_lane(lane, now, limit)]

    def due_by_tenant(self, lane: Lane, now: float, each: int) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        if not self._in_lane(lane, now, 1):
            return found
        after = _FIRST
        while items := self._in_turn(lane, "#turn > :after", {":after": after}, each):
            tenant = items[0]["tenant"]["S"]
            latest, after = _turn(tenant, _digits(now)), _turn(tenant, _LAST)
            own = [item for item in items if item["tenant"]["S"] == tenant and item["turn"]["S"] <= latest]
            if own:
                found[tenant] = [item["pk"]["S"].removeprefix("job#") for item in own]
        return found

    def count_unfinished(self, tenant: str, most: int) -> int:
        turns = {":first": _turn(tenant, _FIRST), ":last": _turn(tenant, _LAST)}
        lanes = (Lane.CALL, Lane.LOOK)
        return min(sum(len(self._in_turn(lane, "#turn BETWEEN :first AND :last", turns, most)) for lane in lanes), most)

    def read(self, kind: str, name: str) -> Record | None:
        item = self._item(f"{kind}#{name}")
        return None if item is None else _record(item)

    def write(self, kind: str, name: str, body: Mapping[str, Any], version: int) -> bool:
        item = {
            "pk": {"S": f"{kind}#{name}"},
            "name": {"S": name},
            "lane": {"S": kind},
            "due": {"N": "0"},
            "version": {"N": str(version + 1)},
            "body": {"S": json.dumps(body)},
        }
        condition = _when_version(version) if version else {"ConditionExpression": "attribute_not_exists(pk)"}
        return self._write(self._client.put_item, Item=item, **condition)

    def records(self, kind: str) -> dict[str, Record]:
        items = self._in_lane(kind, 0.0, None)
        return {name: _record(item) for name, item in sorted((item["name"]["S"], item) for item in items)}

    def close(self) -> None:
        self._client.close()

    def _in_lane(self, lane: str, now: float, limit: int | None) -> list[_Item]:
        return self._query(
            limit,
            **({} if limit is None else {"Limit": limit}),
            IndexName=BY_DUE,
            KeyConditionExpression="#lane = :lane AND #due <= :now",
            ExpressionAttributeNames={"#lane": "lane", "#due": "due"},
            ExpressionAttributeValues={":lane": {"S": lane}, ":now": {"N": repr(now)}},
        )

    def _in_turn(self, lane: Lane, condition: str, turns: Mapping[str, str], limit: int) -> list[_Item]:
        return self._query(
            limit,
            Limit=limit,
            IndexName=BY_TURN,
            KeyConditionExpression=f"#lane = :lane AND {condition}",
            ExpressionAttributeNames={"#lane": "lane", "#turn": "turn"},
            ExpressionAttributeValues={":lane": {"S": lane}, **{name: {"S": turn} for name, turn in turns.items()}},
        )

    def _query(self, limit: int | None, **options: Any) -> list[_Item]:
        """The first `limit` items, or all, over as many pages as that takes."""
        items: list[_Item] = []
        with _explained(self._table):
            while limit is None or len(items) < limit:
                page = self._client.query(TableName=self._table, **options)
                items += page["Items"]
                if "LastEvaluatedKey" not in page:
                    break
                options["ExclusiveStartKey"] = page["LastEvaluatedKey"]
        return items[:limit]

    def _item(self, pk: str) -> _Item | None:
        with _explained(self._table):
            answer = self._client.get_item(TableName=self._table, Key={"pk": {"S": pk}}, ConsistentRead=True)
        item: _Item | None = answer.get("Item")
        return item

    def _put(self, item: _Item, condition: str) -> dict[str, Any]:
        return {"Put": {"TableName": self._table, "Item": item, "ConditionExpression": condition}}

    def _transact(self, items: list[dict[str, Any]]) -> bool:
        with _explained(self._table):
            try:
                self._client.transact_write_items(TransactItems=items)
            except ClientError as error:
                return _is_refused(error)
        return True

    def _write(self, operation: Any, **options: Any) -> bool:
        with _explained(self._table):
            try:
                operation(TableName=self._table, **options)
            except ClientError as error:
                return _is_refused(error)
        return True


def _is_refused(error: ClientError) -> bool:
    """False for a condition that was not met; raises what else went wrong."""
    if error.response["Error"]["Code"] not in _REFUSED:
        raise error
    return False


def _when_version(version: int) -> dict[str, Any]:
    return {
        "ConditionExpression": "#version = :version",
        "ExpressionAttributeNames": {"#version": "version"},
        "ExpressionAttributeValues": {":version": {"N": str(version)}},
    }


def _key_name(tenant: str, key: str) -> str:
    return f"key#{json.dumps([tenant, key])}"


def _turn(tenant: str, due: str) -> str:
    return hashlib.sha256(tenant.encode()).hexdigest()[:32] + due


def _digits(due: float) -> str:
    """Text that sorts as the times do."""
    return f"{due:020.6f}"


def _job_item(job: Job) -> _Item:
    is_open = not job.state.is_terminal or job.lane is Lane.TELL
    return {
        "pk": {"S": f"job#{job.id}"},
        "tenant": {"S": job.tenant},
        "number": {"N": job.id},
        "state": {"S": job.state.value},
        "lane": {"S": job.lane.value},
        "due": {"N": repr(job.due)},
        **({"turn": {"S": _turn(job.tenant, _digits(job.due))}} if is_open else {}),
        "version": {"N": str(job.version)},
        "body": {"S": dump(job)},
        "written": {"S": uuid.uuid4().hex},
    }


def _record(item: _Item) -> Record:
    return Record(json.loads(item["body"]["S"]), int(item["version"]["N"]))


@contextlib.contextmanager
def _explained(table: str) -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise Unavailable(f"The DynamoDB table {table} does not do its work: {error}") from error
