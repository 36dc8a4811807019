"""The DynamoDB table of jobs, in the members that CreateTable and AWS::DynamoDB::Table share."""

from __future__ import annotations

from typing import Any

BY_TENANT, BY_DUE = "by_tenant", "by_due"


def _index(name: str, partition: str, order: str) -> dict[str, Any]:
    return {
        "IndexName": name,
        "KeySchema": [
            {"AttributeName": partition, "KeyType": "HASH"},
            {"AttributeName": order, "KeyType": "RANGE"},
        ],
        "Projection": {"ProjectionType": "ALL"},
    }


_KEYS = {"pk": "S", "tenant": "S", "number": "N", "lane": "S", "due": "N"}
TABLE: dict[str, Any] = {
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{"AttributeName": name, "AttributeType": kind} for name, kind in _KEYS.items()],
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    "GlobalSecondaryIndexes": [_index(BY_TENANT, "tenant", "number"), _index(BY_DUE, "lane", "due")],
}
"""`dynamodb` says what lies in it."""
