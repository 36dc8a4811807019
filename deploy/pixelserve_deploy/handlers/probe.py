"""The process behind `pixelserve check`: runs a handler's functions as the server does and reports one finding a line.

Findings are JSON on the standard output it was started with; what the handler itself prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from pixelserve.errors import HandlerError, PixelserveError
from pixelserve.media_types import JSON
from pixelserve.serving import Context, Handler, Location, as_error, from_handler, load
from pixelserve_deploy.handlers.checking import END
from pixelserve_deploy.handlers.overlap import Overlap, Stages, run_batched, run_overlapped
from pixelserve_deploy.handlers.safety import find_unsafe_calls
from pixelserve_deploy.handlers.sample import make_sample, vary

Record = Callable[[Literal["ok", "note", "problem", "unchecked"], str, str], None]
"""Takes a finding: its kind, which check, and the text."""

INVOCATION_SECONDS = 60.0
VARIANTS = 5
"""Requests that are made of the one given, to be run beside it."""
PACKAGES = (
    ". Install a package here with pip, and name it in a requirements.txt beside the handler: `build` installs it"
)
UNKNOWN = "application/x-pixelserve-check"
"""A media type that no handler can know."""


class Probe:
    """The checks of one handler, in the order in which the server would do these things."""

    def __init__(self, order: dict[str, Any], record: Record) -> None:
        self._folder = Path(order["folder"])
        self._file = self._folder / order["program"]
        self._own_body = bool(order["bodies"])
        requests = [(Path(path).read_bytes(), content_type) for path, content_type in order["bodies"]]
        self._requests = requests or [(make_sample(), JSON)]
        self._body, self._content_type = self._requests[0]
        self._accept: str = order["accept"]
        self._model_dir = Path(order["model_dir"])
        self._record = record

    def run(self) -> None:
        """Ends early where nothing after a failure could be checked."""
        found = self._import()
        if found is None:
            self._record("unchecked", "model_fn and all after it", "the handler could not be imported")
            return
        model = self._load_model(found, self._model_dir)
        if model is _FAILED:
            self._record("unchecked", "all that a request goes through", "the model did not load")
            return
        if self._answer(found, model):
            self._answer_others(found, model)
            self._overlap(found, model)
            self._batch(found, model)
        self._refusals(found, model)

    def _answer(self, found: Handler, model: Any) -> bool:
        """Whether the request went through all stages."""
        data = self._attempt_sample("input_fn", found.input_fn, self._body, self._content_type, self._context())
        if data is _FAILED:
            self._record("unchecked", "predict_fn, output_fn", f"input_fn gave them nothing{self._advice}")
            return False
        prediction = self._predict(found, data, model)
        if prediction is _FAILED:
            self._record("unchecked", "output_fn", f"there is no prediction for it{self._advice}")
            return False
        return self._write(found, prediction)

    def _answer_others(self, found: Handler, model: Any) -> None:
        """Sends the further requests that were given, each by itself through all stages."""
        for number, (body, content_type) in enumerate(self._requests[1:], start=2):
            stages = self._stages(found, model, content_type)
            context = self._context(content_type, self._accept)
            try:
                answer = stages.encode(stages.predict(stages.decode(body, context), context), context)
            except Exception as error:  # noqa: BLE001  a handler may raise anything
                self._record("problem", f"request {number}", _describe(error) + self._locate(error))
            else:
                self._record("ok", f"request {number}", f"{len(answer):,} bytes")

    @property
    def _advice(self) -> str:
        return "" if self._own_body else "; give a request of yours: --body FILE"

    def _overlap(self, found: Handler, model: Any) -> None:
        """Runs a pipelined handler with several requests at once, which must not get each other's answers."""
        if not found.is_pipelined:
            self._record("ok", "concurrency", "requests run one after another, since PIPELINE is not True")
            return
        stages = self._stages(found, model, self._content_type)
        self._record_overlap(
            "concurrency",
            run_overlapped(stages, self._bodies()),
            "requests at once had another answer than alone: keep nothing of a request outside its own data and "
            "context, or leave out PIPELINE = True",
            "requests at once had the same answers as alone",
        )

    def _batch(self, found: Handler, model: Any) -> None:
        """Gives a predict_batch_fn several requests together, whose answers must be theirs, in their order."""
        predict_batch_fn = found.predict_batch_fn
        if predict_batch_fn is None:
            return

        def predict(items: list[Any], contexts: list[Context]) -> Sequence[Any]:
            results: Sequence[Any] = predict_batch_fn(items, model, contexts)
            return results

        self._record_overlap(
            "batch",
            run_batched(self._stages(found, model, self._content_type), predict, self._bodies()),
            "requests of one predict_batch_fn had another answer than in a batch of their own: return one result an "
            "item, in the order of the items",
            "requests of one predict_batch_fn had their own answers",
        )

    def _record_overlap(self, check: str, overlap: Overlap, wrong: str, right: str) -> None:
        if overlap.reason:
            self._record("unchecked", check, overlap.reason)
        elif overlap.wrong:
            self._record("problem", check, f"{overlap.wrong} of {overlap.answered} {wrong}")
        else:
            self._record("ok", check, f"{overlap.answered} {right}")

    def _bodies(self) -> list[bytes]:
        """The requests of the first one's type, and others like it."""
        content_type = self._content_type
        given = [body for body, kind in self._requests if kind == content_type]
        return [*given, *vary(self._body, content_type, VARIANTS)]

    def _stages(self, found: Handler, model: Any, content_type: str) -> Stages:
        def encode(prediction: Any, context: Context) -> bytes:
            result = found.output_fn(prediction, self._accept, context)
            return b"".join(from_handler(result, context, found.author_of("output_fn")).joined().parts)

        def predict(data: Any, context: Context) -> Any:
            if found.predict_batch_fn is not None:
                return found.predict_batch_fn([data], model, [context])[0]
            assert found.predict_fn is not None
            return found.predict_fn(data, model, context)

        def decode(body: bytes, context: Context) -> Any:
            return found.input_fn(body, content_type, context)

        return Stages(decode, predict, encode, lambda: self._context(accept=self._accept))

    def _context(self, content_type: str = "", accept: str = "") -> Context:
        deadline = time.monotonic() + INVOCATION_SECONDS
        kind = content_type or self._content_type
        wire_headers = {b"content-type": kind.encode()}
        return Context("check", content_type=kind, accept=accept, deadline=deadline, wire_headers=wire_headers)

    def _import(self) -> Handler | None:
        location = Location(self._folder, self._file, "check")
        try:
            found = load(location)
        except HandlerError as error:
            advice = PACKAGES if isinstance(error.__cause__, ModuleNotFoundError) else ""
            self._record("problem", "import", error.message + advice)
            return None
        self._record("ok", "import", f"defines {', '.join(sorted(found.defined))}; their parameters fit")
        for absent in sorted({"input_fn", "output_fn"} - found.defined):
            if "transform_fn" not in found.defined:
                self._record("note", absent, "absent: the default for JSON, NPY, CSV and raw bytes is used")
        if location.requirements:
            self._record(
                "note", "requirements.txt", "not installed at start unless PIXELSERVE_INSTALL_REQUIREMENTS=true"
            )
        for call, line, in_request, instead in find_unsafe_calls(self._file):
            where = f"line {line}: {call} runs code hidden in the data"
            if in_request:
                self._record("problem", "safety", f"{where}, and the data is a caller's; {instead}")
            else:
                self._record("note", "safety", f"{where}; {instead}")
        return found

    def _load_model(self, found: Handler, model_dir: Path) -> Any:
        before = _files(model_dir)
        model = self._attempt("model_fn", found.model_fn, str(model_dir), self._context())
        if model is _FAILED:
            return _FAILED
        if model is None:
            self._record("problem", "model_fn", "returned None: return what predict_fn needs")
        written = [path for path in _files(model_dir) if path not in before]
        if written:
            name = written[0].relative_to(model_dir)
            self._record("problem", "model_fn", f"wrote {name} into model_dir, read-only on SageMaker: use tempfile")
        if found.warmup_fn is not None and self._attempt("warmup_fn", found.warmup_fn, model, Context("")) is _FAILED:
            return _FAILED
        return model

    def _predict(self, found: Handler, data: Any, model: Any) -> Any:
        context = self._context(accept=self._accept)
        attempt = self._attempt if "input_fn" in found.defined else self._attempt_sample
        if found.predict_batch_fn is not None:
            results = attempt("predict_batch_fn", found.predict_batch_fn, [data, data], model, [context, context])
            if results is _FAILED:
                return _FAILED
            if not hasattr(results, "__len__") or len(results) != 2:
                length = len(results) if hasattr(results, "__len__") else type(results).__name__
                self._record("problem", "predict_batch_fn", f"2 items gave {length}: return a list, one result an item")
                return _FAILED
            return results[0]
        assert found.predict_fn is not None
        started = time.perf_counter()
        prediction = attempt("predict_fn", found.predict_fn, data, model, context)
        seconds = time.perf_counter() - started
        if seconds > INVOCATION_SECONDS:
            self._record(
                "problem", "predict_fn", f"took {seconds:.0f} s; real-time endpoints end an invocation at 60 s"
            )
        return prediction

    def _write(self, found: Handler, prediction: Any) -> bool:
        """Whether there is an answer."""
        context = self._context(accept=self._accept)
        result = self._attempt("output_fn", found.output_fn, prediction, self._accept, context)
        if result is _FAILED:
            return False
        try:
            answer = from_handler(result, context, found.author_of("output_fn"))
        except PixelserveError as error:
            self._record("problem", "output_fn", error.message)
            return False
        whole = "" if answer.stream is None else ", the first part of a stream"
        self._record("ok", "answer", f"{answer.size:,} bytes of {answer.media_type}{whole}")
        if "transform_fn" not in found.defined:
            context = self._context(accept=UNKNOWN)
            self._expect("accept", 406, "NotAcceptable", found.output_fn, prediction, UNKNOWN, context)
        return True

    def _refusals(self, found: Handler, model: Any) -> None:
        context = self._context(UNKNOWN, "*/*")
        if "transform_fn" in found.defined:
            assert found.predict_fn is not None
            arguments: tuple[Any, ...] = (found.predict_fn, b"\0", model, context)
        else:
            arguments = (found.input_fn, b"\0", UNKNOWN, context)
        self._expect("content type", 415, "UnsupportedMediaType", *arguments)

    def _expect(self, check: str, status: int, name: str, function: Callable[..., Any], *arguments: Any) -> None:
        """Notes whether an unknown media type is refused with the right status."""
        advice = f"raise pixelserve.errors.{name} for what is not known"
        try:
            function(*arguments)
        except Exception as error:  # noqa: BLE001  a handler may raise anything
            got = as_error(error, check).status
            if got == status:
                self._record("ok", check, f"an unknown one is answered {status}")
            else:
                self._record("note", check, f"an unknown one is answered {got} ({_describe(error)}): {advice}")
        else:
            self._record("note", check, f"an unknown one ({UNKNOWN}) is taken as any other; {advice}")

    def _attempt(self, check: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """The function's result, or _FAILED after reporting what it raised and where."""
        started = time.perf_counter()
        try:
            result = function(*arguments)
        except Exception as error:  # noqa: BLE001  a handler may raise anything
            self._record("problem", check, _describe(error) + self._locate(error))
            return _FAILED
        self._record("ok", check, f"returned {type(result).__name__} in {time.perf_counter() - started:.2f} s")
        return result

    def _attempt_sample(self, check: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """As `_attempt`, but a function may refuse a sample that is not the user's own, which is only noted."""
        if self._own_body:
            return self._attempt(check, function, *arguments)
        try:
            result = function(*arguments)
        except Exception as error:  # noqa: BLE001  a handler may raise anything
            refused = as_error(error, check).status < 500
            advice = "" if refused else "; a caller's mistake should be a 400: raise pixelserve.errors.BadRequest"
            described = _describe(error) + self._locate(error)
            self._record("note", check, f'does not take the sample {{"img": Base64}}: {described}{advice}')
            return _FAILED
        self._record("ok", check, f"returned {type(result).__name__}")
        return result

    def _locate(self, error: Exception) -> str:
        """The last line of the handler's own files that the error passed."""
        place, frame = "", error.__traceback__
        while frame is not None:
            file = Path(frame.tb_frame.f_code.co_filename)
            if file.is_relative_to(self._folder):
                place = f" ({file.relative_to(self._folder)}, line {frame.tb_lineno})"
            frame = frame.tb_next
        return place


_FAILED: Any = object()


def _files(folder: Path) -> list[Path]:
    """What lies in a model's folder, without what Python writes beside the modules that it imports."""
    return sorted(path for path in folder.rglob("*") if "__pycache__" not in path.parts)


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def main() -> None:
    """`python -m pixelserve_deploy.handlers.probe ORDER`, started by `checking` only."""
    findings = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def record(kind: str, check: str, text: str) -> None:
        findings.write(json.dumps({"kind": kind, "check": check, "text": text}) + "\n")

    Probe(json.loads(sys.argv[1]), record).run()
    record(END, "", "")
    findings.flush()
    os._exit(0)  # threads of the handler must not hold the process


if __name__ == "__main__":
    main()
