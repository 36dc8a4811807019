"""Handlers that the tests serve, written into a folder."""

from pathlib import Path

DOUBLER = """
def model_fn(model_dir):
    return 2

def input_fn(body, content_type, context):
    if content_type == "application/json":
        import json
        return json.loads(body)["value"]
    return body

def predict_fn(data, model, context):
    context.answer_attributes = "seen=" + context.custom_attributes
    return data * model

def output_fn(prediction, accept):
    if isinstance(prediction, bytes | bytearray):
        return prediction, "application/octet-stream"
    return str(prediction), accept if accept != "*/*" else "text/plain"
"""
FRAIL = """
import os
import time

def model_fn(model_dir):
    return None

def predict_fn(data, model):
    time.sleep(0.02)
    if data == 13:
        os._exit(1)
    return data
"""
BROKEN = """
def model_fn(model_dir):
    raise ValueError("the weights are of another network")

def predict_fn(data, model):
    return data
"""


def write(folder: Path, source: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "inference.py").write_text(source)
    return folder
