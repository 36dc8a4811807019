"""Spans of OpenTelemetry, in a process whose environment names an exporter.

Without one nothing of OpenTelemetry is imported, and a trace is passed on as it came.
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pixelserve.observe.traces import Attributes, Kind, Span, Trace

if TYPE_CHECKING:
    from pixelserve.observe.spans import Spans

logger = logging.getLogger("pixelserve.tracing")

_EXPORTERS = ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_spans: Spans | None = None
"""Of this process, once `configure` has found that they are asked for."""


def configure(service: str = "pixelserve") -> None:
    """Has the spans of this process exported if the environment asks for it; otherwise nothing is imported.

    Called by the process that makes the spans: threads do not outlive a fork. `service` is what it is called unless
    OTEL_SERVICE_NAME says otherwise. What is missing or does not fit is logged, and keeps nothing from working.
    """
    global _spans
    if not _is_asked_for(os.environ):
        return
    try:
        from pixelserve.observe.spans import Spans

        _spans = Spans(service)
    except ImportError as error:
        logger.warning("no spans are exported: %s is missing. Install it: pip install 'pixelserve[otel]'", error.name)
    except Exception as error:  # noqa: BLE001  an exporter is somebody else's code, and its settings too
        logger.warning("no spans are exported: %s", error)


def flush() -> None:
    """Sends what has ended, in about a second or not: for a process that is about to end, or to be frozen."""
    if _spans is not None:
        _spans.flush()


def span(name: str, trace: Trace, kind: Kind = "internal", attributes: Attributes | None = None) -> Span:
    """A span under `trace`, to be entered."""
    return Span(trace) if _spans is None else _spans.begin(name, trace, kind, attributes)


def record(name: str, trace: Trace, seconds: float) -> None:
    """A span under `trace` that has just ended after so many seconds."""
    if _spans is not None:
        _spans.record(name, trace, seconds)


def _is_asked_for(environ: Mapping[str, str]) -> bool:
    is_disabled = environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return not is_disabled and environ.get(_EXPORTERS[0]) != "none" and any(environ.get(name) for name in _EXPORTERS)
