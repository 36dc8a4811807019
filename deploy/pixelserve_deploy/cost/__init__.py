"""The cost estimator: price books, one engine in Decimals, three policies, and what is built on them.

>>> from pixelserve_deploy.cost import AS_DOCUMENTED, load_cases
>>> [str(case.estimate(AS_DOCUMENTED).total) for case in load_cases()]
['648.21', '2001.83', '284.55', '1237.06', '176.35']

What a caller of its own asks is a `Workload`:

>>> from pixelserve_deploy.cost import Workload, build_question
>>> str(build_question(Workload(book="aws-2022-06", policy="as-documented")).estimate("realtime").currency)
'USD'
"""

from pixelserve.lazy import exports
from pixelserve_deploy.cost import bills, pricelist, views
from pixelserve_deploy.cost.amounts import (
    format_grouped,
    format_measure,
    format_money,
    format_percent,
    format_plain,
    format_short,
    round_half_up,
)
from pixelserve_deploy.cost.assumptions import (
    Basis,
    build_assumptions_section,
    list_assumptions,
    list_circumstances,
    list_lever_assumptions,
)
from pixelserve_deploy.cost.comparison import BreakEven, Option, compare, find_break_evens
from pixelserve_deploy.cost.defaults import (
    CODECS,
    SCALE,
    SUPER_RESOLUTION,
    cite_answer_sizes,
    estimate_documented_seconds,
    find_model,
    load_models,
)
from pixelserve_deploy.cost.difference import Bill, Difference, compare_bills, read_bills
from pixelserve_deploy.cost.documented import choose_cases, load_cases
from pixelserve_deploy.cost.engine import Estimate
from pixelserve_deploy.cost.errors import CostError, PriceMissing, WorkloadError
from pixelserve_deploy.cost.given import choose_book, require_given_used
from pixelserve_deploy.cost.levers import Measurement, pull_levers
from pixelserve_deploy.cost.measured import (
    PERCENTILES,
    SCHEMA,
    Benchmark,
    Price1000,
    Row,
    price_thousand,
    read_benchmark,
    select_images,
    select_within,
)
from pixelserve_deploy.cost.modes import ASYNC_INSTEAD, INSTANCE, MODES, Scaling, describe_change
from pixelserve_deploy.cost.period import price_period
from pixelserve_deploy.cost.policy import AS_DOCUMENTED, POLICIES, find_policy
from pixelserve_deploy.cost.pricebook import (
    Price,
    PriceBook,
    find_book,
    find_newest_book,
    find_partition_book,
    format_book,
    load_books,
)
from pixelserve_deploy.cost.profile import BASE64, MONTH_HOURS, RAW
from pixelserve_deploy.cost.question import Question, build_question, cite_measurement, find_measured_row
from pixelserve_deploy.cost.refresh import Change, name_book, refresh_book
from pixelserve_deploy.cost.sensitivity import measure_effects
from pixelserve_deploy.cost.sharing import Column, share_instances
from pixelserve_deploy.cost.simulation import Fleet, advise, simulate
from pixelserve_deploy.cost.traces import MOST_DAYS, Trace, make_bursty, make_diurnal, read_trace
from pixelserve_deploy.cost.workload import P99, Workload

__getattr__ = exports(
    __name__,
    {},
    moved={
        "book_of": "pixelserve_deploy.cost:find_book",
        "books": "pixelserve_deploy.cost:load_books",
        "cases": "pixelserve_deploy.cost:load_cases",
        "newest": "pixelserve_deploy.cost:find_newest_book",
    },
)

__all__ = [
    "ASYNC_INSTEAD",
    "AS_DOCUMENTED",
    "BASE64",
    "CODECS",
    "INSTANCE",
    "MODES",
    "MONTH_HOURS",
    "MOST_DAYS",
    "P99",
    "PERCENTILES",
    "POLICIES",
    "RAW",
    "SCALE",
    "SCHEMA",
    "SUPER_RESOLUTION",
    "Basis",
    "Benchmark",
    "Bill",
    "BreakEven",
    "Change",
    "Column",
    "CostError",
    "Difference",
    "Estimate",
    "Fleet",
    "Measurement",
    "Option",
    "Price",
    "Price1000",
    "PriceBook",
    "PriceMissing",
    "Question",
    "Row",
    "Scaling",
    "Trace",
    "Workload",
    "WorkloadError",
    "advise",
    "bills",
    "build_assumptions_section",
    "build_question",
    "choose_book",
    "choose_cases",
    "cite_answer_sizes",
    "cite_measurement",
    "compare",
    "compare_bills",
    "describe_change",
    "estimate_documented_seconds",
    "find_book",
    "find_break_evens",
    "find_measured_row",
    "find_model",
    "find_newest_book",
    "find_partition_book",
    "find_policy",
    "format_book",
    "format_grouped",
    "format_measure",
    "format_money",
    "format_percent",
    "format_plain",
    "format_short",
    "list_assumptions",
    "list_circumstances",
    "list_lever_assumptions",
    "load_books",
    "load_cases",
    "load_models",
    "make_bursty",
    "make_diurnal",
    "measure_effects",
    "name_book",
    "price_period",
    "price_thousand",
    "pricelist",
    "pull_levers",
    "read_benchmark",
    "read_bills",
    "read_trace",
    "refresh_book",
    "require_given_used",
    "round_half_up",
    "select_images",
    "select_within",
    "share_instances",
    "simulate",
    "views",
]
