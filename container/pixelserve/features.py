"""The feature registry: what the image can do by itself. A feature is a folder of a handler and an entry here."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from pixelserve import schema
from pixelserve.errors import NotFound


@dataclass(frozen=True)
class Feature:
    """One feature; texts in English and Chinese (the Chinese ones are those of the AI Solution Kit's documents)."""

    name: str
    title: str
    title_zh: str
    description: str
    description_zh: str
    request: type[schema.Request]

    @property
    def endpoint(self) -> str:
        """The endpoint's name: SageMaker allows hyphens, not underscores."""
        return self.name.replace("_", "-")


FEATURES = (
    Feature(
        name="image_super_resolution",
        title="Image super-resolution",
        title_zh="图像超分辨率",
        description="Enlarges a picture 2 or 4 times and makes it sharper and richer in detail.",
        description_zh="可将图片智能放大2或4倍，从而获取清晰度更高、细节丰富的图像。",
        request=schema.SuperResolutionRequest,
    ),
)


def is_feature(name: str) -> bool:
    """Whether a feature has this name, spelt with underscores or hyphens."""
    return any(known.name == name.replace("-", "_") for known in FEATURES)


def feature(name: str) -> Feature:
    """The feature of a name, spelt with underscores or hyphens. Raises NotFound listing those there are."""
    for known in FEATURES:
        if name.replace("-", "_") == known.name:
            return known
    raise NotFound(f"There is no feature {name}. Features: {', '.join(f.name for f in FEATURES)}.")


def handler_folder(known: Feature) -> Path:
    """The folder with the feature's inference.py, in the installed package or the source tree. Raises NotFound."""
    spec = importlib.util.find_spec(f"pixelserve_handlers.{known.name}") if _has_handlers() else None
    places = [Path(place) for place in (spec.submodule_search_locations or [] if spec else [])]
    places.append(Path(__file__).parents[2] / "code" / known.name)
    for place in places:
        if (place / "inference.py").is_file():
            return place
    raise NotFound(f"The handler of {known.name} is not installed. Install pixelserve again.")


def _has_handlers() -> bool:
    return importlib.util.find_spec("pixelserve_handlers") is not None
