"""Finds and loads a handler: the file with a model's four functions.

The contract is SageMaker's: `model_fn(model_dir)`, `input_fn(body, content_type)`, `predict_fn(data, model)`,
`output_fn(prediction, accept)`, or `transform_fn(model, body, content_type, accept)` in place of the last three, with
`pre_model_fn(model_dir)` and `model_warmup_fn(model_dir, model)` around the first; each may take a context as one more
parameter. Ours adds `predict_batch_fn(list, model)` and `warmup_fn(model)`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from pixelserve.errors import HandlerError, OutOfMemory, PixelserveError, State
from pixelserve.machine import gpus
from pixelserve.serving.answers import as_error
from pixelserve.serving.context import Context
from pixelserve.serving.framework import fill_in
from pixelserve.serving.stages import (
    PARAMETERS,
    Function,
    pipelined_stages,
    serial_stages,
    split_transform,
    with_context,
)
from pixelserve.settings import Settings, settings

logger = logging.getLogger("pixelserve.handler")

PIPELINE = "PIPELINE"
"""What a handler sets to True to have its stages run beside each other."""
LIBRARIES = "lib"
"""Folder beside a handler that is importable, too."""

_entries: set[str] = set()
"""Names of the entry modules that this process has loaded."""


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

    @property
    def import_folders(self) -> list[str]:
        """What goes first on the path: the file's folder, the handler's, and the libraries beside them."""
        folders = [self.file.parent, self.folder, self.file.parent / LIBRARIES, self.folder / LIBRARIES]
        return list(dict.fromkeys(str(folder) for folder in folders if folder.is_dir()))


@dataclass(frozen=True)
class Handler:
    """The functions of one handler, each taking `context` last; input_fn and output_fn are filled in when absent.

    A transform_fn becomes the predict_fn between two functions that pass the body and the answer through. Exactly one
    of predict_fn and predict_batch_fn is used: the batch function where there is one (it gets the list of contexts).
    `defined` holds the names that the file defines itself. With `is_pipelined` (PIPELINE = True in the file) decoding
    and encoding run beside the device, several requests at once; otherwise one thread makes every call, for one request
    after another. `context` is what the loading functions get.
    """

    location: Location
    defined: frozenset[str]
    is_pipelined: bool
    context: Context
    model_fn: Function
    input_fn: Function
    output_fn: Function
    predict_fn: Function | None
    predict_batch_fn: Function | None
    pre_model_fn: Function | None
    warmup_fn: Function | None
    model_warmup_fn: Function | None

    def author_of(self, stage: str) -> str:
        """The function that its author wrote for a stage: transform_fn stands for three."""
        return "transform_fn" if "transform_fn" in self.defined else stage

    @property
    def takes_empty_body(self) -> bool:
        """Whether an empty body may mean something: only to a function of the author's own."""
        return not self.is_pipelined and bool(self.defined & {"input_fn", "transform_fn"})


def locate(settings: Settings) -> Location:
    """The handler to serve: the one named by environment, else the model's own, else the image's feature.

    The model's own lies in `code/` or beside the weights. Raises HandlerError saying where it looked, and for code of
    the model's that is there but is not what SAGEMAKER_PROGRAM names.
    """
    if settings.submit_directory:
        return _location(_submitted(settings.submit_directory), settings.program, "SAGEMAKER_SUBMIT_DIRECTORY")
    model = Path(settings.model_dir)
    own = _own_entry(model / "code", settings.program)
    if own is not None:
        return own
    if _program_file(model, settings.program).is_file():
        return _location(model, settings.program, "the model folder itself")
    stray = _python_files(model)
    if stray:
        logger.warning(
            "%s in the model folder is not served: the handler is %s. Set SAGEMAKER_PROGRAM to serve another file",
            ", ".join(stray),
            settings.feature,
        )
    program = settings.program if "/" in settings.feature else "inference.py"
    return _location(settings.handler_folder(), program, "PIXELSERVE_FEATURE")


def _submitted(named: str) -> Path:
    """The folder that SAGEMAKER_SUBMIT_DIRECTORY names. Raises HandlerError for what is no folder here."""
    if named.startswith("s3://") or named.endswith((".tar.gz", ".tgz")):
        raise HandlerError(
            f"SAGEMAKER_SUBMIT_DIRECTORY is {named}: code is not fetched or unpacked at start. Put the code into code/ "
            "of model.tar.gz (the SageMaker SDK does that when it repacks a model) and leave the variable out, or set "
            "it to a folder of the image."
        )
    return Path(named.removeprefix("file://"))


def _own_entry(code: Path, program: str) -> Location | None:
    """The handler in a model's code/: the program, else the only Python file there. None where there is no code.

    Raises HandlerError where there are several files, none of them the program.
    """
    if _program_file(code, program).is_file():
        return _location(code, program, "code/ in the model folder")
    files = _python_files(code)
    if not files:
        return None
    if len(files) == 1:
        logger.warning("there is no %s in %s; the only file there is served: %s", program, code, files[0])
        return _location(code, files[0], "code/ in the model folder")
    raise HandlerError(
        f"There is no {program} in {code}, which has {', '.join(files)}. Set SAGEMAKER_PROGRAM to the file with the "
        "model's functions, or call it inference.py."
    )


