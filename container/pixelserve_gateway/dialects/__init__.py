"""The APIs that the gateway speaks. Each module parses requests and phrases answers; `desk` does the work."""

from pixelserve_gateway.dialects import (
    ai_solution_kit,
    answers,
    dreamina,
    dreamina_uploads,
    hidream,
    native,
    native_jobs,
)

__all__ = ["ai_solution_kit", "answers", "dreamina", "dreamina_uploads", "hidream", "native", "native_jobs"]
