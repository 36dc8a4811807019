"""How the functions are written: which there are, and which parameters they take."""

from __future__ import annotations

from oracle.case import CSV, JSON, NPY, RAW, TEXT, Case, npy, send

CASES = {
    "four_functions": Case(
        "the four functions, each with the documented parameters",
        """
        import json

        def model_fn(model_dir):
            return {"bias": 10}

        def input_fn(request_body, request_content_type):
            if request_content_type == "application/json":
                return json.loads(request_body)
            raise ValueError("Unsupported content type: " + request_content_type)

        def predict_fn(input_data, model):
            return [value + model["bias"] for value in input_data]

        def output_fn(prediction, content_type):
            return json.dumps({"predictions": prediction})
        """,
        (send("[1, 2]"), send("[]", JSON, JSON), send("[1, 2]", JSON, "*/*"), send("1,2", CSV)),
    ),
    "predict_alone": Case(
        "model_fn and predict_fn, all else by default",
        """
        def model_fn(model_dir):
            return 2

        def predict_fn(data, model):
            return data * model
        """,
        (
            send("[[1, 2], [3, 4]]"),
            send("[[1, 2], [3, 4]]", JSON, CSV),
            send("1,2\n3,4\n", CSV, JSON),
            send(npy([1.5, 2.5]), NPY, NPY),
        ),
    ),
    "context_of_another_name": Case(
        "a context by the number of parameters, whatever its name",
        """
        import json

        def model_fn(model_dir, info):
            return "model"

        def input_fn(body, kind, c):
            return {"header": c.get_request_header(0, "Content-Type")}

        def predict_fn(data, model, ctx):
            return {**data, "one": len(ctx.request_processor)}

        def output_fn(prediction, accept, _):
            return json.dumps(prediction)
        """,
        (send("{}"), send("x", TEXT), send(b"\x00", RAW), send("1", CSV, "text/csv")),
    ),
    "optional_context": Case(
        "context=None as the last parameter",
        """
        import json

        def model_fn(model_dir, context=None):
            return context is not None

        def input_fn(body, content_type, context=None):
            return [context is not None]

        def predict_fn(data, model, context=None):
            return [model, *data, context is not None]

        def output_fn(prediction, accept, context=None):
            return json.dumps([*prediction, context is not None])
        """,
        (send("1"), send("x", TEXT, TEXT), send("", JSON, "*/*"), send("a,b", CSV)),
    ),
    "mixed_context": Case(
        "some functions with a context, some without",
        """
        def model_fn(model_dir):
            return 3

        def predict_fn(data, model, context):
            return {"value": (data * model).tolist(), "batch": context.system_properties.get("batch_size")}
        """,
        (send("[1]"), send("2"), send("[[1.5]]", JSON, JSON), send("4\n5\n", CSV)),
    ),
    "transform_fn": Case(
        "transform_fn in place of input_fn, predict_fn and output_fn",
        """
        import json

        def model_fn(model_dir):
            return "!"

        def transform_fn(model, request_body, content_type, accept_type):
            if isinstance(request_body, str):
                return request_body.upper() + model, accept_type
            return bytes(request_body)[::-1], content_type
        """,
        (send('"abc"'), send("a,b\n", CSV, "text/csv"), send(b"\x01\x02\xff", RAW), send("xyz", TEXT, TEXT)),
    ),
    "transform_fn_with_context": Case(
        "transform_fn that takes a context, and answers no tuple",
        """
        import json

        def model_fn(model_dir):
            return None

        def transform_fn(model, body, content_type, accept, context):
            sent = context.get_request_header(0, "X-Amzn-SageMaker-Custom-Attributes")
            return json.dumps({"type": content_type, "accept": accept, "sent": sent})
        """,
        (send("1"), send("1", JSON, JSON, "trace=7"), send("1", CSV, "text/plain"), send("1", None, "*/*")),
    ),
    "lambdas": Case(
        "functions that are lambdas",
        """
        import json

        model_fn = lambda model_dir: 5
        input_fn = lambda body, content_type: float(body)
        predict_fn = lambda data, model: data + model
        output_fn = lambda prediction, accept: json.dumps(prediction)
        """,
        (send("1"), send("2.5", JSON, JSON), send("x"), send("7", CSV)),
    ),
    "bound_methods": Case(
        "methods of one object as the functions",
        """
        import json

        class Service:
            def __init__(self):
                self.calls = 0

            def load(self, model_dir):
                self.weights = [1, 2, 3]
                return self

            def decode(self, body, content_type):
                return json.loads(body)

            def predict(self, data, model):
                self.calls += 1
                return {"dot": sum(a * b for a, b in zip(data, model.weights)), "calls": self.calls}

            def encode(self, prediction, accept):
                return json.dumps(prediction)

        service = Service()
        model_fn, input_fn, predict_fn, output_fn = service.load, service.decode, service.predict, service.encode
        """,
        (send("[1, 1, 1]"), send("[0, 0, 2]"), send("[]"), send("[1]", JSON, JSON)),
    ),
    "decorated": Case(
        "functions behind decorators with functools.wraps",
        """
        import functools
        import json

        def counted(function):
            @functools.wraps(function)
            def call(*args, **kwargs):
                call.count += 1
                return function(*args, **kwargs)
            call.count = 0
            return call

        @counted
        def model_fn(model_dir):
            return 1

        @counted
        def input_fn(body, content_type):
            return json.loads(body)

        @counted
        def predict_fn(data, model):
            return [data, input_fn.count, predict_fn.count, model_fn.count]

        @counted
        def output_fn(prediction, accept):
            return json.dumps(prediction)
        """,
        (send("1"), send('"a"'), send("{"), send("null")),
    ),
    "partials": Case(
        "functools.partial as functions",
        """
        import functools
        import json

        def load(kind, model_dir):
            return kind

        def answer(indent, prediction, accept):
            return json.dumps(prediction, indent=indent)

        def predict_fn(data, model):
            return {"kind": model, "sum": float(data.sum())}

        model_fn = functools.partial(load, "linear")
        output_fn = functools.partial(answer, None)
        """,
        (send("[1, 2]"), send("[[1], [2]]"), send("1,2", CSV), send(npy([4]), NPY)),
    ),
    "callable_objects": Case(
        "an object with __call__ as predict_fn",
        """
        class Predictor:
            def __call__(self, data, model):
                return {"mean": data.mean(), "model": model}

        def model_fn(model_dir):
            return "m"

        predict_fn = Predictor()
        """,
        (send("[1, 2, 3]"), send("[[1, 2], [3, 5]]"), send("2,4", CSV), send(npy([1, 2]), NPY, JSON)),
    ),
    "imported_functions": Case(
        "functions imported from a module beside the entry",
        """
        from stages import *

        def model_fn(model_dir):
            return 7
        """,
        (send("[1]"), send("[2, 3]", JSON, "*/*"), send("x", TEXT), send("[")),
        {
            "code/stages.py": """
            import json

            def input_fn(body, content_type):
                if content_type != "application/json":
                    raise ValueError(f"{content_type} is not supported")
                return json.loads(body)

            def predict_fn(data, model):
                return [model * value for value in data]

            def output_fn(prediction, accept):
                return json.dumps(prediction)
            """
        },
    ),
    "warmup": Case(
        "pre_model_fn and model_warmup_fn around model_fn",
        """
        steps = []

        def pre_model_fn(model_dir):
            steps.append("before")

        def model_fn(model_dir):
            steps.append("load")
            return steps

        def model_warmup_fn(model_dir, model):
            model.append("warm")

        def predict_fn(data, model):
            return {"steps": model, "data": data}
        """,
        (send("[1]"), send("2"), send('["a"]'), send("3", CSV)),
    ),
    "no_predict_fn": Case(
        "predict_fn is missing",
        """
        def model_fn(model_dir):
            return 1
        """,
        (send("[1]"), send("1", CSV), send("[1]", JSON, CSV), send(npy([1]), NPY)),
    ),
    "no_model_fn": Case(
        "model_fn is missing",
        """
        def predict_fn(data, model):
            return data
        """,
        (send("[1]"), send("1", CSV), send("[1]", JSON, CSV), send(npy([1]), NPY)),
    ),
    "both_ways": Case(
        "transform_fn beside predict_fn",
        """
        def model_fn(model_dir):
            return 1

        def predict_fn(data, model):
            return data

        def transform_fn(model, body, content_type, accept):
            return body
        """,
        (send("[1]"), send("1", CSV), send("[1]", JSON, CSV), send(npy([1]), NPY)),
    ),
    "too_many_parameters": Case(
        "a function with parameters that nobody gives",
        """
        def model_fn(model_dir):
            return 1

        def predict_fn(data, model, context, threshold):
            return data
        """,
        (send("[1]"), send("1", CSV), send("[1]", JSON, CSV), send(npy([1]), NPY)),
    ),
}
