"""What the gateway keeps and hears: table, bucket, the minute's schedule, and the ends of asynchronous calls."""

from __future__ import annotations

from typing import Any

from pixelserve_deploy.deployment.api import GATEWAY_SECONDS, ApiSpec
from pixelserve_deploy.deployment.templates.asynchronous import BUCKET, build_bucket
from pixelserve_deploy.deployment.templates.resource import Resource, attribute, ref, tagged, untagged
from pixelserve_deploy.deployment.templates.roles import allow
from pixelserve_gateway.jobs import TABLE

TABLE_ID, SCHEDULE, TOPIC, QUEUE, DEAD_LETTERS = "Table", "Schedule", "Topic", "Queue", "DeadLetters"
GOES = {"DeletionPolicy": "Delete", "UpdateReplacePolicy": "Delete"}
VISIBILITY_SECONDS = 6 * GATEWAY_SECONDS
"""Six times the function's time-out (Lambda developer guide, SQS event sources)."""
TRIES = 5
RETENTION_SECONDS = 14 * 24 * 3600
"""The longest that SQS keeps messages."""
CORS = {"AllowedOrigins": ["*"], "AllowedMethods": ["GET", "HEAD", "POST"], "AllowedHeaders": ["*"], "MaxAge": 600}
"""The playground, on any host, sends images by signed forms and reads results by signed links."""


def build_store(spec: ApiSpec) -> dict[str, Resource]:
    """The table of jobs and keys, and the bucket of inputs, uploads and results."""
    return {
        TABLE_ID: tagged(spec, "AWS::DynamoDB::Table", {**TABLE}, **GOES),
        BUCKET: build_bucket(spec, CorsConfiguration={"CorsRules": [CORS]}),
    }


def build_schedule(spec: ApiSpec, function: str) -> dict[str, Resource]:
    """Once a minute the gateway does what is due."""
    rule = {
        "Description": "Jobs, webhooks and expiry of the gateway",
        "ScheduleExpression": "rate(1 minute)",
        "State": "ENABLED",
        "Targets": [{"Id": "gateway", "Arn": attribute(function, "Arn")}],
    }
    permission = {
        "Action": "lambda:InvokeFunction",
        "FunctionName": ref(function),
        "Principal": "events.amazonaws.com",
        "SourceArn": attribute(SCHEDULE, "Arn"),
    }
    return {
        SCHEDULE: tagged(spec, "AWS::Events::Rule", rule),
        f"{SCHEDULE}Permission": untagged("AWS::Lambda::Permission", permission),
    }


def build_messages(spec: ApiSpec, function: str) -> dict[str, Resource]:
    """The way of a message that tells of an asynchronous call's end: topic, queue, function; nothing without such."""
    if not spec.asynchronous:
        return {}
    queue = {
        "MessageRetentionPeriod": RETENTION_SECONDS,
        "VisibilityTimeout": VISIBILITY_SECONDS,
        "RedrivePolicy": {"deadLetterTargetArn": attribute(DEAD_LETTERS, "Arn"), "maxReceiveCount": TRIES},
        "SqsManagedSseEnabled": True,
    }
    dead = {"MessageRetentionPeriod": RETENTION_SECONDS, "SqsManagedSseEnabled": True}
    subscription = {
        "TopicArn": ref(TOPIC),
        "Protocol": "sqs",
        "Endpoint": attribute(QUEUE, "Arn"),
        "RawMessageDelivery": True,
    }
    source = {"EventSourceArn": attribute(QUEUE, "Arn"), "FunctionName": ref(function), "BatchSize": 10}
    return {
        TOPIC: tagged(spec, "AWS::SNS::Topic", {}),
        DEAD_LETTERS: tagged(spec, "AWS::SQS::Queue", dead, **GOES),
        QUEUE: tagged(spec, "AWS::SQS::Queue", queue, **GOES),
        f"{QUEUE}Policy": untagged("AWS::SQS::QueuePolicy", _let_topic_send()),
        "Subscription": untagged("AWS::SNS::Subscription", subscription),
        "EventSource": tagged(spec, "AWS::Lambda::EventSourceMapping", source),
    }


def _let_topic_send() -> dict[str, Any]:
    statement = allow(["sqs:SendMessage"], attribute(QUEUE, "Arn"), ArnEquals={"aws:SourceArn": ref(TOPIC)})
    statement["Principal"] = {"Service": "sns.amazonaws.com"}
    return {"Queues": [ref(QUEUE)], "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]}}
