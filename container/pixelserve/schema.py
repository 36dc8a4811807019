"""Requests and answers of the features: one definition for handlers, gateway, OpenAPI and clients."""

from __future__ import annotations

import difflib
import json
from typing import Any, Literal, Self, TypeVar
from urllib.parse import unquote

import pybase64
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pixelserve.errors import BadRequest
from pixelserve.wire import HalfPairError
from pixelserve.wire import parse_json as parse_value

Scale = Literal[2, 4]
Target = Literal["2k", "4k"]
Format = Literal["png", "jpeg", "webp"]

TARGET_PIXELS: dict[Target, int] = {"2k": 2048 * 2048, "4k": 4096 * 4096}


class Request(BaseModel):
    """What all features share: unknown fields are refused, because a misspelt one would silently do nothing."""

    model_config = ConfigDict(extra="forbid")


R = TypeVar("R", bound=BaseModel)
_MISSPELT = 0.8
"""How alike (difflib's ratio) a word and a field's name are from which on the one is taken for the other."""
MOST_VALUES = 100_000
"""Of a JSON body, at least; no request has so many."""
MOST_ATTRIBUTES = 1024
"""Characters of CustomAttributes (SageMaker Runtime's API reference, InvokeEndpoint)."""
_LONGEST_SHOWN = 40
"""Characters of a caller's text that an error repeats."""


class ImageRequest(Request):
    """A request about one image."""

    url: str | None = Field(None, description="The image's URL: http, https, or s3 of an allowed bucket.")
    img: str | None = Field(None, description="The image itself, in Base64.")


class SegmentationRequest(ImageRequest):
    """Tell people from what is behind them."""

    type: Literal["foreground"] | None = Field(
        None, description="foreground: the people cut out, with alpha. Left out: the alpha alone, as a grey image."
    )


class SimilarityRequest(ImageRequest):
    """The vector of one image, or how alike two are."""

    url_1: str | None = Field(None, description="URL of the first of two images.")
    img_1: str | None = Field(None, description="The first of two images, in Base64.")
    url_2: str | None = Field(None, description="URL of the second image.")
    img_2: str | None = Field(None, description="The second image, in Base64.")
    normalize: bool = Field(False, description="Bring the vector of one image to length 1.")
    rotations: bool = Field(False, description="Of two images, compare the second in each of its four turns, too.")
    mirrored: bool = Field(False, description="Of two images, compare the second mirrored, too.")

    @model_validator(mode="after")
    def _one_or_two(self) -> Self:
        first, second = self.url_1 or self.img_1, self.url_2 or self.img_2
        if (first or second) and (self.url or self.img):
            raise ValueError("give one image as url or img, or two as url_1 or img_1 and url_2 or img_2, not both")
        if bool(first) != bool(second):
            raise ValueError(
                f"image {2 if first else 1} is missing: give url_{2 if first else 1} or img_{2 if first else 1}"
            )
        if (self.rotations or self.mirrored) and not (first and second):
            raise ValueError("rotations and mirrored go with two images")
        return self

    @property
    def is_pair(self) -> bool:
        return bool(self.url_1 or self.img_1)


