"""The one door to the features: a call, checked before anything is sent, made now or handed to a queue.

Dialects make a `Call` of what they parsed; jobs keep one as a body beside a few words. Nothing else builds a request to
an endpoint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import pybase64

from pixelserve import features
from pixelserve.errors import BadRequest, BodyTooLarge, NotAcceptable, NotFound, OutputTooLarge
from pixelserve.features import Feature
from pixelserve.imaging import check_input, plan_output, read_size
from pixelserve.media_types import JSON, MEDIA_TYPES, answer_type, content_type_of, essence, is_json
from pixelserve.observe import NO_TRACE, Trace
from pixelserve.schema import ImageRequest, SuperResolutionRequest, parse, parse_attributes, parse_json, read_base64
from pixelserve.settings import Settings
from pixelserve.settings import settings as container_settings
from pixelserve_gateway.functions import Functions
from pixelserve_gateway.runtime import Invocation, Runtime, Started
from pixelserve_gateway.settings import GatewaySettings

UNKNOWN_IMAGE = "image/*"
"""Of bytes whose first ones name no format: the container's decoder has the last word."""
_SAMPLE_BYTES = {"png": 0.3, "jpeg": 0.04, "webp": 0.02, "npy": 1.0}
"""Bytes of an enlarged photograph's file for each of its samples, about: PNG has 0.15 to 0.5 with our networks."""
_CHANNELS = 3
_IMAGE_FIELDS = ("url", "img", "url_1", "img_1", "url_2", "img_2")
_NO_FILES: Mapping[str, bytes] = {}
_A_FILE = "a file"
"""Stands in a request's field for bytes that are not in Base64."""


@dataclass(frozen=True)
class Call:
    """One feature applied to one image or two.

    `options` are the request's fields but for the images, those that were given; `images` hold bytes of image files, or
    URLs, which only the container fetches. `accept` is the answer's media type.
    """

    feature: Feature
    options: Mapping[str, Any]
    images: tuple[bytes | str, ...]
    accept: str = JSON

    @classmethod
    def from_fields(
        cls, feature: str, fields: Mapping[str, Any], accept: str = JSON, files: Mapping[str, bytes] = _NO_FILES
    ) -> Self:
        """A call of a JSON request's fields (`pixelserve.schema`), images in Base64 or as URLs, or in `files` by field.

        `accept` is an Accept header, of which the first type that can be answered is chosen.
        Raises BadRequest naming the field, NotFound for the feature, NotAcceptable for `accept`.
        """
        known = features.feature(feature)
        told = {name: _A_FILE if data else "" for name, data in files.items()}
        return cls._of_request(known, parse(_request_type(known), {**fields, **told}), accept, files)

    @classmethod
    def from_image(cls, feature: str, image: bytes, options: Mapping[str, Any], accept: str = JSON) -> Self:
        """A call about the bytes of an image file. Raises what `from_fields` raises."""
        known = features.feature(feature)
        request = parse(_request_type(known), dict(options))
        if any(getattr(request, name, None) for name in _IMAGE_FIELDS):
            raise BadRequest("The body is the image already. Leave url and img out.", param="url")
        if not image:
            raise BadRequest("The image is empty. Send the image file's bytes.", param="image")
        return cls(known, _options(request), (image,), _chosen_type(known, accept, UNKNOWN_IMAGE, request))

    @classmethod
    def from_body(cls, feature: str, body: bytes, content_type: str, attributes: str = "", accept: str = JSON) -> Self:
        """A call of what an endpoint would be sent: JSON, or an image file with options as custom attributes.

        So `from_body(call.feature.name, call.body, call.content_type, call.attributes, call.accept) == call`.
        Raises what `from_fields` raises.
        """
        known = features.feature(feature)
        if is_json(content_type):
            return cls._of_request(known, parse_json(_request_type(known), body), accept, _NO_FILES)
        return cls.from_image(feature, body, _options(parse_attributes(_request_type(known), attributes)), accept)

    @classmethod
    def load(cls, kept: Mapping[str, str], body: bytes) -> Self:
        """The call of what `dump` gave, and its body. Raises what `from_body` raises."""
        return cls.from_body(kept["feature"], body, kept["content_type"], kept["attributes"], kept["accept"])

    def dump(self) -> dict[str, str]:
        """All but the body, as a job store keeps it: feature, content_type, attributes, accept."""
        return {
            "feature": self.feature.name,
            "content_type": self.content_type,
            "attributes": self.attributes,
            "accept": self.accept,
        }

    @classmethod
    def _of_request(cls, feature: Feature, request: ImageRequest, accept: str, files: Mapping[str, bytes]) -> Self:
        images = _read_images(request, files)
        return cls(feature, _options(request), images, _chosen_type(feature, accept, JSON, request))

    @property
    def is_raw(self) -> bool:
        """Whether the body is the image file itself, its options in `attributes`."""
        return len(self.images) == 1 and isinstance(self.images[0], bytes)

    @property
    def content_type(self) -> str:
        if not self.is_raw:
            return JSON
        told = content_type_of(self.body)
        return told if told.startswith("image/") else UNKNOWN_IMAGE

    @property
    def attributes(self) -> str:
        """The options as X-Amzn-SageMaker-Custom-Attributes, "" where the body holds them."""
        return ";".join(f"{name}={_attribute(value)}" for name, value in self.options.items()) if self.is_raw else ""

    @cached_property
    def body(self) -> bytes:
        """What the endpoint is sent, and what lies in InputLocation of an asynchronous invocation."""
        first = self.images[0]
        if self.is_raw and isinstance(first, bytes):
            return first
        suffixes = ("",) if len(self.images) == 1 else ("_1", "_2")
        fields = dict(self.options)
        for suffix, image in zip(suffixes, self.images, strict=True):
            if isinstance(image, bytes):
                fields[f"img{suffix}"] = pybase64.b64encode_as_string(image)
            else:
                fields[f"url{suffix}"] = image
        return json.dumps(fields).encode()


