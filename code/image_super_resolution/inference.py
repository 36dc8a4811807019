"""Image super-resolution as a SageMaker handler: the four functions of the contract, and a warm-up.

In: JSON (`schema.SuperResolutionRequest`), or the image itself as `image/*` with the options in
X-Amzn-SageMaker-Custom-Attributes (`scale=4;format=jpeg`). Out, by Accept: JSON `{"result": Base64}`, `image/png`,
`image/jpeg`, `image/webp`, or `application/x-npy` (H, W, C).
"""

from pixelserve import (
    JSON,
    MEDIA_TYPES,
    Body,
    Context,
    DeadlineExceeded,
    Image,
    TooSlow,
    answer_type,
    encode_answer,
    read_request,
    resolve_type,
)
from pixelserve.imaging import check_format, plan_output
from pixelserve.models import Upscaler
from pixelserve.schema import SuperResolutionRequest
from pixelserve.settings import settings

PIPELINE = True
"""Decoding and encoding run beside the network, for several requests at once."""


def model_fn(model_dir: str) -> Upscaler:
    """Called once in each worker. `model_dir` is /opt/ml/model; without weights in it the embedded ones are used."""
    return Upscaler.load(model_dir, settings())


def warmup_fn(model: Upscaler) -> None:
    """Called once after loading; the endpoint is healthy only then."""
    model.warm_up()


def input_fn(body: bytes, content_type: str, context: Context) -> tuple[SuperResolutionRequest, Image]:
    """Bytes to what predict_fn takes. Several of these run at once, beside the network."""
    context.content_type = content_type = resolve_type(content_type, body)

    def check(request: SuperResolutionRequest, width: int, height: int) -> None:
        """What cannot be answered is not decoded, nor computed."""
        media_type = answer_type(context.accept, content_type, MEDIA_TYPES[request.format])
        plan = plan_output(width, height, request.scale, request.target, settings())
        check_format(plan.width, plan.height, request.format if media_type == JSON else media_type)

    return read_request(SuperResolutionRequest, body, content_type, context.custom_attributes, check=check)


def predict_fn(
    data: tuple[SuperResolutionRequest, Image], model: Upscaler, context: Context
) -> tuple[SuperResolutionRequest, Image]:
    """The network. One call at a time; `context.progress` ends it early when nobody waits any more."""
    request, image = data
    plan = model.plan(image, request.scale, request.target)
    faces = model.find_faces(image) if request.face else []
    seconds = model.seconds(image, plan, faces)
    if seconds > settings().timeout:
        what = f"{image.width} x {image.height} pixels" + (f" with {len(faces)} faces" if faces else "")
        raise TooSlow(
            f"{what} take about {seconds:.0f} s here, longer than the "
            f"{settings().timeout:g} s allowed. Send a smaller image, or use an asynchronous endpoint."
        )
    if seconds > context.seconds_left():
        raise DeadlineExceeded("Too much work waits before this image. Try again under less load.", retry_after=1)
    context.answer_attributes = model.describe(image, plan) + (f";faces={len(faces)}" if request.face else "")
    return request, model.upscale(image, request.scale, request.target, context.progress, faces)


def output_fn(prediction: tuple[SuperResolutionRequest, Image], accept: str, context: Context) -> tuple[Body, str]:
    """What predict_fn gave, as the caller accepts it: the body, or its parts, and their type."""
    request, image = prediction
    media_type = answer_type(accept, context.content_type or "", MEDIA_TYPES[request.format])
    return encode_answer(image, media_type, request.format, request.quality)
