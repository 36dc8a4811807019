"""What several commands take on their command lines: types, groups of options, and what is made of them.

Loaded on demand: a command brings no more packages than it uses.
"""

from typing import TYPE_CHECKING

from pixelserve.lazy import exports

if TYPE_CHECKING:
    from pixelserve_deploy.options.api import NAME_OF_API, add_api, read_api, read_words
    from pixelserve_deploy.options.endpoint import add_endpoint, add_fields, find_table, read_endpoint, read_fields
    from pixelserve_deploy.options.inputs import add_request_fields, check_media_type, read_input, read_request_fields
    from pixelserve_deploy.options.numbers import parse_count, parse_number, parse_part, parse_port, parse_size
    from pixelserve_deploy.options.report import add_report, check_report, save_text, write_report
    from pixelserve_deploy.options.site import add_site, parse_duration
    from pixelserve_deploy.options.weights import (
        EMBEDDED,
        add_weights,
        check_together,
        choose_all_weights,
        choose_weights,
        find_feature,
        is_published,
    )
    from pixelserve_deploy.options.workload import (
        add_prices,
        add_simulated_workload,
        add_utilisation,
        add_workload,
        name_option,
        naming_options,
        read_question,
        read_workload,
        tell_prices,
    )
else:
    __getattr__ = exports(
        __name__,
        {
            ".api": "NAME_OF_API add_api read_api read_words",
            ".endpoint": "add_endpoint add_fields find_table read_endpoint read_fields",
            ".inputs": "add_request_fields check_media_type read_input read_request_fields",
            ".numbers": "parse_count parse_number parse_part parse_port parse_size",
            ".report": "add_report check_report save_text write_report",
            ".site": "add_site parse_duration",
            ".weights": "EMBEDDED add_weights check_together choose_all_weights choose_weights find_feature "
            "is_published",
            ".workload": "add_prices add_simulated_workload add_utilisation add_workload name_option naming_options "
            "read_question read_workload tell_prices",
        },
    )

__all__ = [
    "EMBEDDED",
    "NAME_OF_API",
    "add_api",
    "add_endpoint",
    "add_fields",
    "add_prices",
    "add_report",
    "add_request_fields",
    "add_simulated_workload",
    "add_site",
    "add_utilisation",
    "add_weights",
    "add_workload",
    "check_media_type",
    "check_report",
    "check_together",
    "choose_all_weights",
    "choose_weights",
    "find_feature",
    "find_table",
    "is_published",
    "name_option",
    "naming_options",
    "parse_count",
    "parse_duration",
    "parse_number",
    "parse_part",
    "parse_port",
    "parse_size",
    "read_api",
    "read_endpoint",
    "read_fields",
    "read_input",
    "read_question",
    "read_request_fields",
    "read_words",
    "read_workload",
    "save_text",
    "tell_prices",
    "write_report",
]
