"""Where things lie: modules, packages, weights and configuration beside the handler."""

from __future__ import annotations

import base64
import json
import pickle
import zlib

from oracle.case import CSV, JSON, NPY, TEXT, Case, npy, send

CASES = {
    "helper_module": Case(
        "a module beside the entry",
        """
        import helper

        def model_fn(model_dir):
            return helper.LABELS

        def predict_fn(data, model):
            return helper.top(data, model)
        """,
        (send("[0.1, 0.9]"), send("[3, 2]", JSON, JSON), send("1,2", CSV), send("[]")),
        {
            "code/helper.py": """
            LABELS = ["cat", "dog"]

            def top(scores, labels):
                return labels[int(scores.argmax())]
            """
        },
    ),
    "package": Case(
        "a package beside the entry, with relative imports",
        """
        from mymodel import Net
        from mymodel.data.text import tokenize

        def model_fn(model_dir):
            return Net()

        def input_fn(body, content_type):
            return tokenize(body)

        def predict_fn(data, model):
            return model(data)
        """,
        (send("a b c"), send("", CSV), send("x  y", CSV, CSV), send(npy([1]), NPY)),
        {
            "code/mymodel/__init__.py": "from .net import Net\n",
            "code/mymodel/net.py": """
            from .data import text

            class Net:
                def __call__(self, words):
                    return [len(word) + text.EXTRA for word in words]
            """,
            "code/mymodel/data/__init__.py": "",
            "code/mymodel/data/text.py": """
            EXTRA = 10

            def tokenize(text):
                return text.split()
            """,
        },
    ),
    "package_data": Case(
        "importlib.resources and pkgutil.get_data of a package beside the entry",
        """
        import json
        import pkgutil
        from importlib import resources

        def model_fn(model_dir):
            labels = json.loads(pkgutil.get_data("assets", "labels.json"))
            return labels, resources.files("assets").joinpath("version.txt").read_text().strip()

        def predict_fn(data, model):
            labels, version = model
            return {"label": labels[str(int(data))], "version": version}
        """,
        (send("0"), send("1"), send("7"), send("1", CSV)),
        {
            "code/assets/__init__.py": "",
            "code/assets/labels.json": '{"0": "cat", "1": "dog"}',
            "code/assets/version.txt": "3.1\n",
        },
    ),
    "lib_folder": Case(
        "code/lib put on sys.path by the handler",
        """
        import os
        import sys

        sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
        import vendored

        def model_fn(model_dir):
            return vendored.VERSION

        def predict_fn(data, model):
            return [model, vendored.double(data.tolist())]
        """,
        (send("[1]"), send('"ab"'), send("2", CSV), send("[1, 2]", JSON, JSON)),
        {"code/lib/vendored.py": "VERSION = '1.0'\n\ndef double(value):\n    return value * 2\n"},
    ),
    "pickled_class": Case(
        "a pickled model whose class is in the entry module",
        """
        import os
        import pickle

        class Net:
            factor = 3

            def __call__(self, data):
                return data * self.factor

        def model_fn(model_dir):
            with open(os.path.join(model_dir, "model.pkl"), "rb") as file:
                return pickle.load(file)

        def predict_fn(data, model):
            return {"value": model(data), "own": isinstance(model, Net), "module": type(model).__module__}
        """,
        (send("[1]"), send("2"), send("1,2", CSV), send('{"a": 1}')),
        {"model.pkl": b"cinference\nNet\n)\x81."},
    ),
    "pickled_by_the_handler": Case(
        "objects of the entry module, pickled and copied",
        """
        import copy
        import pickle

        class Tree:
            def __init__(self, depth):
                self.depth = depth

        def model_fn(model_dir):
            return pickle.dumps(Tree(2))

        def predict_fn(data, model):
            tree = pickle.loads(model)
            tree.depth += int(data)
            return copy.deepcopy(tree).depth
        """,
        (send("1"), send("40"), send("2", CSV), send("x")),
    ),
    "joblib_like": Case(
        "a compressed pickle of arrays, as joblib makes it",
        """
        import os
        import pickle
        import zlib

        def model_fn(model_dir):
            with open(os.path.join(model_dir, "model.joblib"), "rb") as file:
                return pickle.loads(zlib.decompress(file.read()))

        def input_fn(body, content_type):
            assert content_type == "text/csv", content_type
            return [[float(cell) for cell in line.split(",")] for line in body.strip().splitlines()]

        def predict_fn(data, model):
            weights, bias = model["coef"], model["intercept"]
            return [sum(a * b for a, b in zip(row, weights)) + bias for row in data]

        def output_fn(prediction, accept):
            return "\\n".join(map(str, prediction)), "text/csv"
        """,
        (send("1,2\n3,4\n", CSV), send("0.5,0", CSV, CSV), send("[1, 2]"), send("a,b", CSV)),
        {"model.joblib": zlib.compress(pickle.dumps({"coef": [0.5, 2.0], "intercept": 1.0}))},
    ),
    "weights": Case(
        "weights of NumPy in a folder of the model, found by glob",
        """
        import glob
        import os
        import numpy as np

        def model_fn(model_dir):
            files = sorted(glob.glob(os.path.join(model_dir, "weights", "*.npy")))
            return {os.path.splitext(os.path.basename(name))[0]: np.load(name) for name in files}

        def predict_fn(data, model):
            return data @ model["a"] + model["b"]
        """,
        (
            send("[[1, 2]]"),
            send("1,2\n3,4\n", CSV, CSV),
            send(npy([[1.0, 0], [0, 1]]), NPY, NPY),
            send("[1, 2, 3]"),
        ),
        {"weights/a.npy": npy([[1.0, 2.0], [3.0, 4.0]]), "weights/b.npy": npy([0.5, 0.25])},
    ),
    "configuration": Case(
        "a configuration and labels beside the weights",
        """
        import configparser
        import json
        import pathlib

        def model_fn(model_dir):
            folder = pathlib.Path(model_dir)
            config = configparser.ConfigParser()
            config.read(folder / "model.ini")
            return config, json.loads((folder / "labels.json").read_text(encoding="utf-8"))

        def predict_fn(data, model):
            config, labels = model
            limit = config.getfloat("scores", "limit")
            return [labels[index] for index, score in enumerate(data) if score > limit]
        """,
        (send("[0.6, 0.1]"), send("[1, 1]", JSON, CSV), send("0,0", CSV), send("[1, 1, 1]")),
        {"model.ini": "[scores]\nlimit = 0.5\n", "labels.json": json.dumps(["Straße", "cat"])},
    ),
    "file_of_the_module": Case(
        "a file beside the entry, by __file__",
        """
        import os

        HERE = os.path.dirname(os.path.realpath(__file__))
        with open(os.path.join(HERE, "vocabulary.txt")) as file:
            WORDS = file.read().split()

        def model_fn(model_dir):
            return {"inside": os.path.relpath(HERE, os.path.realpath(model_dir)), "name": __name__}

        def predict_fn(data, model):
            return {**model, "word": WORDS[int(data)]}
        """,
        (send("0"), send("2"), send("9"), send("1", CSV)),
        {"code/vocabulary.txt": "one two three\n"},
    ),
    "relative_files": Case(
        "a file of the model folder by its relative name",
        """
        def model_fn(model_dir):
            with open("scale.txt") as file:
                return float(file.read())

        def predict_fn(data, model):
            with open("code/shift.txt") as file:
                return data * model + float(file.read())
        """,
        (send("[1]"), send("2"), send("1,2", CSV), send("[1]", JSON, CSV)),
        {"scale.txt": "2", "code/shift.txt": "0.5"},
    ),
    "change_of_folder": Case(
        "os.chdir in model_fn, relative names afterwards",
        """
        import os

        def model_fn(model_dir):
            os.chdir(os.path.join(model_dir, "data"))
            return None

        def predict_fn(data, model):
            return {"files": sorted(os.listdir(".")), "text": open(f"{int(data)}.txt").read()}
        """,
        (send("1"), send("2"), send("3"), send("1", CSV)),
        {"data/1.txt": "one", "data/2.txt": "two"},
    ),
    "another_entry": Case(
        "SAGEMAKER_PROGRAM names another file",
        """
        import sys

        def model_fn(model_dir):
            return __name__

        def predict_fn(data, model):
            return {"name": model, "known": model in sys.modules}
        """,
        (send("1"), send("1", JSON, JSON), send("1", CSV), send("x", TEXT)),
        environ={"SAGEMAKER_PROGRAM": "serve_model.py"},
    ),
    "import_of_the_entry": Case(
        "a helper that imports the entry module",
        """
        import registry

        MODELS = {}

        def model_fn(model_dir):
            registry.register("double", lambda value: value * 2)
            return MODELS

        def predict_fn(data, model):
            return [registry.names(), model["double"](data)]
        """,
        (send("1"), send("[2, 3]"), send("4", CSV), send("1", JSON, JSON)),
        {
            "code/registry.py": """
            def register(name, function):
                import inference
                inference.MODELS[name] = function

            def names():
                from inference import MODELS
                return sorted(MODELS)
            """
        },
    ),
    "dataclasses": Case(
        "dataclasses, enums and annotations as texts",
        """
        from __future__ import annotations

        import dataclasses
        import enum
        import json
        import typing

        class Color(str, enum.Enum):
            RED = "red"
            BLUE = "blue"

        @dataclasses.dataclass
        class Item:
            color: Color
            size: typing.Optional[int] = None

        def model_fn(model_dir: str) -> None:
            return None

        def input_fn(body: str, content_type: str) -> Item:
            data = json.loads(body)
            return Item(Color(data["color"]), data.get("size"))

        def predict_fn(data: Item, model: None) -> Item:
            assert typing.get_type_hints(Item)["color"] is Color
            return dataclasses.replace(data, size=(data.size or 0) + 1)

        def output_fn(prediction: Item, accept: str) -> str:
            return json.dumps(dataclasses.asdict(prediction))
        """,
        (send('{"color": "red"}'), send('{"color": "blue", "size": 4}'), send('{"color": "green"}'), send("[]")),
    ),
    "main_block": Case(
        "a block for __main__ that must not run",
        """
        def model_fn(model_dir):
            return 1

        def predict_fn(data, model):
            return data + model

        if __name__ == "__main__":
            raise SystemExit("run as a program")
        """,
        (send("1"), send("[1, 2]"), send("1,2", CSV, CSV), send('"a"')),
    ),
    "temporary_files": Case(
        "the body written into a temporary file",
        """
        import os
        import tempfile

        def model_fn(model_dir):
            return tempfile.mkdtemp()

        def input_fn(body, content_type):
            with tempfile.NamedTemporaryFile(suffix=".bin", delete=False) as file:
                file.write(body.encode() if isinstance(body, str) else body)
            return file.name

        def predict_fn(data, model):
            with open(data, "rb") as file:
                content = file.read()
            os.remove(data)
            return {"size": len(content), "gone": not os.path.exists(data)}
        """,
        (send("abc"), send(b"\x00\x01", NPY), send("", TEXT), send("ä", CSV)),
    ),
    "embedded_weights": Case(
        "weights as a text in the module",
        f"""
        import base64
        import io
        import numpy as np

        WEIGHTS = "{base64.b64encode(npy([1.0, -1.0])).decode()}"

        def model_fn(model_dir):
            return np.load(io.BytesIO(base64.b64decode(WEIGHTS)))

        def predict_fn(data, model):
            return float(np.dot(data, model))
        """,
        (send("[3, 1]"), send("2,5", CSV), send(npy([0.5, 0.5]), NPY), send("[1]")),
    ),
}
