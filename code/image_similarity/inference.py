"""Image similarity as a SageMaker handler.

In: JSON (`schema.SimilarityRequest`) with one image or two, or one image as `image/*`. Out: JSON. One image:
`{"result": [512 numbers of 6 decimals], "normalized": false}`. Two: `{"similarity": s, "cosine": c}`, where s is
0.5 + 0.5 c as in AI Solution Kit, so that unrelated pictures score about 0.5; with `rotations` or `mirrored` of the
second image's most alike pose, which `rotation` (degrees against the clock) and `mirrored` name.
"""

import json
from operator import itemgetter
from typing import Any

from pixelserve import JSON, BadRequest, Context, Image, NotAcceptable, is_json, load_image, read_request, resolve_type
from pixelserve.models import Embedder, check_size, cosine, normalized, poses
from pixelserve.schema import SimilarityRequest, parse_json
from pixelserve.settings import settings

PIPELINE = True
"""Decoding and encoding run beside the network, for several requests at once."""


def model_fn(model_dir: str) -> Embedder:
    """A network in `model_dir` with its descriptor, else the embedded default."""
    return Embedder.load(model_dir, settings())


def input_fn(body: bytes, content_type: str, context: Context) -> tuple[SimilarityRequest, list[Image]]:
    if not any(kind.partition(";")[0].strip().lower() in (JSON, "*/*", "") for kind in context.accept.split(",")):
        raise NotAcceptable(f"Accept {context.accept} cannot be answered. Accept {JSON}.")
    content_type = resolve_type(content_type, body)
    if is_json(content_type):
        request = parse_json(SimilarityRequest, body)
        if request.is_pair:
            first = load_image(url=request.url_1, img=request.img_1, suffix="_1", check=check_size)
            return request, [first, load_image(url=request.url_2, img=request.img_2, suffix="_2", check=check_size)]
    request, image = read_request(
        SimilarityRequest, body, content_type, context.custom_attributes, check=lambda _, *size: check_size(*size)
    )
    if request.is_pair:
        raise BadRequest("The body is one image already. Send two as JSON.", param="img_1")
    return request, [image]


def predict_fn(data: tuple[SimilarityRequest, list[Image]], model: Embedder, context: Context) -> dict[str, Any]:
    request, images = data
    context.answer_attributes = model.about
    vector = model.vector(images[0])
    if request.is_pair:
        others = poses(images[1], request.rotations, request.mirrored)
        angle, lies = max(((cosine(vector, model.vector(image)), lies) for image, lies in others), key=itemgetter(0))
        return {"similarity": round(0.5 + 0.5 * angle, 6), "cosine": round(angle, 6), **lies}
    vector = normalized(vector) if request.normalize else vector
    return {"result": [round(float(value), 6) for value in vector], "normalized": request.normalize}


def output_fn(prediction: dict[str, Any], accept: str) -> tuple[str, str]:
    return json.dumps(prediction), JSON
