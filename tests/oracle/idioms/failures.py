"""How handlers fail: what they raise, and where."""

from __future__ import annotations

from oracle.case import CSV, JSON, NPY, RAW, TEXT, Case, npy, send

CASES = {
    "raised_in_input_fn": Case(
        "ValueError for a content type, KeyError for a missing field",
        """
        import json

        def model_fn(model_dir):
            return None

        def input_fn(body, content_type):
            if content_type != "application/json":
                raise ValueError(f"{content_type} not supported by script!")
            return json.loads(body)["inputs"]

        def predict_fn(data, model):
            return data
        """,
        (send('{"inputs": [1]}'), send('{"input": [1]}'), send("1", CSV), send("inputs")),
    ),
    "raised_in_predict_fn": Case(
        "exceptions of several kinds out of predict_fn",
        """
        class Trouble(Exception):
            pass

        def raise_chained():
            try:
                1 / 0
            except ZeroDivisionError as error:
                raise RuntimeError("first\\nsecond\\r\\nthird") from error

        def model_fn(model_dir):
            return {"own": Trouble("own"), "stop": StopIteration("over"), "not": NotImplementedError}

        def input_fn(body, content_type):
            return body

        def predict_fn(data, model):
            if data == "chain":
                raise_chained()
            raise model[data]
        """,
        (send("own"), send("stop"), send("chain"), send("not")),
    ),
    "raised_in_output_fn": Case(
        "an Accept that output_fn refuses",
        """
        import json

        def model_fn(model_dir):
            return None

        def predict_fn(data, model):
            return data.tolist()

        def output_fn(prediction, accept):
            if accept == "application/json":
                return json.dumps(prediction), accept
            if accept == "text/csv":
                raise NotImplementedError
            raise Exception("Requested unsupported ContentType in Accept: " + accept)
        """,
        (send("[1]"), send("[1]", JSON, CSV), send("[1]", JSON, TEXT), send("[1]", JSON, "*/*")),
    ),
    "raised_in_model_fn": Case(
        "a model that does not load",
        """
        import os

        def model_fn(model_dir):
            with open(os.path.join(model_dir, "missing.bin"), "rb") as file:
                return file.read()

        def predict_fn(data, model):
            return data
        """,
        (send("[1]"), send("1", CSV), send("x", TEXT), send("[1]", JSON, CSV)),
    ),
    "errors_with_status": Case(
        "the toolkit's errors with a status of their own",
        """
        from sagemaker_inference import errors

        class NotFound(errors.BaseInferenceToolkitError):
            def __init__(self, name):
                super().__init__(404, f"no model {name}", "Not Found")

        def model_fn(model_dir):
            return None

        def input_fn(body, content_type):
            return body

        def predict_fn(data, model):
            if data == "fine":
                return data
            if data == "missing":
                raise NotFound(data)
            if data == "busy":
                raise errors.GenericInferenceToolkitError(429, "too many", "Too Many")
            raise errors.GenericInferenceToolkitError(400, "unknown word: " + data)
        """,
        (send("fine"), send("missing"), send("busy", CSV), send("word")),
    ),
    "assertions": Case(
        "assert as validation",
        """
        def model_fn(model_dir):
            return 2

        def predict_fn(data, model):
            assert data.ndim == model, f"expected {model} dimensions, got {data.ndim}"
            assert data.shape[1] == 2
            return data.sum()
        """,
        (send("[[1, 2]]"), send("[1, 2]"), send("[[1, 2, 3]]"), send("1,2\n3,4", CSV)),
    ),
    "memory": Case(
        "MemoryError, and recursion without an end",
        """
        def descend(depth):
            return descend(depth + 1)

        def model_fn(model_dir):
            return None

        def predict_fn(data, model):
            if data.ndim:
                return descend(0)
            if float(data) > 1:
                raise MemoryError("out of memory")
            return data
        """,
        (send("1"), send("2"), send("[1]"), send("0", CSV)),
    ),
    "errors_as_answers": Case(
        "exceptions caught by the author and answered as JSON",
        """
        import json
        import traceback

        def model_fn(model_dir):
            return None

        def transform_fn(model, body, content_type, accept):
            try:
                return json.dumps({"result": 1 / json.loads(body)}), accept
            except Exception as error:
                lines = traceback.format_exc().strip().splitlines()
                return json.dumps({"error": str(error), "last": lines[-1]}), "application/json"
        """,
        (send("4"), send("0"), send("x"), send('"a"', JSON, JSON)),
    ),
    "empty_bodies": Case(
        "an empty body, read by the author's own input_fn",
        """
        import json

        def model_fn(model_dir):
            return "default"

        def input_fn(body, content_type):
            return len(body) if body else None

        def predict_fn(data, model):
            return model if data is None else data

        def output_fn(prediction, accept):
            return json.dumps(prediction), accept
        """,
        (send(""), send("", CSV), send("", RAW, JSON), send("12", TEXT, JSON)),
    ),
    "empty_bodies_by_default": Case(
        "an empty body, read by default",
        """
        def model_fn(model_dir):
            return None

        def predict_fn(data, model):
            return data
        """,
        (send(""), send("", NPY), send("", RAW), send("", JSON, CSV)),
    ),
    "empty_transform": Case(
        "an empty body for transform_fn, and an empty answer",
        """
        def model_fn(model_dir):
            return None

        def transform_fn(model, body, content_type, accept):
            return body if body else b"", accept
        """,
        (send(""), send("", TEXT, TEXT), send("x", CSV, CSV), send("", None)),
    ),
    "shapes": Case(
        "arrays of a wrong shape or type in the author's arithmetic",
        """
        import numpy as np

        def model_fn(model_dir):
            return np.eye(2)

        def predict_fn(data, model):
            return np.asarray(data, dtype=float) @ model
        """,
        (send("[1, 2]"), send("[1, 2, 3]"), send('["a", "b"]'), send(npy(["1", "2"]), NPY)),
    ),
}
