"""What a server shows of itself: structured logs and metrics."""

from typing import TYPE_CHECKING

from pixelserve.lazy import exports

if TYPE_CHECKING:
    from pixelserve.observe import metrics
    from pixelserve.observe.lines import LogLine, harmless
    from pixelserve.observe.logs import AccessLog, configure, log_failure, log_progress
    from pixelserve.observe.metrics import Metrics
else:
    __getattr__ = exports(
        __name__,
        {
            ".lines": "LogLine harmless",
            ".logs": "AccessLog configure log_failure log_progress",
            ".metrics": "Metrics",
        },
    )

__all__ = ["AccessLog", "LogLine", "Metrics", "configure", "harmless", "log_failure", "log_progress", "metrics"]
