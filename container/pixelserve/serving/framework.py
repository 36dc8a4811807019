"""What SageMaker's framework containers do for a handler without model_fn or predict_fn.

The functions themselves lie in a handler's folder of their own, since a TorchScript file is code.
"""

from __future__ import annotations

import importlib.util
import logging
from types import ModuleType
from typing import Any

from pixelserve.errors import HandlerError, NotFound
from pixelserve.handlers import find_handler
from pixelserve.serving.context import Context
from pixelserve.serving.stages import Function, with_context
from pixelserve.settings import Settings

logger = logging.getLogger("pixelserve.handler")

FRAMEWORK_DEFAULTS = "torchscript_default"
WRITE_MODEL = """\
defines no model_fn(model_dir). Write one that returns the loaded model:
    def model_fn(model_dir):
        return load(os.path.join(model_dir, "NAME OF THE FILE"))
"""
WRITE_PREDICT = """\
defines no predict_fn(data, model). Write one, or transform_fn(model, body, content_type, accept):
    def predict_fn(data, model):
        return model(data)
"""


def fill_in(functions: dict[str, Function | None], file: str, config: Settings) -> None:
    """Puts the framework's model_fn and predict_fn where the file has none.

    Raises HandlerError with lines to paste where that is forbidden or not possible.
    """
    lacks_model = functions["model_fn"] is None
    lacks_predict = not any(functions[name] for name in ("predict_fn", "predict_batch_fn", "transform_fn"))
    if not (lacks_model or lacks_predict):
        return
    if lacks_model and not config.allow_torchscript:
        raise HandlerError(f"{file} {WRITE_MODEL} TorchScript is not loaded: PIXELSERVE_ALLOW_TORCHSCRIPT is false.")
    try:
        framework = _import_framework_defaults()
    except (NotFound, ImportError):
        raise HandlerError(f"{file} {WRITE_MODEL if lacks_model else WRITE_PREDICT}") from None
    if lacks_model:
        functions["model_fn"] = with_context("model_fn", framework.model_fn)
        logger.warning("%s defines no model_fn: a TorchScript file is loaded, which is code of the model's", file)
    if lacks_predict:
        functions["predict_fn"] = with_context("predict_fn", framework.predict_fn)
        functions["model_fn"] = _checked_model(functions["model_fn"], framework.check_model)


def _import_framework_defaults() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        f"pixelserve_{FRAMEWORK_DEFAULTS}", find_handler(FRAMEWORK_DEFAULTS) / "inference.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _checked_model(model_fn: Function | None, check_model: Function) -> Function:
    """The model_fn whose result must be what the framework's predict_fn can call."""
    assert model_fn is not None

    def checked_model_fn(model_dir: str, context: Context) -> Any:
        model = model_fn(model_dir, context)
        check_model(model)
        return model

    return checked_model_fn
