"""Whether a handler mixes up requests: of one batch, or when its stages run beside each other (PIPELINE = True)."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pixelserve.serving import Context

THREADS = 8
ROUNDS = 12
SECONDS = 20.0
"""Rounds that are likely to take longer in all are left out, but for the first two."""
_SWITCH_SECONDS = 1e-5
"""Between two looks of the interpreter at whether another thread should run: a five hundredth of its default."""


BatchFunction = Callable[[list[Any], list[Context]], Sequence[Any]]
"""Items and their contexts in, one result an item out, in their order."""


@dataclass(frozen=True)
class Stages:
    """What a request goes through: `decode` and `encode` on threads, `predict` on the caller's own."""

    decode: Callable[[bytes, Context], Any]
    predict: Callable[[Any, Context], Any]
    encode: Callable[[Any, Context], bytes]
    make_context: Callable[[], Context]

    def answer(self, body: bytes) -> bytes:
        """The answer to one request, with nothing beside it."""
        context = self.make_context()
        return self.encode(self.predict(self.decode(body, context), context), context)


@dataclass(frozen=True)
class Overlap:
    """`answered` requests, of which `wrong` had another answer than alone; `reason` says why none could be told."""

    answered: int = 0
    wrong: int = 0
    reason: str = ""


def run_overlapped(stages: Stages, bodies: list[bytes]) -> Overlap:
    """Answers each body alone, then all of them many times at once, and compares. Bodies that fail are left out."""
    started = time.perf_counter()
    expected, reason = _answers_alone(stages, bodies)
    if reason:
        return Overlap(reason=reason)
    seconds = (time.perf_counter() - started) / 2
    rounds = max(2, min(ROUNDS, int(SECONDS / max(seconds, 1e-3))))
    requests = list(expected) * rounds
    with _frequent_switches():
        wrong = sum(answer != expected[body] for body, answer in zip(requests, _answers(stages, requests), strict=True))
    return Overlap(len(requests), wrong)


def run_batched(stages: Stages, predict: BatchFunction, bodies: list[bytes]) -> Overlap:
    """Answers all bodies as one batch of `predict`, and compares. Bodies that fail alone are left out.

    Each is compared with its answer in a batch of itself alone, as large and at the same place: networks round
    otherwise in batches of other sizes. A batch that fails, or gives another number of results, is wrong for all.
    """
    alone, reason = _answers_alone(stages, bodies)
    if reason:
        return Overlap(reason=reason)
    different = list(alone)
    try:
        together = _answer_batch(stages, predict, different)
        own = [_answer_batch(stages, predict, [body] * len(different))[at] for at, body in enumerate(different)]
    except Exception:  # noqa: BLE001  a handler may raise anything
        return Overlap(len(different), len(different))
    return Overlap(len(different), sum(answer != expected for answer, expected in zip(together, own, strict=True)))


def _answer_batch(stages: Stages, predict: BatchFunction, bodies: list[bytes]) -> list[bytes]:
    """The answers to the bodies as one batch. Raises whatever the handler raises, ValueError for too few results."""
    contexts = [stages.make_context() for _ in bodies]
    items = [stages.decode(body, context) for body, context in zip(bodies, contexts, strict=True)]
    results = predict(items, contexts)
    return [stages.encode(result, context) for result, context in zip(results, contexts, strict=True)]


def _answers_alone(stages: Stages, bodies: list[bytes]) -> tuple[dict[bytes, bytes], str]:
    """Each body's answer with nothing beside it, and why they cannot be compared with others, else empty."""
    expected: dict[bytes, bytes] = {}
    for body in bodies:
        try:
            first, second = stages.answer(body), stages.answer(body)
        except Exception:  # noqa: BLE001  a handler may raise anything
            continue
        if first != second:
            return {}, "the answers to the same request differ"
        expected[body] = first
    if len(set(expected.values())) < 2:
        return {}, "no two requests have different answers: give more of them, --body FILE --body FILE"
    return expected, ""


def _answers(stages: Stages, requests: list[bytes]) -> Iterator[bytes | None]:
    """The answers in the order of the requests; None for one that failed, which it did not alone."""
    contexts = [stages.make_context() for _ in requests]
    with ThreadPoolExecutor(THREADS, thread_name_prefix="overlap") as pool:
        decoded = [pool.submit(stages.decode, body, context) for body, context in zip(requests, contexts, strict=True)]
        encoded: list[Future[bytes] | None] = []
        for data, context in zip(decoded, contexts, strict=True):
            try:
                encoded.append(pool.submit(stages.encode, stages.predict(data.result(), context), context))
            except Exception:  # noqa: BLE001  a handler may raise anything
                encoded.append(None)
        for answer in encoded:
            try:
                yield None if answer is None else answer.result()
            except Exception:  # noqa: BLE001  a handler may raise anything
                yield None


@contextmanager
def _frequent_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
