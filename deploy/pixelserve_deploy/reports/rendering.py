"""A report in the form that is asked for."""

from __future__ import annotations

from pixelserve_deploy.reports.html import render_page
from pixelserve_deploy.reports.report import Report
from pixelserve_deploy.reports.text import render_csv, render_json, render_markdown, render_text

_WRITERS = {
    "table": render_text,
    "json": render_json,
    "csv": render_csv,
    "markdown": render_markdown,
    "html": render_page,
}
REPORT_FORMATS = tuple(_WRITERS)


def render(report: Report, form: str) -> str:
    """The report in one of `REPORT_FORMATS`, with a line end."""
    return _WRITERS[form](report)
