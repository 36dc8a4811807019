"""The handler service of our back end `mms` for one of several models under a Java server that runs anyway.

A worker is told its environment by a file, which a server of its own would inherit.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pixelserve.serving.mms.service import HandlerService

ENVIRON = "environ.json"
"""Beside the model folder: what the worker's environment has besides the server's."""


class ModelService(HandlerService):
    def initialize(self, mms_context: Any) -> None:
        model_dir = Path(mms_context.system_properties["model_dir"])
        os.environ.update(json.loads(model_dir.with_name(ENVIRON).read_text()), SM_MODEL_DIR=str(model_dir))
        super().initialize(mms_context)
