"""The request and the answer of one call as multi-model-server's context shows them.

Names and signatures are those of `mms.context` and `mms.metrics` (multi-model-server 1.1), which handlers of
SageMaker's toolkits use.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

logger = logging.getLogger("pixelserve.handler")


class RequestHeaders(dict[str, str]):
    """Headers by name in lower case; they are found however the name is spelt."""

    @classmethod
    def read(cls, headers: Mapping[bytes, bytes]) -> RequestHeaders:
        """From headers as they came, their names in lower case."""
        return cls((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers.items())

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)


class RequestProcessor:
    """What was sent, and what a handler has set for the answer: status, reason and headers."""

    def __init__(self, headers: RequestHeaders) -> None:
        self._request_headers = headers
        self.status = 200
        self.reason = ""
        self.headers: dict[str, str] = {}

    def get_request_property(self, key: str) -> str | None:
        value: str | None = self._request_headers.get(key)
        return value

    def get_request_properties(self) -> RequestHeaders:
        return self._request_headers

    def report_status(self, code: int, reason_phrase: str | None = None) -> None:
        self.status, self.reason = code, reason_phrase or ""

    def get_response_status_code(self) -> int:
        return self.status

    def get_response_status_phrase(self) -> str:
        return self.reason

    def add_response_property(self, key: str, value: str) -> None:
        self.headers[key] = value

    def get_response_headers(self) -> dict[str, str]:
        return self.headers

    def get_response_header(self, key: str) -> str | None:
        return self.headers.get(key)


class MetricsStore:
    """Takes a handler's own metrics, and writes each to the log."""

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id

    def add_metric(
        self, name: str, value: Any, idx: int | None = None, unit: str | None = None, dimensions: Any = None
    ) -> None:
        fields = {"request_id": self._request_id, "metric": name, "value": value, "unit": unit}
        logger.info("metric %s", name, extra={"fields": fields})

    def add_counter(self, name: str, value: int, idx: int | None = None, dimensions: Any = None) -> None:
        self.add_metric(name, value, idx, "count", dimensions)

    def add_time(
        self, name: str, value: float, idx: int | None = None, unit: str = "ms", dimensions: Any = None
    ) -> None:
        self.add_metric(name, value, idx, unit, dimensions)

    def add_size(
        self, name: str, value: float, idx: int | None = None, unit: str = "MB", dimensions: Any = None
    ) -> None:
        self.add_metric(name, value, idx, unit, dimensions)

    def add_percent(self, name: str, value: float, idx: int | None = None, dimensions: Any = None) -> None:
        self.add_metric(name, value, idx, "percent", dimensions)

    def add_error(self, name: str, value: Any, dimensions: Any = None) -> None:
        self.add_metric(name, value, None, "", dimensions)
