"""Reports: what they hold, the forms they are written in, and charts. They know nothing of costs."""

from pixelserve_deploy.reports.charts import (
    Bar,
    Curve,
    Panel,
    Swing,
    draw_bars,
    draw_curves,
    draw_timeline,
    draw_tornado,
    format_count,
)
from pixelserve_deploy.reports.rendering import REPORT_FORMATS, render
from pixelserve_deploy.reports.report import Report, Section, Table

__all__ = [
    "REPORT_FORMATS",
    "Bar",
    "Curve",
    "Panel",
    "Report",
    "Section",
    "Swing",
    "Table",
    "draw_bars",
    "draw_curves",
    "draw_timeline",
    "draw_tornado",
    "format_count",
    "render",
]
