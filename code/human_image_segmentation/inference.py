"""Human image segmentation as a SageMaker handler.

In: JSON (`schema.SegmentationRequest`), or the image itself as `image/*` with `type=foreground` in
X-Amzn-SageMaker-Custom-Attributes. Out, by Accept: JSON `{"result": Base64 of a PNG}`, or the picture as `image/png`,
`image/jpeg`, `image/webp` or `application/x-npy`: an 8-bit grey alpha (H, W, 1), or for `foreground` the people cut out
(H, W, 4). The answer's attributes name the network: `network=FILE`, or `network=classical` for the default, and
what runs it.
"""

from pixelserve import Body, Context, Image, answer_type, encode_answer, read_request, resolve_type
from pixelserve.models import Segmenter, check_size, cut_out
from pixelserve.schema import SegmentationRequest
from pixelserve.settings import settings

PIPELINE = True
"""Decoding and encoding run beside the network, for several requests at once."""


def model_fn(model_dir: str) -> Segmenter:
    """A network in `model_dir` with its descriptor, else the classical default."""
    return Segmenter.load(model_dir, settings())


def input_fn(body: bytes, content_type: str, context: Context) -> tuple[SegmentationRequest, Image]:
    context.content_type = content_type = resolve_type(content_type, body)
    answer_type(context.accept, content_type)  # so that what cannot be answered is not computed
    return read_request(
        SegmentationRequest, body, content_type, context.custom_attributes, check=lambda _, *size: check_size(*size)
    )


def predict_fn(data: tuple[SegmentationRequest, Image], model: Segmenter, context: Context) -> Image:
    request, image = data
    context.answer_attributes = model.about
    alpha = model.alpha(image)
    return cut_out(image, alpha) if request.type == "foreground" else Image(alpha)


def output_fn(prediction: Image, accept: str, context: Context) -> tuple[Body, str]:
    return encode_answer(prediction, answer_type(accept, context.content_type or ""))
