"""Finds and loads a handler: the file with a model's four functions.

The contract is SageMaker's: `model_fn(model_dir)`, `input_fn(body, content_type)`, `predict_fn(data, model)`,
`output_fn(prediction, accept)`, or `transform_fn(model, body, content_type, accept)` in place of the last three; each
may take `context` as one more parameter. Ours adds `predict_batch_fn(list, model)` and `warmup_fn(model)`.
"""

from __future__ import annotations

import importlib.util
import inspect
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelserve.errors import HandlerError, OutOfMemory, PixelserveError, State
from pixelserve.serving import defaults
from pixelserve.serving.answers import as_error
from pixelserve.serving.context import Context
from pixelserve.settings import Settings

logger = logging.getLogger("pixelserve.handler")

Function = Callable[..., Any]

PARAMETERS = {
    "model_fn": ("model_dir",),
    "input_fn": ("body", "content_type"),
    "predict_fn": ("data", "model"),
    "output_fn": ("prediction", "accept"),
    "predict_batch_fn": ("items", "model"),
    "warmup_fn": ("model",),
    "transform_fn": ("model", "body", "content_type", "accept"),
}


PIPELINE = "PIPELINE"
"""What a handler sets to True to have its stages run beside each other."""


@dataclass(frozen=True)
class Location:
    """Where a handler was found; `origin` says why there."""

    folder: Path
    file: Path
    origin: str

    @property
    def requirements(self) -> Path | None:
        """The handler's requirements.txt, when there is one."""
        path = self.folder / "requirements.txt"
        return path if path.is_file() else None

    def wanted_requirements(self, settings: Settings) -> Path | None:
        """The same, if it is to be installed at start; otherwise only a line in the log."""
        if self.requirements is not None and not settings.install_requirements:
            logger.info("%s is not installed; set PIXELSERVE_INSTALL_REQUIREMENTS=true to do it", self.requirements)
            return None
        return self.requirements


@dataclass(frozen=True)
class Handler:
    """The functions of one handler, each taking `context` last; input_fn and output_fn are filled in when absent.

    A transform_fn becomes the predict_fn between two functions that pass the body and the answer through. Exactly one
    of predict_fn and predict_batch_fn is used: the batch function where there is one (it gets the list of contexts).
    `defined` holds the names that the file defines itself. With `is_pipelined` (PIPELINE = True in the file) decoding
    and encoding run beside the device, several requests at once; otherwise one thread makes every call, for one request
    after another.
    """

    location: Location
    defined: frozenset[str]
    is_pipelined: bool
    model_fn: Function
    input_fn: Function
    output_fn: Function
    predict_fn: Function | None
    predict_batch_fn: Function | None
    warmup_fn: Function | None


def locate(settings: Settings) -> Location:
    """The handler to serve: the one named by environment, else the model's own, else the image's feature.

    Raises HandlerError saying where it looked.
    """
    if settings.submit_directory:
        return _location(Path(settings.submit_directory), settings.program, "SAGEMAKER_SUBMIT_DIRECTORY")
    own = Path(settings.model_dir, "code")
    if (own / settings.program).is_file():
        return _location(own, settings.program, "code/ in the model folder")
    program = settings.program if "/" in settings.feature else "inference.py"
    return _location(settings.handler_folder(), program, "PIXELSERVE_FEATURE")


def _location(folder: Path, program: str, origin: str) -> Location:
    file = folder / program
    if not file.is_file():
        raise HandlerError(
            f"No handler at {file} (from {origin}). Put an inference.py there, or set SAGEMAKER_SUBMIT_DIRECTORY and "
            "SAGEMAKER_PROGRAM to the folder and file that have one."
        )
    return Location(folder.resolve(), file.resolve(), origin)


