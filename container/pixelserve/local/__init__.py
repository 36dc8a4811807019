"""Endpoints on this machine. `local.runtime`, which needs the extra `server`, puts them behind the SageMaker API."""

from pixelserve.local.endpoints import Endpoint, EndpointFailed, LogLine, Source

__all__ = ["Endpoint", "EndpointFailed", "LogLine", "Source"]
