"""Batch transform: folders and prefixes of up to a million images through jobs on AWS, or a server here."""

from typing import TYPE_CHECKING

from pixelserve.lazy import exports

if TYPE_CHECKING:
    from pixelserve_deploy.batch.errand import INPUTS
    from pixelserve_deploy.batch.here import show_end, show_outcome, transform_here
    from pixelserve_deploy.batch.jobs import POLL_SECONDS, JobGoesOn, Jobs, Machines
    from pixelserve_deploy.batch.many import send_files
    from pixelserve_deploy.batch.model import JobModel, find_job_model
    from pixelserve_deploy.batch.pricing import Forecast, forecast_jobs
    from pixelserve_deploy.batch.shards import IMAGES, Order, Shard, find_missing, make_order
    from pixelserve_deploy.batch.store import Prefix, open_prefix
else:
    __getattr__ = exports(
        __name__,
        {
            ".here": "show_end show_outcome transform_here",
            ".jobs": "POLL_SECONDS JobGoesOn Jobs Machines",
            ".errand": "INPUTS",
            ".many": "send_files",
            ".model": "JobModel find_job_model",
            ".pricing": "Forecast forecast_jobs",
            ".shards": "IMAGES Order Shard find_missing make_order",
            ".store": "Prefix open_prefix",
        },
    )

__all__ = [
    "IMAGES",
    "INPUTS",
    "POLL_SECONDS",
    "Forecast",
    "JobGoesOn",
    "JobModel",
    "Jobs",
    "Machines",
    "Order",
    "Prefix",
    "Shard",
    "find_job_model",
    "find_missing",
    "forecast_jobs",
    "make_order",
    "open_prefix",
    "send_files",
    "show_end",
    "show_outcome",
    "transform_here",
]
