"""The gateway: REST dialects in front of the SageMaker Runtime API. It knows endpoints, and no model."""

from pixelserve_gateway.app import create_app
from pixelserve_gateway.calls import Call, Calls, Result
from pixelserve_gateway.settings import GatewaySettings

__all__ = ["Call", "Calls", "GatewaySettings", "Result", "create_app"]
