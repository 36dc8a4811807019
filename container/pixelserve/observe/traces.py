"""The trace that a request belongs to, as W3C Trace Context has it: https://www.w3.org/TR/trace-context/."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Self
from urllib.parse import quote, unquote

Kind = Literal["internal", "server", "client"]
Attributes = Mapping[str, str | int]

LONGEST_ATTRIBUTES = 1024
"""Characters of X-Amzn-SageMaker-Custom-Attributes that SageMaker passes on."""
_PARENT, _STATE = "traceparent", "tracestate"
_NAMES = (_PARENT.encode(), _STATE.encode())
_TRACEPARENT = re.compile(
    r"(?P<version>(?!ff)[0-9a-f]{2})-(?P<ids>(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
    r"(?P<rest>-.*)?"
)
_TRACESTATE = re.compile(r"[\t -~]{0,512}")


@dataclass(frozen=True, slots=True)
class Trace:
    """The trace that a request belongs to, as it is passed on: its `traceparent` and `tracestate`, "" for none."""

    parent: str = ""
    state: str = ""

    @classmethod
    def parse(cls, parent: str, state: str = "") -> Trace:
        """No trace where `parent` is malformed; one of a later version is written as version 00 (section 3.2)."""
        found = _TRACEPARENT.fullmatch(parent.strip())
        if found is None or (found["version"] == "00" and found["rest"] is not None):
            return NO_TRACE
        flags = found["flags"] if found["version"] == "00" else f"{int(found['flags'], 16) & 1:02x}"
        return cls(f"00-{found['ids']}-{flags}", state if _TRACESTATE.fullmatch(state) else "")

    @classmethod
    def of_request(cls, headers: Iterable[tuple[bytes, bytes]], attributes: str = "") -> Trace:
        """Of a request's headers, names in lower case, or else of its custom attributes.

        Several of traceparent are none, several of tracestate are one list.
        """
        given = [(name, value.decode("latin-1")) for name, value in headers if name in _NAMES]
        if given:
            parents = [value for name, value in given if name == _NAMES[0]]
            states = [value for name, value in given if name == _NAMES[1]]
            if parents:
                return cls.parse(parents[0], ",".join(states)) if len(parents) == 1 else NO_TRACE
        if _PARENT not in attributes:
            return NO_TRACE
        parts = (part.strip().partition("=") for part in attributes.split(";"))
        values = {name: value for name, _, value in parts}
        return cls.parse(values.get(_PARENT, ""), unquote(values.get(_STATE, "")))

    def headers(self) -> list[tuple[str, str]]:
        """The headers by which it is passed on."""
        return [(name, value) for name, value in ((_PARENT, self.parent), (_STATE, self.state)) if value]

    def added_to(self, attributes: str) -> str:
        """Custom attributes, NAME=VALUE;NAME=VALUE, that pass it on.

        tracestate is percent-encoded, since it holds commas, semicolons and equals signs, and left out where it does
        not fit.
        """
        if not self.parent:
            return attributes
        with_parent = ";".join(filter(None, (attributes, f"{_PARENT}={self.parent}")))
        whole = f"{with_parent};{_STATE}={quote(self.state, safe='')}"
        return whole if self.state and len(whole) <= LONGEST_ATTRIBUTES else with_parent


NO_TRACE = Trace()


class Span:
    """A span that is not recorded: the block that enters it passes `trace` on as it came."""

    __slots__ = ("trace",)

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        """What is passed on from inside the block."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, _raised: BaseException | None, _traceback: object) -> None:
        """The span ends; what the block raises makes it a failed one."""

    def answered(self, status: int, error: str = "") -> None:
        """Notes the HTTP status; `error` names what led to it."""

    def routed(self, method: str, route: str) -> None:
        """Names the span of a server by the route that the request took, once that is known."""
