"""Endpoints on this machine behind the SageMaker Runtime API: what `pixelserve up` runs."""

from pixelserve.local.endpoints import Endpoint, EndpointFailed, LogLine, Source
from pixelserve.local.runtime import LocalRuntime, running

__all__ = ["Endpoint", "EndpointFailed", "LocalRuntime", "LogLine", "Source", "running"]