class SuperResolutionRequest(ImageRequest):
    """Enlarge an image by `scale`, or to the area of `target`."""

    scale: Scale = Field(2, description="Factor of both edges.")
    target: Target | None = Field(None, description="Area to reach in place of a factor: about 2048² or 4096² pixels.")
    face: bool = Field(False, description="Restore faces too.")
    format: Format = Field("png", description="Format of the image in a JSON answer.")
    quality: int = Field(90, ge=1, le=100, description="Quality of a JPEG or WebP answer.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.target is not None and "scale" in self.model_fields_set:
            raise ValueError("scale and target exclude each other: give one of them")
        return self


def parse_json(model: type[R], body: bytes) -> R:
    """A JSON body as a request. Raises BadRequest naming the field (`param`), what it held and what fits."""
    return parse(model, read_object(body))


def read_object(body: bytes, what: str = "The body") -> dict[str, Any]:
    """A JSON body that is an object. Raises BadRequest for any other, calling it `what`."""
    if not body.strip():
        raise BadRequest(f'{what} is empty. Send a JSON object such as {{"url": "https://…"}}, or an image.')
    if body.count(b":") + body.count(b",") > MOST_VALUES:  # reading millions would hold up everybody
        raise BadRequest(f"{what} has more than {MOST_VALUES:,} values. Send images as Base64, in a field each.")
    try:
        values = parse_value(body)
    except HalfPairError as error:
        where = what if error.field is None else f"{what}'s {error.field[:_LONGEST_SHOWN]}"
        raise BadRequest(f"{where} is not valid JSON: {error}.", param=error.field) from error
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{what} is not valid JSON: {error}.") from error
    if not isinstance(values, dict):
        raise BadRequest(f'{what} must be a JSON object, such as {{"url": "https://…"}}.')
    return values


def parse_attributes(model: type[R], attributes: str) -> R:
    """The options of a raw body from X-Amzn-SageMaker-Custom-Attributes, `scale=4;format=jpeg`, as a request.

    Attributes are opaque to SageMaker, and may carry a trace id: what names no field of the request is left alone.
    Raises BadRequest as `parse_json` does, also for what is likely a misspelt field, and for more than SageMaker takes.
    """
    if len(attributes) > MOST_ATTRIBUTES:
        raise BadRequest(f"Custom attributes have {len(attributes):,} characters; SageMaker takes {MOST_ATTRIBUTES:,}.")
    values: dict[str, Any] = {}
    for part in attributes.replace(",", ";").split(";"):
        key, equals, value = (text.strip() for text in part.partition("="))
        if equals and key in model.model_fields:
            values[key] = parse_text(value)
            continue
        meant = difflib.get_close_matches(key.lower(), model.model_fields, 1, _MISSPELT)
        if meant:
            shown = part.strip()[:_LONGEST_SHOWN]
            raise BadRequest(f"Custom attributes hold {shown!r}: did you mean {meant[0]}=VALUE?", param=meant[0])
    return parse(model, values)


def parse(model: type[R], values: dict[str, Any]) -> R:
    """Values as a request. Raises BadRequest for the first field that does not fit."""
    unknown = next((name for name in values if name not in model.model_fields), None)
    if unknown is not None:
        name = unknown[:_LONGEST_SHOWN]
        raise BadRequest(f"There is no field {name}. Fields: {', '.join(model.model_fields)}.", param=name)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        param = str(first["loc"][0]) if first["loc"] else None
        reason = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
        given = "" if param is None else f"{param} is {_shortened(first['input'])}: "
        raise BadRequest(f"{given}{reason}.", param=param) from None


def read_base64(text: str, param: str) -> bytes:
    """Base64 as people send it: data: URLs, line breaks, the URL alphabet, %-escapes, missing padding included.

    Raises BadRequest naming `param`.
    """
    text = text.strip()
    if text[:5].lower() == "data:":
        head, _, text = text.partition(",")
        if not head.rstrip().lower().endswith("base64"):
            raise BadRequest(f"{param} is a data: URL without Base64. Write data:image/png;base64,…", param=param)
    if "%" in text:
        text = unquote(text)
    try:
        data = _decode(text)
    except ValueError as error:
        raise BadRequest(f"{param} is not Base64. Encode the image file's bytes.", param=param) from error
    if not data:
        raise BadRequest(f"{param} is empty. Put the image file's bytes in it, in Base64.", param=param)
    return data


def _decode(text: str) -> bytes:
    """Most texts are Base64 as the standard has it; only others are tidied up, which takes ten times as long."""
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        tidied = "".join(text.split()).translate(str.maketrans("-_", "+/")).rstrip("=")
        return pybase64.b64decode(tidied + "=" * (-len(tidied) % 4), validate=True)


def parse_text(text: str) -> Any:
    """`4` and `true` of an attribute, a query or a form as JSON has them, other text as it is."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, int | float | bool) else text


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "…"
