"""What a server shows of itself: structured logs, metrics and traces."""

from typing import TYPE_CHECKING

from pixelserve.lazy import exports

if TYPE_CHECKING:
    from pixelserve.observe import metrics, tracing
    from pixelserve.observe.lines import LogLine, harmless
    from pixelserve.observe.logs import AccessLog, configure, log_failure, log_progress
    from pixelserve.observe.metrics import Metrics
    from pixelserve.observe.traces import NO_TRACE, Attributes, Span, Trace
else:
    __getattr__ = exports(
        __name__,
        {
            ".lines": "LogLine harmless",
            ".logs": "AccessLog configure log_failure log_progress",
            ".metrics": "Metrics",
            ".traces": "NO_TRACE Attributes Span Trace",
            ".tracing": "",
        },
    )

__all__ = [
    "NO_TRACE",
    "AccessLog",
    "Attributes",
    "LogLine",
    "Metrics",
    "Span",
    "Trace",
    "configure",
    "harmless",
    "log_failure",
    "log_progress",
    "metrics",
    "tracing",
]
