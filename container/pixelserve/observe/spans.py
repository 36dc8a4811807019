"""Spans by OpenTelemetry's own API and SDK, which reads its own environment variables. Only `tracing` imports this.

Attributes are those of the semantic conventions for HTTP: https://opentelemetry.io/docs/specs/semconv/http/
No message of an exception is recorded: it may quote a payload.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextvars import Token
from importlib.metadata import entry_points
from typing import Self

from opentelemetry import context as contexts
from opentelemetry import trace as api
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from pixelserve.errors import PixelserveError
from pixelserve.observe.traces import Attributes, Kind, Span, Trace

FLUSH_SECONDS = 1.0
_KINDS = {"internal": api.SpanKind.INTERNAL, "server": api.SpanKind.SERVER, "client": api.SpanKind.CLIENT}
_PROPAGATOR = TraceContextTextMapPropagator()
_FAILING_FROM = {"internal": 400, "server": 500, "client": 400}
"""The least HTTP status that is an error: a server answers a caller's mistake, and has made none itself."""


class Spans:
    """The spans of this process. Raises for an exporter that is not installed, or does not take its settings."""

    def __init__(self, service: str) -> None:
        provider = TracerProvider(resource=_resource(service), shutdown_on_exit=False)
        for exporter in _exporters():
            provider.add_span_processor(BatchSpanProcessor(exporter))
        api.set_tracer_provider(provider)
        self._provider = provider
        self._tracer = provider.get_tracer("pixelserve")

    def begin(self, name: str, trace: Trace, kind: Kind, attributes: Attributes | None) -> RecordedSpan:
        span = self._tracer.start_span(name, _context(trace), _KINDS[kind], attributes)
        return RecordedSpan(span, _FAILING_FROM[kind])

    def record(self, name: str, trace: Trace, seconds: float) -> None:
        ended = time.time_ns()
        span = self._tracer.start_span(name, _context(trace), start_time=ended - int(seconds * 1e9))
        span.end(ended)

    def flush(self) -> None:
        """In a thread, since the SDK heeds no time limit here."""
        flushing = threading.Thread(target=self._provider.force_flush, daemon=True)
        flushing.start()
        flushing.join(FLUSH_SECONDS)


class RecordedSpan(Span):
    """One of OpenTelemetry; in its block it is the current one, so that spans of a handler's own lie below it."""

    __slots__ = ("_failing_from", "_span", "_token")

    def __init__(self, span: api.Span, failing_from: int) -> None:
        given: dict[str, str] = {}
        _PROPAGATOR.inject(given, api.set_span_in_context(span))
        super().__init__(Trace(given["traceparent"], given.get("tracestate", "")))
        self._span = span
        self._failing_from = failing_from
        self._token: Token[contexts.Context]

    def __enter__(self) -> Self:
        self._token = contexts.attach(api.set_span_in_context(self._span))
        return self

    def __exit__(self, _kind: object, raised: BaseException | None, _traceback: object) -> None:
        contexts.detach(self._token)
        if isinstance(raised, PixelserveError):
            self._fail(raised.code)
        elif raised is not None:
            self._fail(type(raised).__qualname__)
        self._span.end()

    def answered(self, status: int, error: str = "") -> None:
        self._span.set_attribute("http.response.status_code", status)
        if status >= self._failing_from:
            self._fail(error or str(status))

    def routed(self, method: str, route: str) -> None:
        self._span.update_name(f"{method} {route}")
        self._span.set_attribute("http.route", route)

    def _fail(self, kind: str) -> None:
        self._span.set_attribute("error.type", kind)
        self._span.set_status(api.StatusCode.ERROR)


def _context(trace: Trace) -> contexts.Context:
    """A context whose current span is the trace's; without one, a context in which a trace begins."""
    return _PROPAGATOR.extract(dict(trace.headers()), contexts.Context())


def _resource(service: str) -> Resource:
    resource = Resource.create()  # reads OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME
    is_named = not str(resource.attributes[SERVICE_NAME]).startswith("unknown_service")
    return resource if is_named else resource.merge(Resource({SERVICE_NAME: service}))


def _exporters() -> Iterator[SpanExporter]:
    """Those that OTEL_TRACES_EXPORTER names, each by the entry point of the package that brings it."""
    for name in (os.environ.get("OTEL_TRACES_EXPORTER") or "otlp").split(","):
        entry = _entry_of(name.strip())
        found = list(entry_points(group="opentelemetry_traces_exporter", name=entry))
        if not found:
            raise LookupError(f"no package that is installed brings the exporter {entry}")
        yield found[0].load()()


def _entry_of(name: str) -> str:
    """The entry point's name. OTLP goes by HTTP unless a variable says gRPC."""
    if name != "otlp":
        return name
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    return "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"
