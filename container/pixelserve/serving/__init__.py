"""The server: any handler's functions behind the SageMaker container contract."""

from pixelserve.serving.answers import Body
from pixelserve.serving.context import Context

__all__ = ["Body", "Context"]
