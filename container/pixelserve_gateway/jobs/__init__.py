"""Durable jobs: what they are, where they are kept, who runs them, and the keys and limits kept beside them."""

from typing import TYPE_CHECKING

from pixelserve.lazy import exports

if TYPE_CHECKING:
    from pixelserve_gateway.jobs.calling import Caller, EndpointCaller, KeptCall, Look, Output
    from pixelserve_gateway.jobs.cleaning import Cleaner
    from pixelserve_gateway.jobs.dynamodb import DynamoDBStore
    from pixelserve_gateway.jobs.events import Queue
    from pixelserve_gateway.jobs.files import JobFiles
    from pixelserve_gateway.jobs.job import Delivery, Job, JobProgress, JobState, OutputPlaces, StoredResult, Webhook
    from pixelserve_gateway.jobs.keys import ApiKey, ApiKeys, RateLimit, access_key_id, secret_access_key, take_token
    from pixelserve_gateway.jobs.opening import OpenJobs, keep, open_jobs, open_store
    from pixelserve_gateway.jobs.rules import Rules
    from pixelserve_gateway.jobs.secret import kept_secret, webhook_secret
    from pixelserve_gateway.jobs.service import JobPage, JobService, Order
    from pixelserve_gateway.jobs.sqlite import SQLiteStore
    from pixelserve_gateway.jobs.store import JobStore
    from pixelserve_gateway.jobs.table import TABLE
    from pixelserve_gateway.jobs.threads import RETRY_SECONDS, Threads
    from pixelserve_gateway.jobs.tick import Ticker, lambda_handler
    from pixelserve_gateway.jobs.uploads import UploadForm, Uploads
    from pixelserve_gateway.jobs.webhooks import Phrase, Sender
else:
    __getattr__ = exports(
        __name__,
        {
            ".calling": "Caller EndpointCaller KeptCall Look Output",
            ".cleaning": "Cleaner",
            ".dynamodb": "DynamoDBStore",
            ".events": "Queue",
            ".files": "JobFiles",
            ".job": "Delivery Job JobProgress JobState OutputPlaces StoredResult Webhook",
            ".keys": "ApiKey ApiKeys RateLimit access_key_id secret_access_key take_token",
            ".opening": "OpenJobs keep open_jobs open_store",
            ".rules": "Rules",
            ".secret": "kept_secret webhook_secret",
            ".service": "JobPage JobService Order",
            ".sqlite": "SQLiteStore",
            ".store": "JobStore",
            ".table": "TABLE",
            ".threads": "RETRY_SECONDS Threads",
            ".tick": "Ticker lambda_handler",
            ".uploads": "UploadForm Uploads",
            ".webhooks": "Phrase Sender",
        },
    )

__all__ = [
    "RETRY_SECONDS",
    "TABLE",
    "ApiKey",
    "ApiKeys",
    "Caller",
    "Cleaner",
    "Delivery",
    "DynamoDBStore",
    "EndpointCaller",
    "Job",
    "JobFiles",
    "JobPage",
    "JobProgress",
    "JobService",
    "JobState",
    "JobStore",
    "KeptCall",
    "Look",
    "OpenJobs",
    "Order",
    "Output",
    "OutputPlaces",
    "Phrase",
    "Queue",
    "RateLimit",
    "Rules",
    "SQLiteStore",
    "Sender",
    "StoredResult",
    "Threads",
    "Ticker",
    "UploadForm",
    "Uploads",
    "Webhook",
    "access_key_id",
    "keep",
    "kept_secret",
    "lambda_handler",
    "open_jobs",
    "open_store",
    "secret_access_key",
    "take_token",
    "webhook_secret",
]
