"""The cost estimator: price books, one engine in Decimals, three policies, and what is built on them.

>>> from pixelserve_deploy.cost import AS_DOCUMENTED, cases
>>> [str(case.estimate(AS_DOCUMENTED).total) for case in cases()]
['648.21', '2001.83', '284.55', '1237.06', '176.35']
"""

from pixelserve_deploy.cost.documented import DocumentedCase, cases
from pixelserve_deploy.cost.engine import Erratum, Estimate, LineItem, estimate
from pixelserve_deploy.cost.errors import CostError, CurrencyMismatch, PriceMissing
from pixelserve_deploy.cost.policy import AS_DOCUMENTED, DOCUMENTED_CORRECTED, EXACT, Policy
from pixelserve_deploy.cost.pricebook import Price, PriceBook, Tier, book_of, books, newest
from pixelserve_deploy.cost.profile import UsageProfile

__all__ = [
    "AS_DOCUMENTED",
    "DOCUMENTED_CORRECTED",
    "EXACT",
    "CostError",
    "CurrencyMismatch",
    "DocumentedCase",
    "Erratum",
    "Estimate",
    "LineItem",
    "Policy",
    "Price",
    "PriceBook",
    "PriceMissing",
    "Tier",
    "UsageProfile",
    "book_of",
    "books",
    "cases",
    "estimate",
    "newest",
]
