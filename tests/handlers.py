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
    import json, os, time, types

    def model_fn(model_dir):
        return None

    def predict_fn(data, model, context):
        context.answer_attributes = context.custom_attributes
        while "while" in data and os.path.exists(data["while"]):
            time.sleep(0.01)
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
        if "megabytes" in data:
            return (b"x" * 1_000_000 for _ in range(data["megabytes"]))
        if "environ" in data:
            return os.environ.get(data["environ"], "")
        return {"pid": os.getpid()}

    def output_fn(prediction, accept):
        if isinstance(prediction, bytes | types.GeneratorType):
            return prediction, "application/octet-stream"
        return json.dumps(prediction), "application/json"
"""
"""Does what its JSON says: sleeps (while a file is there, to the end, or until told that nobody waits), raises, answers
many bytes at once or megabyte by megabyte."""

SLOW_TO_LOAD = """
    import time

    def model_fn(model_dir):
        print("it loads", flush=True)
        time.sleep({seconds})

    def predict_fn(data, model):
        return data
"""
