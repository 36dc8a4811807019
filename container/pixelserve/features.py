"""The feature registry: what the image can do by itself. A feature is a folder of a handler and an entry here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pixelserve import schema
from pixelserve.errors import NotFound
from pixelserve.handlers import find_handler
from pixelserve.media_types import JSON


@dataclass(frozen=True)
class Documented:
    """What AI Solution Kit's documents say of a feature: their front matter, word for word. "" is what none says."""

    feature_id: str
    feature_name: str
    feature_endpoint: str
    deployment_time: str
    destroy_time: str
    sample_image: str
    feature_description: str
    feature_scenario: str
    quotas: tuple[str, ...] = ()
    """What the account must allow, and how to ask for more by a support ticket."""


@dataclass(frozen=True)
class Feature:
    """One feature; texts in English and Chinese."""

    name: str
    short: str
    """Its name in paths of the gateway."""
    title: str
    description: str
    scenario: str
    """What it is for."""
    request: type[schema.Request]
    answer: str
    """Media type of the answer to an image."""
    documented: Documented

    @property
    def endpoint(self) -> str:
        """The endpoint's name: SageMaker allows hyphens, not underscores."""
        return self.name.replace("_", "-")

    @property
    def title_zh(self) -> str:
        return self.documented.feature_name

    @property
    def description_zh(self) -> str:
        return self.documented.feature_description


FEATURES = (
    Feature(
        name="image_super_resolution",
        short="super-resolution",
        title="Image super-resolution",
        description="Enlarges a picture 2 or 4 times and makes it sharper and richer in detail.",
        scenario="For pictures whose resolution is too low for their use.",
        request=schema.SuperResolutionRequest,
        answer="image/png",
        documented=Documented(
            feature_id="ImageSuperResolution",
            feature_name="图像超分辨率",
            feature_endpoint="image_super_resolution",
            deployment_time="25 分钟",
            destroy_time="20 分钟",
            sample_image="图像的URL地址",
            feature_description="可将图片智能放大2或4倍，从而获取清晰度更高、细节丰富的图像。",
            feature_scenario="可应用于等多种场景，解决原始图片分辨率不足的问题。",
            quotas=(
                "图像超分辨率API需要创建一个基于**Amazon SageMaker**的GPU类型实例。如果您AWS账户中对应实例限制不足，"
                "则会导致该功能部署异常。您可以在AWS管理控制台上方工具栏点击**支持中心**，创建支持工单，"
                "要求提高**Amazon SageMaker**服务的实例限额。具体步骤请参阅"
                "[请求提高配额](https://docs.aws.amazon.com/general/latest/gr/aws_service_limits.html)。",
                "方案中默认的**AWS Lambda**内存约为4GB（4096 MB），如果您AWS账户中AWS Lambda函数限制低于4096 MB，"
                "则会导致该部署异常。您可以在AWS管理控制台上方工具栏点击**支持中心**，创建支持工单，"
                "要求提高**AWS Lambda**服务的内存限额。具体步骤请参阅"
                "[请求提高配额](https://docs.aws.amazon.com/general/latest/gr/aws_service_limits.html)。",
            ),
        ),
    ),
    Feature(
        name="human_image_segmentation",
        short="segmentation",
        title="Human image segmentation",
        description="Tells the people in a picture from what is behind them: their alpha, or the people cut out.",
        scenario="For replaced or blurred backgrounds, retouching, identity photographs and cut-outs.",
        request=schema.SegmentationRequest,
        answer="image/png",
        documented=Documented(
            feature_id="HumanImageSegmentation",
            feature_name="智能人像分割",
            feature_endpoint="human_image_segmentation",
            deployment_time="10 分钟",
            destroy_time="5 分钟",
            sample_image="https://aikits.demo.solutions.aws.a2z.org.cn/img/seg-2.jpg",
            feature_description="基于 AI 深度学习框架可以识别图像中的人体轮廓，实现高精度分割，使之与背景进行分离。",
            feature_scenario="可应用于照片背景替换、后期处理、证件照制作，人像抠图美化、背景虚化等多种场景。",
        ),
    ),
    Feature(
        name="image_similarity",
        short="similarity",
        title="Image similarity",
        description="The vector of a picture, or how alike two are: finds copies, re-encoded, cropped or photographed.",
        scenario="For recognising goods and photographs of photographs, and for albums.",
        request=schema.SimilarityRequest,
        answer=JSON,
        documented=Documented(
            feature_id="",
            feature_name="图像相似度",
            feature_endpoint="",
            deployment_time="",
            destroy_time="10 分钟",
            sample_image="图像的URL地址",
            feature_description="比较两幅图片是否相似,通过图片特征向量计算余弦距离,并转化为置信度,"
            "根据置信度比较两张图片的相似性。",
            feature_scenario="可应用于商品识别,翻拍识别,智能相册等场景。",
        ),
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