@dataclass(frozen=True)
class Result:
    """A feature's answer. `attributes` are the endpoint's own: `width=1200;height=800;network=x2`."""

    body: bytes
    media_type: str
    attributes: str = ""


class Calls:
    """Calls to the endpoints and functions of `settings`. `limits` are those that these have."""

    def __init__(
        self,
        runtime: Runtime,
        settings: GatewaySettings,
        limits: Settings | None = None,
        *,
        functions: Functions | None = None,
    ) -> None:
        self._runtime = runtime
        self._functions = functions
        self._settings = settings
        self._limits = limits or container_settings()

    @property
    def most_bytes(self) -> int:
        """Of a request that an endpoint takes."""
        return self._limits.max_body_bytes

    @property
    def served(self) -> tuple[Feature, ...]:
        """The features that have an endpoint or a function, in the registry's order."""
        return tuple(known for known in features.FEATURES if self._settings.serves(known))

    def is_asynchronous(self, feature: Feature) -> bool:
        """Whether the feature has an asynchronous endpoint, so that `start` works."""
        return self._settings.async_endpoint(feature) is not None

    def check(self, call: Call, *, as_job: bool = False) -> None:
        """Raises what can be said before anything is sent.

        NotFound for a job without an endpoint; ImageTooLarge or OutputTooLarge for pictures, OutputTooLarge for a
        predicted answer that cannot be passed on, but for that of a job, which is stored; BodyTooLarge for a request
        that an endpoint does not take. Images at URLs are the container's to check.
        """
        if as_job and not self.is_asynchronous(call.feature):
            self._find(call.feature)
        self.check_size(len(call.body))
        for image in call.images:
            size = read_size(image) if isinstance(image, bytes) else None
            if size is not None:
                check_input(*size, self._limits)
                self._check_answer(call, *size, as_job)

    def check_size(self, size: int) -> None:
        """Raises BodyTooLarge for more bytes than an endpoint takes."""
        if size > self.most_bytes:
            raise BodyTooLarge(
                f"The request would have {size:,} bytes; an endpoint takes {self.most_bytes:,}. Shrink the image, or "
                "send its URL."
            )

    def fit(self, call: Call) -> Call:
        """The call of a picture as a job: as it is, or with a JPEG where what it accepts could not be passed on.

        Raises what `check` raises.
        """
        if self.is_asynchronous(call.feature):
            return call
        try:
            self.check(call)
        except OutputTooLarge as error:
            if error.param != "format":
                raise
            call = replace(call, accept=MEDIA_TYPES["jpeg"])
            self.check(call)
        return call

    def _check_answer(self, call: Call, width: int, height: int, as_job: bool) -> None:
        """Raises OutputTooLarge for an enlarged picture that has too many pixels, or whose file becomes too large."""
        if call.feature.request is not SuperResolutionRequest:
            return
        request = SuperResolutionRequest.model_validate(call.options)
        plan = plan_output(width, height, request.scale, request.target, self._limits)
        chosen = next((name for name, kind in MEDIA_TYPES.items() if kind == call.accept), request.format)
        predicted = plan.width * plan.height * _CHANNELS * _SAMPLE_BYTES[chosen]
        if call.accept == JSON:
            predicted = predicted * 4 / 3
        if predicted > self._settings.max_answer_bytes and not as_job:
            raise OutputTooLarge(
                f"The answer would have {plan.width} x {plan.height} pixels, about {predicted / 1e6:.1f} MB; "
                f"{self._settings.max_answer_bytes / 1e6:g} MB can be answered. Ask for format jpeg or webp, "
                "accept image/jpeg, or make it a job, whose result is a link.",
                param="format",
            )

    async def invoke(self, call: Call, *, request_id: str = "", trace: Trace = NO_TRACE) -> Result:
        """The answer, now. Raises what `check` raises, the container's own errors, Unavailable, DeadlineExceeded."""
        self.check(call)
        service, name = self._find(call.feature)
        answer = await service.invoke(name, _invocation(call, request_id, trace), call.body)
        if len(answer.body) > self._settings.max_answer_bytes:
            raise OutputTooLarge(
                f"The answer has {len(answer.body):,} bytes; {self._settings.max_answer_bytes:,} can be answered. Ask "
                "for format jpeg or webp, or make it a job, whose result is a link.",
                param="format",
            )
        return Result(answer.body, answer.media_type, answer.attributes)

    async def start(self, call: Call, inference_id: str, *, input_url: str, trace: Trace = NO_TRACE) -> Started:
        """Hands the call to the feature's asynchronous endpoint; `Started` says where output and failure will be.

        `input_url` is where `call.body` lies (s3:// or file://); `inference_id` has up to 64 visible ASCII characters.
        Raises what `check` raises for a job, NotFound without such an endpoint, Unavailable.
        """
        self.check(call, as_job=True)
        endpoint = self._settings.async_endpoint(call.feature)
        if endpoint is None:
            raise NotFound(f"{call.feature.title} has no asynchronous endpoint here.")
        return await self._runtime.invoke_async(endpoint, _invocation(call, inference_id, trace), input_url)

    async def look(self, inference_id: str) -> float | None:
        """How far a started call is, from 0 to 1, where the local runtime knows; None where nobody tells."""
        progress = await self._runtime.look(inference_id)
        if progress is None:
            return None
        return {"queued": 0.0, "running": progress.fraction}.get(progress.state, 1.0)

    def _find(self, feature: Feature) -> tuple[Runtime | Functions, str]:
        """Whom to call for the feature, and by which name. Raises NotFound."""
        function, endpoint = self._settings.function(feature), self._settings.endpoint(feature)
        if function is not None and self._functions is not None:
            return self._functions, function
        if endpoint is None:
            raise NotFound(f"{feature.title} has no endpoint here. Features: {', '.join(f.name for f in self.served)}.")
        return self._runtime, endpoint


