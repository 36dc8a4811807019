"""The handlers that are compared, by what they are about."""

from __future__ import annotations

from oracle.idioms import answers, failures, layout, signatures, state, types

CASES = {
    name: case for part in (signatures, types, answers, state, layout, failures) for name, case in part.CASES.items()
}
"""Each case by its name."""
