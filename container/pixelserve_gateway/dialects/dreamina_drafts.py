"""Drafts of the Dreamina API: which ability is asked for, of which image, to which target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pixelserve.errors import BadRequest
from pixelserve.schema import TARGET_PIXELS, read_object

STORE = "tos-cn-i-pixelserve"
"""An image's URI is this, a slash, and the id of the upload or of the job that made it."""
_ENLARGING = ("super_resolution", "pro_hd", "normal_hd")
CUTOUT = "cutout"
_TARGET = "2k"


@dataclass(frozen=True)
class Draft:
    """What a draft asks for: an ability, the URI or id of its input, and for an enlargement the target."""

    ability: str
    image: str
    target: str


def read_draft(text: Any) -> Draft:
    """The main component of a draft. Raises BadRequest saying what is served."""
    if not isinstance(text, str):
        raise BadRequest("draft_content must be a string that holds JSON.", param="draft_content")
    draft = read_object(text.strip().encode(errors="replace") or b"{}", "draft_content")
    components = [part for part in as_list(draft.get("component_list")) if isinstance(part, dict)]
    main = draft.get("main_component_id")
    component = next((part for part in components if str(part.get("id")) == str(main)), None)
    if component is None:
        raise BadRequest("No component has the id main_component_id.", param="main_component_id")
    abilities = _dict(component.get("abilities"))
    ability = next((name for name in (*_ENLARGING, CUTOUT) if name in abilities), None)
    if ability is None:
        served = ", ".join((*_ENLARGING, CUTOUT))
        raise BadRequest(f"The main component has no ability that is served here. Served: {served}.", param="abilities")
    wanted = _dict(abilities[ability])
    large = _dict(_dict(wanted.get("core_param")).get("large_image_info"))
    target = str(wanted.get("resolution_type") or large.get("resolution_type") or _TARGET).lower()
    if ability != CUTOUT and target not in TARGET_PIXELS:
        raise BadRequest(f"resolution_type {target[:40]!r} is not served: ask for 2k or 4k.", param="resolution_type")
    return Draft(ability, _read_image(wanted), target)


def _read_image(ability: Mapping[str, Any]) -> str:
    """URI or id of the input, the first that there is. Raises BadRequest."""
    edit = _dict(ability.get("postedit_param"))
    places = (
        _dict(ability.get("init_image")).get("image_uri"),
        _dict(edit.get("origin_image")).get("image_uri"),
        edit.get("item_id"),
        ability.get("item_id"),
    )
    image = next((place for place in places if place and isinstance(place, str | int)), None)
    if image is None:
        raise BadRequest("The ability names no image. Upload one, and send its URI as image_uri.", param="image_uri")
    return str(image)


def image_id(uri: str) -> str:
    """The id of an upload or a job that a URI, or an id as it is, names."""
    return uri.removeprefix(f"{STORE}/")


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """The value, [] for what is no list."""
    return value if isinstance(value, list) else []
