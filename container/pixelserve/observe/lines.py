"""Lines of another process's log, read back."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from typing import Any

PROGRESS = "progress"
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class LogLine:
    """A line that a server wrote; `level` is Python's, or None for what a handler printed itself.

    `progress` is a request's id and how far it is, from 0 to 1, of a line that tells so (`log_progress`).
    Control characters, which a terminal would obey, are shown as \\xNN.
    """

    level: int | None
    text: str
    progress: tuple[str, float] | None = None

    @classmethod
    def parse(cls, line: str) -> LogLine:
        try:
            fields = json.loads(line)
            level = logging.getLevelNamesMapping()[fields.pop("level").upper()]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return cls(None, harmless(line))
        progress = _progress(fields)
        message = [str(fields.pop("message", ""))]
        traceback = str(fields.pop("traceback", "")).rstrip()
        message += [f"{key}={value}" for key, value in fields.items() if key not in ("ts", "logger")]
        return cls(level, harmless(" ".join(filter(None, message)) + (f"\n{traceback}" if traceback else "")), progress)

    @property
    def is_error(self) -> bool:
        """Whether it may say why a server ended: an error, or what was printed and not logged."""
        return self.level is None or self.level >= logging.ERROR


def _progress(fields: dict[str, Any]) -> tuple[str, float] | None:
    if fields.get("message") != PROGRESS:
        return None
    try:
        return str(fields["request_id"]), min(1.0, max(0.0, fields["done"] / fields["total"]))
    except (KeyError, TypeError, ArithmeticError):  # a handler's own line
        return None


def harmless(text: str) -> str:
    """The text with what controls a terminal, or turns the direction of writing, shown as \\xNN."""
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