def _python_files(folder: Path) -> list[str]:
    """Names of the modules in a folder that could be an entry: neither tests nor what makes it a package."""
    names = sorted(path.name for path in folder.glob("*.py"))
    return [name for name in names if not name.startswith(("__", "test_")) and name not in ("setup.py", "conftest.py")]


def _program_file(folder: Path, program: str) -> Path:
    """The file of a program, which may be given as a module's name."""
    return folder / (program if program.endswith(".py") else f"{program.replace('.', '/')}.py")


def _location(folder: Path, program: str, origin: str) -> Location:
    file = _program_file(folder, program)
    if not file.is_file():
        raise HandlerError(
            f"No handler at {file} (from {origin}). Put an inference.py there, or set SAGEMAKER_SUBMIT_DIRECTORY and "
            "SAGEMAKER_PROGRAM to the folder and file that have one."
        )
    return Location(folder.resolve(), file.resolve(), origin)


def load(location: Location, config: Settings | None = None) -> Handler:
    """Imports the handler's file under its own name, its folders importable, and checks what it defines.

    While it is imported the model's folder is the current one, as in multi-model-server.
    `config` is the process's settings by default. Raises HandlerError naming what is missing or wrong; an exception of
    the import itself is its cause.
    """
    config = config or settings()
    model = config.model_folder()
    with contextlib.chdir(model) if os.path.isdir(model) else contextlib.nullcontext():
        module = _import_entry(location)
    functions = {name: with_context(name, getattr(module, name, None)) for name in PARAMETERS}
    defined = frozenset(name for name, function in functions.items() if function is not None)
    _name_unknown(module)
    if "transform_fn" in defined and defined & {"input_fn", "predict_fn", "predict_batch_fn", "output_fn"}:
        raise HandlerError(
            f"{location.file.name} defines transform_fn beside input_fn/predict_fn/output_fn. Keep one of the two ways."
        )
    fill_in(functions, location.file.name, config)
    model_fn, transform_fn = functions.pop("model_fn"), functions.pop("transform_fn")
    assert model_fn is not None
    if transform_fn is not None:
        functions |= split_transform(transform_fn)
    is_pipelined = getattr(module, PIPELINE, False) is True
    context = Context("load")
    if is_pipelined:
        input_fn, output_fn = pipelined_stages(functions, context)
    else:
        input_fn, output_fn = serial_stages(functions, context, config.default_accept)
    return Handler(
        location=location,
        defined=defined,
        is_pipelined=is_pipelined,
        context=context,
        model_fn=model_fn,
        **functions | {"input_fn": input_fn, "output_fn": output_fn},  # type: ignore[arg-type]
    )


def _import_entry(location: Location) -> ModuleType:
    """The module, importable by its own name here and in the processes that a handler starts."""
    name = location.file.stem
    if name in sys.modules and name not in _entries:
        raise HandlerError(
            f"{location.file.name} has the name of a module that is loaded already. Call it inference.py."
        )
    spec = importlib.util.spec_from_file_location(name, location.file)
    if spec is None or spec.loader is None:
        raise HandlerError(f"{location.file} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    folders = location.import_folders
    sys.path[:] = [*folders, *(folder for folder in sys.path if folder not in folders)]
    inherited = [os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    os.environ["PYTHONPATH"] = os.pathsep.join([*folders, *(path for path in inherited if path not in folders)])
    _entries.add(name)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        raise HandlerError(f"Import of {location.file.name} failed: {type(error).__name__}: {error}") from error
    return module


def _name_unknown(module: ModuleType) -> None:
    """Logs the functions that look like a handler's but that nothing calls."""
    unknown = [
        name
        for name, value in vars(module).items()
        if name.endswith("_fn") and not name.startswith("_") and name not in PARAMETERS
        if callable(value) and getattr(value, "__module__", None) == module.__name__
    ]
    if unknown:
        logger.warning("nothing calls %s; what is called: %s", ", ".join(unknown), ", ".join(PARAMETERS))


def load_model(functions: Handler, config: Settings) -> Any:
    """What model_fn makes of the model folder, warmed up. The folder is then the current one, as in multi-model-server.

    A pipelined handler stays where the process is. Raises HandlerError, or OutOfMemory where that was why, with what
    the handler raised as its cause.
    """
    model_dir = os.path.abspath(config.model_folder())
    context = functions.context
    context.system_properties |= {
        "model_dir": model_dir,
        "gpu_id": 0 if gpus() else None,
        "batch_size": 1,
        "model_name": "model",
        "server_name": "pixelserve",
    }
    if not functions.is_pipelined and os.path.isdir(model_dir):
        os.chdir(model_dir)
    if config.device == "cuda" and not gpus():
        raise HandlerError(
            "PIXELSERVE_DEVICE is cuda, as in images for GPUs, but there is no GPU. Run it where there is one (docker "
            "run --gpus all, or an instance type with a GPU), or set PIXELSERVE_DEVICE=auto to let it run on the CPU."
        )
    try:
        if functions.pre_model_fn is not None:
            functions.pre_model_fn(model_dir, context)
        model = functions.model_fn(model_dir, context)
        if functions.warmup_fn is not None:
            functions.warmup_fn(model, context)
        if functions.model_warmup_fn is not None:
            functions.model_warmup_fn(model_dir, model, context)
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
