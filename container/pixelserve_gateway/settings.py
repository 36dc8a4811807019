"""Every environment variable of the gateway, in the manner of `pixelserve.settings`, whose limits it shares."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from pixelserve import features
from pixelserve.features import Feature
from pixelserve.settings import SettingsError, read_variables, variable


@dataclass(frozen=True)
class GatewaySettings:
    """Read once at start with `GatewaySettings.from_env`; sizes are bytes, times are seconds."""

    host: str = variable("PIXELSERVE_GATEWAY_HOST", "127.0.0.1", "Address to listen on, or fd:NUMBER of a socket.")
    port: int = variable("PIXELSERVE_GATEWAY_PORT", 8001, "Port to listen on.", most=65_535)
    runtime: str = variable(
        "PIXELSERVE_GATEWAY_RUNTIME",
        "",
        "Address of a SageMaker Runtime without signatures, such as that of `pixelserve up`. Empty: AWS.",
    )
    region: str = variable("AWS_REGION", "us-east-1", "The endpoints' region on AWS.")
    endpoints: tuple[str, ...] = variable(
        "PIXELSERVE_GATEWAY_ENDPOINTS",
        (),
        "Real-time endpoints, FEATURE=NAME separated by commas. Empty: each feature's, under its own name.",
    )
    async_endpoints: tuple[str, ...] = variable(
        "PIXELSERVE_GATEWAY_ASYNC_ENDPOINTS",
        (),
        "Asynchronous endpoints, FEATURE=NAME separated by commas. Empty: none.",
    )
    max_body_bytes: int = variable(
        "PIXELSERVE_GATEWAY_MAX_BODY_BYTES",
        34_000_000,
        "Largest request body; more is 413. An image in Base64 takes a third more than PIXELSERVE_MAX_BODY_BYTES.",
        least=1,
    )
    max_answer_bytes: int = variable(
        "PIXELSERVE_GATEWAY_MAX_ANSWER_BYTES",
        25_000_000,
        "Largest answer that is passed on; what would be larger is 413. On Lambda 6,000,000.",
        least=1,
    )
    cors_origins: tuple[str, ...] = variable(
        "PIXELSERVE_GATEWAY_CORS_ORIGINS", ("*",), "Origins of web pages that may call, separated by commas."
    )
    log_level: int = variable("PIXELSERVE_GATEWAY_LOG_LEVEL", 20, "Python logging level, as a number.")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> GatewaySettings:
        """Reads `environ` (default: the process's). Raises SettingsError naming the variable that does not fit."""
        made = cls(**read_variables(cls, os.environ if environ is None else environ))
        _ = made._real_time, made._asynchronous  # raise for what names no feature
        return made

    def endpoint(self, feature: Feature) -> str | None:
        """The feature's real-time endpoint, None where it has none."""
        return self._real_time.get(feature.name)

    def async_endpoint(self, feature: Feature) -> str | None:
        """The feature's asynchronous endpoint, None where it has none."""
        return self._asynchronous.get(feature.name)

    @cached_property
    def _real_time(self) -> dict[str, str]:
        if not self.endpoints:
            return {known.name: known.endpoint for known in features.FEATURES}
        return _read_names("PIXELSERVE_GATEWAY_ENDPOINTS", self.endpoints)

    @cached_property
    def _asynchronous(self) -> dict[str, str]:
        return _read_names("PIXELSERVE_GATEWAY_ASYNC_ENDPOINTS", self.async_endpoints)


def _read_names(variable_name: str, pairs: tuple[str, ...]) -> dict[str, str]:
    """Endpoints by feature. Raises SettingsError for what is not FEATURE=NAME."""
    names: dict[str, str] = {}
    for pair in pairs:
        text, equals, name = pair.partition("=")
        known = features.find(text)
        if known is None or not equals or not name:
            raise SettingsError(
                f"{variable_name} holds {pair!r}: write FEATURE=NAME with a feature of "
                f"{', '.join(f.name for f in features.FEATURES)}."
            )
        names[known.name] = name
    return names
