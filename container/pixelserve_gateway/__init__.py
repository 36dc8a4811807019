"""The gateway: REST dialects in front of the SageMaker Runtime API. It knows endpoints, and no model."""

from typing import TYPE_CHECKING

from pixelserve.lazy import exports

if TYPE_CHECKING:
    from pixelserve_gateway.app import create_app
    from pixelserve_gateway.auth import asks_for_keys
    from pixelserve_gateway.calls import Call, Calls, Result
    from pixelserve_gateway.settings import GatewaySettings
else:
    __getattr__ = exports(
        __name__,
        {
            ".app": "create_app",
            ".auth": "asks_for_keys",
            ".calls": "Call Calls Result",
            ".settings": "GatewaySettings",
        },
    )

__all__ = ["Call", "Calls", "GatewaySettings", "Result", "asks_for_keys", "create_app"]
