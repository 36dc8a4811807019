"""The service's checks of an invocation's headers, and what of them a container gets.

Lengths and patterns are those of botocore's model of the SageMaker Runtime. An endpoint here has one variant, with one
model in one container; what names any other is refused, as such an endpoint on AWS refuses it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pixelserve.local.faults import ValidationError
from pixelserve.wire import ATTRIBUTES, INFERENCE_ID, Headers

VARIANT = "AllTraffic"
PREFIX = b"x-amzn-sagemaker-"
_LONGEST = 1024
_LONGEST_ID = 64
_VISIBLE = re.compile(rb"[ -~]*")
_ABSENT = {
    b"target-model": ("TargetModel", "is not a multi-model endpoint"),
    b"target-container-hostname": ("TargetContainerHostname", "has one container"),
    b"inference-component": ("InferenceComponentName", "has no inference components"),
    b"enable-explanations": ("EnableExplanations", "has no explainer"),
    b"session-id": ("SessionId", "has no stateful sessions"),
}
"""What an endpoint here has not, and the member that asks for it."""
_NAMES = {b"content-type": "ContentType", b"accept": "Accept", ATTRIBUTES.encode(): "CustomAttributes"}
"""Of the headers that a container gets; the members that they are."""

Given = dict[bytes, bytes]
"""A request's headers, their names in lower case."""


def passed_on(endpoint: str, given: Given, prefixed: Iterable[bytes] = ()) -> Headers:
    """The headers that the container gets. Raises ValidationError for what the service would not take.

    Those in `prefixed` are given as X-Amzn-SageMaker-…, in the operations that do so.
    """
    _refuse_absent(endpoint, given)
    headers: Headers = []
    for name, member in _NAMES.items():
        value = given.get(PREFIX + name if name in prefixed else name, b"").strip()
        if value:
            headers.append((name, _checked(member, value)))
    identifier = given.get(INFERENCE_ID.encode(), b"").strip()
    if identifier:
        if len(identifier) > _LONGEST_ID:
            raise ValidationError(f"InferenceId is longer than {_LONGEST_ID} characters. Shorten it.")
        headers.append((INFERENCE_ID.encode(), _checked("InferenceId", identifier)))
    return headers


def matched(given: Given, member: str, longest: int, pattern: re.Pattern[str]) -> str:
    """The member in a header that is called like it, "" where there is none. Raises ValidationError."""
    text = given.get(PREFIX + member.lower().encode(), b"").decode("latin-1").strip()
    if text and (len(text) > longest or not pattern.fullmatch(text)):
        raise ValidationError(
            f"{member} {text[:longest]!r} is no value of up to {longest} characters that match "
            f"{pattern.pattern}. Change it."
        )
    return text


def _checked(member: str, value: bytes) -> bytes:
    if len(value) > _LONGEST:
        raise ValidationError(f"{member} is longer than {_LONGEST:,} characters. Shorten it.")
    if not _VISIBLE.fullmatch(value):
        raise ValidationError(f"{member} holds something else than visible ASCII characters. Leave that out.")
    return value


def _refuse_absent(endpoint: str, given: Given) -> None:
    for header, (member, lack) in _ABSENT.items():
        if given.get(PREFIX + header):
            raise ValidationError(f"{member} is given, but endpoint {endpoint} {lack}. Leave it out.")
    variant = given.get(PREFIX + b"target-variant", b"").strip()
    if variant and variant != VARIANT.encode():
        shown = variant[:63].decode("latin-1")
        raise ValidationError(f"Variant {shown} not found for endpoint {endpoint}. Its only variant is {VARIANT}.")