def load(location: Location) -> Handler:
    """Imports the handler's file under a name of its own, its folder importable, and checks what it defines.

    Raises HandlerError naming what is missing or wrong; an exception of the import itself is its cause.
    """
    name = f"pixelserve_handler_{location.folder.name}".replace("-", "_")
    spec = importlib.util.spec_from_file_location(name, location.file)
    if spec is None or spec.loader is None:
        raise HandlerError(f"{location.file} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(location.folder))
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        raise HandlerError(f"Import of {location.file.name} failed: {type(error).__name__}: {error}") from error
    functions = {name: with_context(name, getattr(module, name, None)) for name in PARAMETERS}
    defined = frozenset(name for name, function in functions.items() if function is not None)
    problem = _missing(defined)
    if problem:
        raise HandlerError(f"{location.file.name} {problem}")
    model_fn, transform_fn = functions.pop("model_fn"), functions.pop("transform_fn")
    assert model_fn is not None
    if transform_fn is not None:
        functions |= _from_transform(transform_fn)
    return Handler(
        location=location,
        defined=defined,
        is_pipelined=getattr(module, PIPELINE, False) is True,
        model_fn=model_fn,
        input_fn=functions.pop("input_fn") or defaults.input_fn,
        output_fn=functions.pop("output_fn") or defaults.output_fn,
        **functions,
    )


def load_model(functions: Handler, model_dir: str) -> Any:
    """What model_fn makes of `model_dir`, warmed up.

    Raises HandlerError, or OutOfMemory where that was why, with what the handler raised as its cause.
    """
    try:
        model = functions.model_fn(model_dir, Context("model_fn"))
        if functions.warmup_fn is not None:
            functions.warmup_fn(model, Context("warmup_fn"))
    except BaseException as error:
        reason = error.message if isinstance(error, PixelserveError) else f"{type(error).__name__}: {error}"
        if isinstance(as_error(error, "model_fn"), OutOfMemory):
            message = f"Memory ran out while the model loaded ({reason})."
            raise OutOfMemory(message, state=State.OUT_OF_MEMORY) from error
        reason += _explain_weights(error, Path(model_dir))
        raise HandlerError(reason, state=State.LOAD_FAILED) from error
    return model


def _explain_weights(error: BaseException, model_dir: Path) -> str:
    """What to pass, where no weights may be why model_fn failed; else empty."""
    if isinstance(error, ImportError) or not isinstance(error, Exception):
        return ""
    if not model_dir.is_dir():
        found = "which is not there"
    elif {path.name for path in model_dir.iterdir()} <= {"code"}:
        found = "which holds no weights"
    elif isinstance(error, FileNotFoundError):
        found = "which does not hold that file"
    else:
        return ""
    return (
        f" (model_fn got the model folder {model_dir}, {found}. Pass the weights: "
        "`docker run -v FOLDER:/opt/ml/model:ro`, `pixelserve build --model-dir FOLDER`, or "
        "`pixelserve up --model-dir NAME=FOLDER`.)"
    )


def _from_transform(transform_fn: Function) -> dict[str, Function]:
    """input_fn, predict_fn and output_fn that together are the transform_fn."""

    def predict_fn(body: Any, model: Any, context: Any) -> Any:
        return transform_fn(model, body, context.content_type, context.accept, context)

    def pass_through(data: Any, _media_type: str, _context: Any) -> Any:
        return data

    return {"input_fn": pass_through, "predict_fn": predict_fn, "output_fn": pass_through}


def _missing(defined: frozenset[str]) -> str:
    if "model_fn" not in defined:
        return "defines no model_fn(model_dir). Write one that returns the loaded model."
    if "transform_fn" in defined and defined & {"input_fn", "predict_fn", "predict_batch_fn", "output_fn"}:
        return "defines transform_fn beside input_fn/predict_fn/output_fn. Keep one of the two ways."
    if not defined & {"transform_fn", "predict_fn", "predict_batch_fn"}:
        return "defines no predict_fn(data, model). Write one, or transform_fn(model, body, content_type, accept)."
    return ""


def with_context(name: str, function: Function | None) -> Function | None:
    """The function with `context` as its last parameter, whether or not it takes one itself.

    Raises HandlerError when its positional parameters are not those of the contract.
    """
    if function is None:
        return None
    expected = PARAMETERS[name]
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise HandlerError(f"{name} is not a function.") from error
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return function
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in positional if p.default is p.empty]
    if len(required) > len(expected) + 1 or len(positional) < len(expected):
        raise HandlerError(
            f"{name} takes ({', '.join(p.name for p in positional)}); it must take ({', '.join(expected)}[, context])."
        )
    takes_context = len(required) == len(expected) + 1 or any(p.name == "context" for p in positional)
    return function if takes_context else _drop_context(function)


def _drop_context(function: Function) -> Function:
    def without_context(*arguments: Any) -> Any:
        return function(*arguments[:-1])

    return without_context
