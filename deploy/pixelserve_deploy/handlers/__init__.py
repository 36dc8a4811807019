"""Handlers: writing one to start from, and checking one against the contract."""

from pixelserve_deploy.handlers.checking import Finding, check_handler
from pixelserve_deploy.handlers.writing import write_handler

__all__ = ["Finding", "check_handler", "write_handler"]
