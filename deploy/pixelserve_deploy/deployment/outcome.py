"""How a command on a stack ends, as people, scripts and the shell see it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Status(IntEnum):
    """The exit codes. 2, a wrong command line, is argparse's."""

    DONE = 0
    """Done, or there was nothing to do."""
    UNDONE = 1
    """It failed, and what was there before is there again."""
    REFUSED = 3
    """Nothing was changed."""
    NEEDS_PERSON = 4
    """Neither done nor undone: somebody has to look."""
    RUNNING = 5
    """AWS goes on with it; the same command follows it again."""
    CHANGES = 10
    """A plan that would change something."""


@dataclass(frozen=True)
class Outcome:
    """The end of a command: why it failed, what the container said last, and what to do next. Empty: nothing to say."""

    status: Status
    cause: str = ""
    container_error: str = ""
    next: str = ""
