"""The feature registry: what the image can do by itself. A feature is a folder of a handler and an entry here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pixelserve import schema
from pixelserve.errors import NotFound
from pixelserve.handlers import find_handler
from pixelserve.media_types import JSON


@dataclass(frozen=True)
class Feature:
    """One feature; texts in English and Chinese (the Chinese ones are those of the AI Solution Kit's documents)."""

    name: str
    short: str
    """Its name in paths of the gateway."""
    title: str
    title_zh: str
    description: str
    description_zh: str
    request: type[schema.Request]
    answer: str
    """Media type of the answer to an image."""

    @property
    def endpoint(self) -> str:
        """The endpoint's name: SageMaker allows hyphens, not underscores."""
        return self.name.replace("_", "-")


FEATURES = (
    Feature(
        name="image_super_resolution",
        short="super-resolution",
        title="Image super-resolution",
        title_zh="图像超分辨率",
        description="Enlarges a picture 2 or 4 times and makes it sharper and richer in detail.",
        description_zh="可将图片智能放大2或4倍，从而获取清晰度更高、细节丰富的图像。",
        request=schema.SuperResolutionRequest,
        answer="image/png",
    ),
    Feature(
        name="human_image_segmentation",
        short="segmentation",
        title="Human image segmentation",
        title_zh="人像分割",
        description="Tells the people in a picture from what is behind them: their alpha, or the people cut out.",
        description_zh="识别图像中的人体轮廓,与背景进行分离,返回透明度图或抠出的人像。",
        request=schema.SegmentationRequest,
        answer="image/png",
    ),
    Feature(
        name="image_similarity",
        short="similarity",
        title="Image similarity",
        title_zh="图像相似度",
        description="The vector of a picture, or how alike two are: finds copies, re-encoded, cropped or photographed.",
        description_zh="返回图片的特征向量,或两张图片的相似度:可找出经重新编码、裁剪或翻拍的副本。",
        request=schema.SimilarityRequest,
        answer=JSON,
    ),
)


def find(name: str) -> Feature | None:
    """The feature of a name, spelt with underscores or hyphens, or of a short one; None when there is none."""
    return next((known for known in FEATURES if name in (known.name, known.endpoint, known.short)), None)


def feature(name: str) -> Feature:
    """The same. Raises NotFound listing those there are."""
    known = find(name)
    if known is not None:
        return known
    raise NotFound(f"There is no feature {name}. Features: {', '.join(f.name for f in FEATURES)}.")


def handler_folder(known: Feature) -> Path:
    """The folder with the feature's inference.py, in the installed package or the source tree. Raises NotFound."""
    return find_handler(known.name)
