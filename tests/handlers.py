"""Handlers that tests serve."""

from __future__ import annotations

ECHO = """
    def model_fn(model_dir):
        return "model"

    def predict_fn(data, model):
        return data
"""
"""The toolkit's defaults around a function that returns what it gets."""

BUSY = """
    import json, os, time

    def model_fn(model_dir):
        return None

    def predict_fn(data, model, context):
        context.answer_attributes = context.custom_attributes
        end = time.monotonic() + data.get("seconds", 0)
        while (left := end - time.monotonic()) > 0:
            if data.get("polite"):
                context.progress(0, 1)
                left = 0.01
            time.sleep(left)
        if "raise" in data:
            raise {"ValueError": ValueError, "MemoryError": MemoryError}[data["raise"]](data.get("text"))
        if "bytes" in data:
            return b"x" * data["bytes"]
        if "environ" in data:
            return os.environ.get(data["environ"], "")
        return {"pid": os.getpid()}

    def output_fn(prediction, accept):
        if isinstance(prediction, bytes):
            return prediction, "application/octet-stream"
        return json.dumps(prediction), "application/json"
"""
"""Does what its JSON says: sleeps (to the end, or until told that nobody waits), raises, answers many bytes."""

SLOW_TO_LOAD = """
    import time

    def model_fn(model_dir):
        time.sleep({seconds})

    def predict_fn(data, model):
        return data
"""
