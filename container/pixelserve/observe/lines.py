"""Lines of another process's log, read back."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class LogLine:
    """A line that a server wrote; `level` is Python's, or None for what a handler printed itself.

    Control characters, which a terminal would obey, are shown as \\xNN.
    """

    level: int | None
    text: str

    @classmethod
    def parse(cls, line: str) -> LogLine:
        try:
            fields = json.loads(line)
            level = logging.getLevelNamesMapping()[fields.pop("level").upper()]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return cls(None, harmless(line))
        message = [str(fields.pop("message", ""))]
        traceback = str(fields.pop("traceback", "")).rstrip()
        message += [f"{key}={value}" for key, value in fields.items() if key not in ("ts", "logger")]
        return cls(level, harmless(" ".join(filter(None, message)) + (f"\n{traceback}" if traceback else "")))

    @property
    def is_error(self) -> bool:
        """Whether it may say why a server ended: an error, or what was printed and not logged."""
        return self.level is None or self.level >= logging.ERROR


def harmless(text: str) -> str:
    """The text with what controls a terminal, or turns the direction of writing, shown as \\xNN."""
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
