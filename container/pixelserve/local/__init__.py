"""Endpoints on this machine, and the SageMaker Runtime API in front of them (which needs the extra `server`)."""

from typing import TYPE_CHECKING

from pixelserve.lazy import exports

if TYPE_CHECKING:
    from pixelserve.local import state
    from pixelserve.local.asynchronous import AsyncPlaces
    from pixelserve.local.endpoints import Endpoint, started, wait_until_ready
    from pixelserve.local.runtime import LocalRuntime, running
    from pixelserve.local.sources import Source, check_name, find_archive, open_source
    from pixelserve.local.transform import Job, JobReport, Outcome, job_environment, run_job
else:
    __getattr__ = exports(
        __name__,
        {
            ".asynchronous": "AsyncPlaces",
            ".endpoints": "Endpoint started wait_until_ready",
            ".runtime": "LocalRuntime running",
            ".sources": "Source check_name find_archive open_source",
            ".state": "",
            ".transform": "Job JobReport Outcome job_environment run_job",
        },
        moved={
            "EndpointFailed": "pixelserve.processes:ServerFailed",
            "LogLine": "pixelserve.observe:LogLine",
        },
    )

__all__ = [
    "AsyncPlaces",
    "Endpoint",
    "Job",
    "JobReport",
    "LocalRuntime",
    "Outcome",
    "Source",
    "check_name",
    "find_archive",
    "job_environment",
    "open_source",
    "run_job",
    "running",
    "started",
    "state",
    "wait_until_ready",
]
