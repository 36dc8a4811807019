"""The DynamoDB table of jobs, in the members that CreateTable and AWS::DynamoDB::Table share."""

from __future__ import annotations

from typing import Any

BY_TENANT, BY_DUE, BY_TURN = "by_tenant", "by_due", "by_turn"


def _index(name: str, partition: str, order: str, *kept: str) -> dict[str, Any]:
    """`kept` are what it has of each item beside the keys, all if there are none."""
    return {
        "IndexName": name,
        "KeySchema": [
            {"AttributeName": partition, "KeyType": "HASH"},
            {"AttributeName": order, "KeyType": "RANGE"},
        ],
        "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": [*kept]} if kept else {"ProjectionType": "ALL"},
    }


_KEYS = {"pk": "S", "tenant": "S", "number": "N", "lane": "S", "due": "N", "turn": "S"}
TABLE: dict[str, Any] = {
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{"AttributeName": name, "AttributeType": kind} for name, kind in _KEYS.items()],
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    "GlobalSecondaryIndexes": [
        _index(BY_TENANT, "tenant", "number"),
        _index(BY_DUE, "lane", "due"),
        _index(BY_TURN, "lane", "turn", "tenant"),
    ],
}
"""`dynamodb` says what lies in it."""
