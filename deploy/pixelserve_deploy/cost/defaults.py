"""What is known of models before anything is measured: the documents' sizes and seconds, and how large answers get."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from pixelserve_deploy.cost.errors import CostError
from pixelserve_deploy.cost.files import load_data

CODECS = ("jpeg", "webp", "png")
SUPER_RESOLUTION = "image-super-resolution"
SCALE = 2
"""Of super-resolution, where none is given, and in its document."""


@dataclass(frozen=True)
class ModelDefaults:
    """Of one request; None is what no document says."""

    name: str
    request_bytes: Decimal
    response_bytes: Decimal
    response_encoding: str
    seconds: Decimal | None
    """On the instance."""
    cpu_seconds: Decimal | None
    """On Lambda or a serverless endpoint with this memory."""
    memory_mb: int
    instance: str
    source: str
    answers_pictures: bool
    """An answer grows with the picture that was sent."""

    @property
    def enlarges(self) -> bool:
        """Whether the network sees every pixel, so that its time grows with the picture; the others see one size."""
        return self.name == SUPER_RESOLUTION


@functools.cache
def load_models() -> Mapping[str, ModelDefaults]:
    """The defaults by endpoint name."""
    found = {}
    for name, fields in load_data("models.json").items():
        amounts = ("request_bytes", "response_bytes", "seconds", "cpu_seconds")
        decimals = {key: None if fields[key] is None else Decimal(fields[key]) for key in amounts}
        found[name] = ModelDefaults(name=name, **{**fields, **decimals})
    return found


def find_model(name: str) -> ModelDefaults:
    """The defaults of a model. Raises CostError listing them."""
    known = load_models().get(name.replace("_", "-"))
    if known is None:
        raise CostError(
            f"Nothing is known of the model {name}. Models: {', '.join(load_models())}. "
            "For one of your own take the nearest and give its sizes and seconds."
        )
    return known


def estimate_answer_bytes(request_bytes: Decimal, scale: int, codec: str) -> Decimal:
    """The size of a super-resolution answer, by the measured ratio to the JPEG that was sent."""
    return request_bytes * Decimal(load_data("answers.json")["of_request"][str(scale)][codec])


def estimate_documented_answer(known: ModelDefaults, request_bytes: Decimal) -> Decimal:
    """The document's size of an answer, in proportion to the request where pictures are answered."""
    if not known.answers_pictures:
        return known.response_bytes
    return known.response_bytes * request_bytes / known.request_bytes


def estimate_documented_seconds(known: ModelDefaults, request_bytes: Decimal) -> Decimal | None:
    """The document's seconds on the instance, in proportion to the request where the network sees every pixel."""
    if known.seconds is None or not known.enlarges:
        return known.seconds
    return known.seconds * request_bytes / known.request_bytes


def estimate_picture_bytes(megapixels: Decimal) -> Decimal:
    """The size of a JPEG with the detail of a photograph."""
    return megapixels * 10**6 * Decimal(load_data("answers.json")["request_bytes_per_pixel"])


def estimate_pixels(request_bytes: Decimal) -> Decimal:
    """How many pixels such a JPEG of this size has."""
    return request_bytes / Decimal(load_data("answers.json")["request_bytes_per_pixel"])


def cite_answer_sizes() -> str:
    """Where the ratios come from."""
    return str(load_data("answers.json")["source"])
