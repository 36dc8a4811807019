"""Which networks serve: a line in the log for each, and an entry in /metrics."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from urllib.parse import quote

logger = logging.getLogger("pixelserve.models")

EMBEDDED = "embedded"


@dataclass(frozen=True)
class ServedNetwork:
    """A network that a process has loaded; what does not apply is ""."""

    file: str
    """Name of its file, or EMBEDDED."""
    architecture: str
    scale: str
    """By which it enlarges, such as "4"."""
    runtime: str
    dtype: str

    @property
    def attributes(self) -> str:
        """What answers say of it, as custom attributes."""
        return f"weights={quote(self.file)};runtime={quote(self.runtime)};type={self.dtype}"

    def __str__(self) -> str:
        scale = f" x{self.scale}" if self.scale else ""
        return f"{self.file}: {self.architecture}{scale}, {self.runtime}, {self.dtype}"


_announced: list[ServedNetwork] = []


def announce(network: ServedNetwork) -> None:
    """Logs that a network serves; `Metrics` made afterwards show it."""
    _announced.append(network)
    logger.info("serving %s", network, extra={"fields": asdict(network)})


def announced() -> tuple[ServedNetwork, ...]:
    """Those of this process, in the order in which they were loaded."""
    return tuple(_announced)
