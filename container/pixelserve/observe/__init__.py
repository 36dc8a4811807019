"""What a server shows of itself: structured logs, metrics and traces."""

from typing import TYPE_CHECKING

from pixelserve.lazy import exports

if TYPE_CHECKING:
    from pixelserve.observe import metrics, tracing
    from pixelserve.observe.lines import LogLine, harmless
    from pixelserve.observe.logs import AccessLog, configure, log_failure, log_load_failure, log_progress
    from pixelserve.observe.metrics import Metrics, read_networks
    from pixelserve.observe.networks import EMBEDDED, ServedNetwork, announce
    from pixelserve.observe.traces import NO_TRACE, Attributes, Span, Trace
else:
    __getattr__ = exports(
        __name__,
        {
            ".lines": "LogLine harmless",
            ".logs": "AccessLog configure log_failure log_load_failure log_progress",
            ".metrics": "Metrics read_networks",
            ".networks": "EMBEDDED ServedNetwork announce",
            ".traces": "NO_TRACE Attributes Span Trace",
            ".tracing": "",
        },
    )

__all__ = [
    "EMBEDDED",
    "NO_TRACE",
    "AccessLog",
    "Attributes",
    "LogLine",
    "Metrics",
    "ServedNetwork",
    "Span",
    "Trace",
    "announce",
    "configure",
    "harmless",
    "log_failure",
    "log_load_failure",
    "log_progress",
    "metrics",
    "read_networks",
    "tracing",
]
