"""What the functions return, and what they set on the context."""

from __future__ import annotations

from oracle.case import CSV, JSON, NPY, PNG, RAW, TEXT, Case, npy, send


def _returning(source: str) -> str:
    """A handler whose output_fn evaluates one of the expressions by the body's name."""
    return f"""
        import json
        import numpy as np

        def model_fn(model_dir):
            return None

        def input_fn(body, content_type):
            return body if isinstance(body, str) else bytes(body).decode()

        def predict_fn(data, model):
            return data

        def output_fn(prediction, accept):
            return {source}[prediction]
        """


CASES = {
    "plain_values": Case(
        "output_fn that returns a dict, a list, a number: the server writes JSON",
        _returning('{"dict": {"a": [1, 2.5], "b": None}, "list": [1, "x"], "int": 7, "float": 0.1}'),
        (send("dict"), send("list"), send("int", TEXT, JSON), send("float", CSV)),
    ),
    "none_and_booleans": Case(
        "output_fn that returns None, True, an empty text or an empty dict",
        _returning('{"none": None, "true": True, "text": "", "dict": {}}'),
        (send("none"), send("true"), send("text", TEXT, JSON), send("dict", CSV)),
    ),
    "numpy_scalars": Case(
        "output_fn that returns numpy.float64, which is a float, or arrays and scalars that are none",
        _returning('{"64": np.float64(0.5), "32": np.float32(0.5), "int": np.int64(3), "array": np.arange(3)}'),
        (send("64"), send("32"), send("int"), send("array")),
    ),
    "tuples": Case(
        "(body, content type), and a tuple of three, of which two count",
        _returning(
            '{"two": ("a,b", "text/csv"), "dict": ({"a": 1}, accept), "three": ("x", "text/plain", 7), '
            '"bytes": (b"\\x00\\xff", "application/octet-stream")}'
        ),
        (send("two"), send("dict", CSV, JSON), send("three"), send("bytes", TEXT, RAW)),
    ),
    "odd_tuples": Case(
        "a tuple of one, and tuples whose body the server writes as JSON",
        _returning('{"one": ("x",), "none": (None, accept), "list": ([1, 2], accept), "number": (3, "text/plain")}'),
        (send("one"), send("none"), send("list"), send("number")),
    ),
    "text_and_bytes": Case(
        "str, bytes and bytearray, typed by Accept",
        _returning('{"str": "größe", "bytes": b"\\x89PNG", "array": bytearray(b"ab"), "empty": b""}'),
        (send("str", JSON, TEXT), send("bytes", JSON, PNG), send("array", JSON, RAW), send("empty")),
    ),
    "not_writable": Case(
        "what no server can write: an object, a set, a memoryview, bytes in a dict",
        _returning('{"object": object(), "set": {1}, "view": memoryview(b"ab"), "dict": {"a": b"x"}}'),
        (send("object"), send("set"), send("view"), send("dict")),
    ),
    "generators": Case(
        "output_fn that returns an iterator of bytes",
        """
        def model_fn(model_dir):
            return None

        def input_fn(body, content_type):
            return int(body)

        def predict_fn(data, model):
            return range(data)

        def output_fn(prediction, accept):
            return (b"part %d;" % number for number in prediction)
        """,
        (send("1"), send("3", JSON, TEXT), send("0"), send("x")),
    ),
    "async_functions": Case(
        "async def, which nobody awaits",
        """
        def model_fn(model_dir):
            return None

        def input_fn(body, content_type):
            return body

        async def predict_fn(data, model):
            return data
        """,
        (send("1"), send("2", JSON, JSON), send("3", CSV), send("4", TEXT)),
    ),
    "predicted_scalars": Case(
        "predict_fn that returns NumPy scalars, by default output_fn",
        """
        import numpy as np

        def model_fn(model_dir):
            return {"f": np.float32(0.5), "i": np.int64(3), "b": np.bool_(True), "s": np.str_("x")}

        def input_fn(body, content_type):
            return body

        def predict_fn(data, model):
            return {"value": model[data], "all": list(model.values())}
        """,
        (send("f"), send("i", JSON, JSON), send("b", CSV, "*/*"), send("s", CSV)),
    ),
    "predicted_tuples": Case(
        "predict_fn that returns a tuple of arrays, by default output_fn",
        """
        import numpy as np

        def model_fn(model_dir):
            return None

        def predict_fn(data, model):
            return np.sort(data), np.argsort(data)
        """,
        (send("[3, 1, 2]"), send("[3, 1]", JSON, CSV), send("[3, 1]", JSON, NPY), send(npy([2.5, 1]), NPY)),
    ),
    "predicted_dicts": Case(
        "predict_fn that returns a dict of arrays and texts, by default output_fn",
        """
        import numpy as np

        def model_fn(model_dir):
            return ["cat", "dog"]

        def predict_fn(data, model):
            best = int(np.argmax(data))
            return {"label": model[best % 2], "scores": np.asarray(data, float).ravel(), "index": np.argmax(data)}
        """,
        (send("[0.1, 0.9]"), send("[[4, 2]]", JSON, JSON), send("1,2", CSV), send("[1]", JSON, CSV)),
    ),
    "predicted_values": Case(
        "predict_fn that returns None, a text, a number or a set, by default output_fn",
        """
        def model_fn(model_dir):
            return {"none": None, "text": "ok", "number": 1.5, "set": {1, 2}}

        def input_fn(body, content_type):
            return body

        def predict_fn(data, model):
            return model[data]
        """,
        (send("none"), send("text"), send("number", CSV, JSON), send("set")),
    ),
    "predicted_bytes": Case(
        "predict_fn that returns bytes, by default output_fn",
        """
        def model_fn(model_dir):
            return None

        def input_fn(body, content_type):
            return body

        def predict_fn(data, model):
            return data.encode()
        """,
        (send("a"), send("a", JSON, JSON), send("a", JSON, CSV), send("a", JSON, NPY)),
    ),
    "not_a_number": Case(
        "NaN and infinity in a prediction",
        """
        import numpy as np

        def model_fn(model_dir):
            return {"nan": np.array([1.0, np.nan]), "inf": [float("inf")], "fine": np.array([1.0])}

        def input_fn(body, content_type):
            return body

        def predict_fn(data, model):
            return model[data]
        """,
        (send("nan"), send("inf"), send("nan", JSON, CSV), send("fine")),
    ),
    "tensors": Case(
        "tensors of torch, by default output_fn",
        """
        import torch

        def model_fn(model_dir):
            return torch.nn.Linear(2, 1).requires_grad_(False)

        def predict_fn(data, model):
            with torch.no_grad():
                model.weight.fill_(0.5)
                model.bias.fill_(1.0)
                return model(torch.as_tensor(data, dtype=torch.float32))
        """,
        (send("[[1, 2], [3, 4]]"), send("[[1, 2]]", JSON, CSV), send("[1, 2]", JSON, CSV), send("[1, 2, 3]")),
    ),
    "response_content_type": Case(
        "set_response_content_type on the context",
        """
        import json

        def model_fn(model_dir):
            return None

        def predict_fn(data, model):
            return data.tolist()

        def output_fn(prediction, accept, context):
            context.set_response_content_type(0, "application/vnd.mine+json")
            return json.dumps(prediction)
        """,
        (send("[1]"), send("[1]", JSON, TEXT), send("[1]", JSON, "*/*"), send("1,2", CSV, CSV)),
    ),
    "response_status": Case(
        "set_response_status on the context",
        """
        import json

        def model_fn(model_dir):
            return None

        def input_fn(body, content_type, context):
            data = json.loads(body)
            if "inputs" not in data:
                context.set_response_status(code=data.get("code", 400), phrase="No inputs")
                return {"error": "inputs is missing"}
            return data["inputs"]

        def predict_fn(data, model):
            return data

        def output_fn(prediction, accept):
            return json.dumps(prediction), accept
        """,
        (send('{"inputs": 1}'), send("{}"), send('{"code": 202}'), send('{"inputs": [2]}', JSON, JSON)),
    ),
    "response_headers": Case(
        "set_response_header on the context",
        """
        def model_fn(model_dir):
            return "v7"

        def predict_fn(data, model, context):
            context.set_response_header(0, "X-Model-Version", model)
            return data.sum()

        def output_fn(prediction, accept, context):
            context.set_response_header(0, "X-Rounded", str(round(float(prediction))))
            return str(prediction), "text/plain"
        """,
        (send("[1, 2]"), send("0.4"), send("[2]", JSON, JSON), send("1,2", CSV, CSV)),
    ),
    "custom_attributes": Case(
        "custom attributes read from the request's headers, and answered",
        """
        import json

        NAME = "X-Amzn-SageMaker-Custom-Attributes"

        def model_fn(model_dir):
            return None

        def input_fn(body, content_type, context):
            return context.get_request_header(0, NAME)

        def predict_fn(data, model, context):
            if data:
                context.set_response_header(0, NAME, data[::-1])
            return data

        def output_fn(prediction, accept):
            return json.dumps({"attributes": prediction})
        """,
        (send("1", JSON, None, "abc=1"), send("1"), send("1", JSON, JSON, "x"), send("1", TEXT, "*/*", "a,b;c")),
    ),
    "request_headers": Case(
        "get_all_request_header and the request processor",
        """
        import json

        def model_fn(model_dir):
            return None

        def input_fn(body, content_type, context):
            sent = {name.lower(): value for name, value in context.get_all_request_header(0).items()}
            properties = context.request_processor[0].get_request_properties()
            same = {name.lower(): value for name, value in properties.items()}
            names = ("content-type", "accept", "x-amzn-sagemaker-custom-attributes")
            return [sent == same, {name: sent.get(name) for name in names}]

        def predict_fn(data, model):
            return data

        def output_fn(prediction, accept):
            return json.dumps(prediction)
        """,
        (send("1"), send("1", TEXT, "*/*"), send("1", JSON, JSON, "trace"), send("1", CSV, "text/csv")),
    ),
    "values_on_context": Case(
        "the author's own values on the context, from stage to stage",
        """
        import json

        def model_fn(model_dir):
            return None

        def input_fn(body, content_type, context):
            context.scale = json.loads(body)
            return 2

        def predict_fn(data, model, context):
            context.steps = [data, context.scale]
            return data * context.scale

        def output_fn(prediction, accept, context):
            return json.dumps({"answer": prediction, "steps": context.steps})
        """,
        (send("1"), send("2.5"), send('"ab"'), send("null")),
    ),
    "system_properties": Case(
        "system_properties: gpu_id, model_dir, server_name",
        """
        import json
        import os

        def model_fn(model_dir, context):
            properties = context.system_properties
            return {"gpu": properties.get("gpu_id"), "same": properties.get("model_dir") == model_dir}

        def predict_fn(data, model, context):
            named = os.path.basename(context.system_properties.get("model_dir"))
            return {**model, "named": named, "none": context.system_properties.get("no such")}

        def output_fn(prediction, accept):
            return json.dumps(prediction)
        """,
        (send("1"), send("[1]", JSON, JSON), send("1", CSV), send(npy(1), NPY)),
    ),
}
