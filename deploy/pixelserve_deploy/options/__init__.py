"""What several commands take on their command lines: types, groups of options, and what is made of them."""

from pixelserve_deploy.options.inputs import check_media_type, read_input
from pixelserve_deploy.options.numbers import parse_number, parse_part, parse_size
from pixelserve_deploy.options.report import add_report, save_text, write_report
from pixelserve_deploy.options.site import add_site, parse_duration
from pixelserve_deploy.options.workload import add_simulated_workload, add_workload, read_workload

__all__ = [
    "add_report",
    "add_simulated_workload",
    "add_site",
    "add_workload",
    "check_media_type",
    "parse_duration",
    "parse_number",
    "parse_part",
    "parse_size",
    "read_input",
    "read_workload",
    "save_text",
    "write_report",
]