def _invocation(call: Call, inference_id: str, trace: Trace) -> Invocation:
    return Invocation(call.content_type, call.accept, call.attributes, inference_id, trace)


def _request_type(feature: Feature) -> type[ImageRequest]:
    assert issubclass(feature.request, ImageRequest)
    return feature.request


def _options(request: ImageRequest) -> dict[str, Any]:
    return request.model_dump(include=request.model_fields_set.difference(_IMAGE_FIELDS), exclude_none=True)


def _read_images(request: ImageRequest, files: Mapping[str, bytes]) -> tuple[bytes | str, ...]:
    """The request's images. Raises BadRequest for none, two in one place, or what is no Base64."""
    suffixes = ("_1", "_2") if getattr(request, "is_pair", False) else ("",)
    return tuple(_read_image(request, suffix, files) for suffix in suffixes)


def _read_image(request: ImageRequest, suffix: str, files: Mapping[str, bytes]) -> bytes | str:
    url, img = getattr(request, f"url{suffix}"), getattr(request, f"img{suffix}")
    if url is not None and img is not None:
        raise BadRequest(f"url{suffix} and img{suffix} are both given: give one of them.", param=f"img{suffix}")
    if url is not None:
        return str(url)
    if img is None:
        raise BadRequest("No image is given. Give its address as url, or its bytes in Base64 as img.", param="url")
    return files.get(f"img{suffix}") or read_base64(img, f"img{suffix}")


def _chosen_type(feature: Feature, accept: str, content_type: str, request: ImageRequest) -> str:
    """The media type of the answer. Raises NotAcceptable."""
    if feature.answer != JSON:
        return answer_type(accept, content_type, MEDIA_TYPES[getattr(request, "format", "png")])
    if any(essence(kind) in (JSON, "*/*", "application/*", "") for kind in accept.split(",")):
        return JSON
    raise NotAcceptable(f"Accept {accept} cannot be answered. Accept {JSON}.")


def _attribute(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)
