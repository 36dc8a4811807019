"""The APIs that the gateway speaks. Each module parses requests and phrases answers; `calls` does the work."""

from pixelserve_gateway.dialects import ai_solution_kit, native

__all__ = ["ai_solution_kit", "native"]
