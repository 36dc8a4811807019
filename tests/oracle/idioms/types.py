"""What comes in and goes out: content types, Accept, the toolkit's decoder and encoder."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import scipy.sparse
from oracle.case import CSV, JSON, LINES, NPY, NPZ, PNG, RAW, TEXT, Case, npy, send
from PIL import Image


def _png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2), (10, 20, 30)).save(buffer, "PNG")
    return buffer.getvalue()


def _npz(**arrays: object) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _sparse() -> bytes:
    buffer = io.BytesIO()
    scipy.sparse.save_npz(buffer, scipy.sparse.csr_matrix(np.array([[0, 2.0], [3.0, 0]])))
    return buffer.getvalue()


ECHO = """
    def model_fn(model_dir):
        return None

    def predict_fn(data, model):
        return data
"""

CASES = {
    "toolkit_decoder": Case(
        "the toolkit's decoder and encoder in the author's own functions",
        """
        from sagemaker_inference import content_types, decoder, encoder

        def model_fn(model_dir):
            return 2.0

        def input_fn(body, content_type):
            return decoder.decode(body, content_type)

        def predict_fn(data, model):
            return data * model

        def output_fn(prediction, accept):
            return encoder.encode(prediction, accept), accept
        """,
        (send("[1, 2]"), send("1,2\n3,4", CSV, CSV), send(npy([[1.0]]), NPY, NPY), send("x", TEXT)),
    ),
    "toolkit_errors": Case(
        "the toolkit's UnsupportedFormatError, raised by the author",
        """
        import json
        from sagemaker_inference import content_types, errors

        def model_fn(model_dir):
            return None

        def input_fn(body, content_type):
            if content_type == content_types.JSON:
                return json.loads(body)
            raise errors.UnsupportedFormatError(content_type)

        def predict_fn(data, model):
            return data

        def output_fn(prediction, accept):
            if accept != content_types.JSON:
                raise errors.UnsupportedFormatError(accept)
            return json.dumps(prediction)
        """,
        (send("[1, 2]"), send("1,2", CSV), send("{}", JSON, CSV), send("x", PNG)),
    ),
    "json_arrays": Case(
        "JSON by default: an array comes, also of a number",
        """
        def model_fn(model_dir):
            return None

        def predict_fn(data, model):
            return {"shape": data.shape, "kind": data.dtype.kind, "max": data.max()}
        """,
        (send("[[1, 2], [3, 4]]"), send("5"), send("[0.5, 1]"), send("[true, false]")),
    ),
    "json_objects": Case(
        "JSON by default: objects and texts come in arrays",
        """
        def model_fn(model_dir):
            return None

        def predict_fn(data, model):
            return {"value": data.tolist(), "dimensions": data.ndim}
        """,
        (send('{"a": [1, 2]}'), send('["a", "bc"]'), send('[{"x": 1}, {"x": 2}]'), send("null")),
    ),
    "json_wrong": Case(
        "JSON by default that is none, or is ragged",
        ECHO,
        (send("{"), send("[[1], [1, 2]]"), send(b"\xff\xfe"), send("[1,]", JSON, CSV)),
    ),
    "json_own": Case(
        "json.loads and json.dumps in the author's functions",
        """
        import json

        def model_fn(model_dir):
            return {"cat": 0.75}

        def input_fn(body, content_type):
            return json.loads(body)["instances"]

        def predict_fn(data, model):
            return [model.get(name, 0.0) for name in data]

        def output_fn(prediction, accept):
            return json.dumps({"predictions": prediction})
        """,
        (
            send('{"instances": ["cat", "dog"]}'),
            send('{"instances": []}', "application/json; charset=utf-8"),
            send('{"inputs": 1}'),
            send('{"instances": ["cat"]}', RAW, JSON),
        ),
    ),
    "csv_rows": Case(
        "CSV by default, an answer of a number for each row",
        """
        def model_fn(model_dir):
            return None

        def predict_fn(data, model):
            return data.sum(axis=-1)
        """,
        (
            send("1,2\n3,4\n5,6\n", CSV, CSV),
            send("1,2\n3,4\n", CSV, JSON),
            send("[[1, 2], [3, 4.5]]", JSON, CSV),
            send("1.5,2\n3,4\n", CSV, NPY),
        ),
    ),
    "csv_tables": Case(
        "CSV by default of one row, one column, with gaps and texts",
        ECHO,
        (send("1,2,3", CSV, CSV), send("1\n2\n3\n", CSV, JSON), send("a,b\nc,d\n", CSV, JSON), send("1,2\n3\n", CSV)),
    ),
    "csv_answers": Case(
        "CSV answers of more than numbers",
        """
        def model_fn(model_dir):
            return {"1d": [1, 2], "2d": [[1, 0.5], [2, 0.25]], "text": [["cat", 0.5]], "0d": 3}

        def input_fn(body, content_type):
            return body

        def predict_fn(data, model):
            return model[data]
        """,
        (send("1d", CSV, CSV), send("2d", CSV, CSV), send("text", CSV, CSV), send("0d", CSV, CSV)),
    ),
    "csv_reader": Case(
        "csv.reader on io.StringIO of the body, texts included",
        """
        import csv
        import io

        def model_fn(model_dir):
            return None

        def input_fn(body, content_type):
            return [row for row in csv.reader(io.StringIO(body)) if row]

        def predict_fn(data, model):
            return [[name, float(size) * 2] for name, size in data]

        def output_fn(prediction, accept):
            out = io.StringIO()
            csv.writer(out).writerows(prediction)
            return out.getvalue(), "text/csv"
        """,
        (
            send('small,1\n"large, very",2.5\n', CSV),
            send("ä,3\n", CSV, CSV),
            send("", CSV),
            send("a,b\n", CSV, JSON),
        ),
    ),
    "npy": Case(
        "NPY in and out, by default",
        """
        def model_fn(model_dir):
            return None

        def predict_fn(data, model):
            return data.T
        """,
        (
            send(npy(np.arange(6).reshape(2, 3)), NPY, NPY),
            send(npy(np.float32([[0.5, 1]])), NPY, JSON),
            send(npy(np.array(7, np.uint8)), NPY, NPY),
            send(b"no array", NPY, NPY),
        ),
    ),
    "npy_pickled": Case(
        "NPY of Python objects, which needs pickle",
        """
        def model_fn(model_dir):
            return None

        def predict_fn(data, model):
            return len(data)
        """,
        (
            send(npy(np.array([{"a": 1}], object), allow_pickle=True), NPY),
            send(npy(np.array(["a", None], object), allow_pickle=True), NPY, JSON),
            send(npy(["a", "b"]), NPY, JSON),
            send(npy([1]), NPY),
        ),
    ),
    "npz_sparse": Case(
        "NPZ by default: a sparse matrix comes",
        """
        def model_fn(model_dir):
            return None

        def predict_fn(data, model):
            return data.toarray()
        """,
        (
            send(_sparse(), NPZ),
            send(_sparse(), NPZ, CSV),
            send(_sparse(), NPZ, NPY),
            send(b"PK no archive", NPZ),
        ),
    ),
    "npz_own": Case(
        "numpy.load of an NPZ body with several arrays",
        """
        import io
        import json
        import numpy as np

        def model_fn(model_dir):
            return None

        def input_fn(body, content_type):
            with np.load(io.BytesIO(body)) as arrays:
                return {name: arrays[name] for name in arrays.files}

        def predict_fn(data, model):
            return {name: float(array.sum()) for name, array in data.items()}

        def output_fn(prediction, accept):
            return json.dumps(prediction), "application/json"
        """,
        (
            send(_npz(a=np.ones(3), b=np.eye(2)), NPZ),
            send(_npz(x=np.zeros((2, 2))), RAW, JSON),
            send(_npz(), NPZ, "*/*"),
            send("nothing", NPZ),
        ),
    ),
    "json_lines": Case(
        "JSON Lines in and out, by the author",
        """
        import json

        def model_fn(model_dir):
            return 2

        def input_fn(body, content_type):
            text = body if isinstance(body, str) else bytes(body).decode("utf-8")
            return [json.loads(line) for line in text.splitlines() if line]

        def predict_fn(data, model):
            return [{"score": item["x"] * model} for item in data]

        def output_fn(prediction, accept):
            return "".join(json.dumps(item) + "\\n" for item in prediction), "application/jsonlines"
        """,
        (
            send('{"x": 1}\n{"x": 2}\n', LINES),
            send('{"x": 0.5}', LINES, LINES),
            send("", LINES),
            send('{"x": 1}\n{"y": 2}\n', LINES, JSON),
        ),
    ),
    "images": Case(
        "an image in by Pillow, its size out",
        """
        import io
        import json
        from PIL import Image

        def model_fn(model_dir):
            return None

        def input_fn(body, content_type):
            if not content_type.startswith("image/"):
                raise ValueError("send an image")
            return Image.open(io.BytesIO(body)).convert("RGB")

        def predict_fn(data, model):
            return {"size": data.size, "first": data.getpixel((0, 0))}

        def output_fn(prediction, accept):
            return json.dumps(prediction), accept
        """,
        (send(_png(), PNG, JSON), send(_png(), "image/x-anything"), send(_png(), RAW), send(b"no image", PNG)),
    ),
    "image_answers": Case(
        "an image out: bytes with a content type of their own",
        """
        import io
        from PIL import Image

        def model_fn(model_dir):
            return None

        def input_fn(body, content_type):
            return Image.open(io.BytesIO(body))

        def predict_fn(data, model):
            return data.transpose(Image.Transpose.ROTATE_90)

        def output_fn(prediction, accept):
            kind = {"image/png": "PNG", "image/bmp": "BMP"}[accept]
            buffer = io.BytesIO()
            prediction.save(buffer, kind)
            return buffer.getvalue(), accept
        """,
        (send(_png(), PNG, PNG), send(_png(), PNG, "image/bmp"), send(_png(), PNG), send(_png(), PNG, "image/webp")),
    ),
    "base64_image": Case(
        "an image as Base64 in JSON",
        """
        import base64
        import io
        import json
        import numpy as np
        from PIL import Image

        def model_fn(model_dir):
            return None

        def input_fn(body, content_type):
            data = json.loads(body)
            return np.array(Image.open(io.BytesIO(base64.b64decode(data["image"]))))

        def predict_fn(data, model):
            return {"shape": list(data.shape), "mean": round(float(data.mean()), 3)}
        """,
        (
            send(json.dumps({"image": base64.b64encode(_png()).decode()})),
            send(json.dumps({"image": base64.b64encode(_png()).decode()}), JSON, JSON),
            send('{"image": "eA=="}'),
            send('{"picture": ""}'),
        ),
    ),
    "unknown_types": Case(
        "content types that the defaults do not know",
        """
        def model_fn(model_dir):
            return None

        def predict_fn(data, model):
            return {"bytes": len(data)} if isinstance(data, bytes | bytearray) else {"shape": data.shape}
        """,
        (send("abc", TEXT), send(b"\x00\x01", RAW, JSON), send("<a/>", "application/xml"), send("1", None)),
    ),
    "type_with_charset": Case(
        "a content type with a parameter, read by the author",
        """
        import json

        def model_fn(model_dir):
            return None

        def input_fn(body, content_type):
            return {"type": content_type, "text": isinstance(body, str), "value": json.loads(body)}

        def predict_fn(data, model):
            return data

        def output_fn(prediction, accept):
            return json.dumps(prediction), accept
        """,
        (
            send("1", "application/json; charset=utf-8"),
            send("1", "application/json;charset=UTF-8", JSON),
            send("1", "Application/JSON"),
            send("1", "text/csv; header=absent", "application/json; charset=utf-8"),
        ),
    ),
    "text_or_bytes": Case(
        "isinstance(body, str): text for JSON and CSV, a bytearray for all else",
        """
        import json

        def model_fn(model_dir):
            return None

        def input_fn(body, content_type):
            return "str" if isinstance(body, str) else f"{type(body).__name__} {body.hex()}"

        def predict_fn(data, model):
            return data

        def output_fn(prediction, accept):
            return prediction, "text/plain"
        """,
        (send("{}"), send("1", CSV), send("ab", TEXT), send(b"\xff", RAW)),
    ),
    "unicode": Case(
        "texts beyond ASCII in JSON, CSV and plain text",
        """
        import json

        def model_fn(model_dir):
            return {"straße": "street", "猫": "cat"}

        def input_fn(body, content_type):
            text = body if isinstance(body, str) else bytes(body).decode("utf-8")
            return json.loads(text) if content_type == "application/json" else text.split(",")

        def predict_fn(data, model):
            return [word + "=" + model.get(word, "…") for word in data]

        def output_fn(prediction, accept):
            if accept == "application/json":
                return json.dumps(prediction, ensure_ascii=False)
            return ",".join(prediction), "text/plain; charset=utf-8"
        """,
        (
            send('["straße", "猫"]'),
            send("猫,狗", CSV, JSON),
            send("é", TEXT, TEXT),
            send('["\\ud83d\\ude00"]', JSON, "text/csv"),
        ),
    ),
    "accept_lists": Case(
        "Accept with several types, by default",
        ECHO,
        (
            send("[1, 2]", JSON, "text/csv, application/json"),
            send("[1, 2]", JSON, "image/png,application/x-npy"),
            send("[1, 2]", JSON, "image/png"),
            send("[1, 2]", JSON, "application/json;q=0.5"),
        ),
    ),
    "accept_as_sent": Case(
        "Accept as the author's output_fn sees it, with the answer of no type",
        """
        def model_fn(model_dir):
            return None

        def input_fn(body, content_type):
            return body

        def predict_fn(data, model):
            return data

        def output_fn(prediction, accept):
            return "accept=" + accept
        """,
        (send("1"), send("1", JSON, "*/*"), send("1", JSON, TEXT), send("1", JSON, "text/csv, application/json")),
    ),
    "default_accept": Case(
        "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT",
        ECHO,
        (send("[1, 2]"), send("[1, 2]", JSON, "*/*"), send("[1, 2]", JSON, JSON), send("1,2", CSV, NPY)),
        environ={"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/csv"},
    ),
    "default_accept_own": Case(
        "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT with an output_fn that looks at it",
        """
        def model_fn(model_dir):
            return None

        def input_fn(body, content_type):
            return body

        def predict_fn(data, model):
            return data

        def output_fn(prediction, accept):
            if accept == "application/x-npy":
                raise ValueError("no arrays here")
            return f"{accept}:{prediction}", accept
        """,
        (send("1"), send("1", JSON, "*/*"), send("1", JSON, JSON), send("1", CSV, NPY)),
        environ={"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/plain"},
    ),
}
