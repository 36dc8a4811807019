"""Networks and what runs them. Knows no HTTP: `code/<feature>/inference.py` puts a model behind the contract."""

from typing import TYPE_CHECKING

from pixelserve.lazy import exports

if TYPE_CHECKING:
    from pixelserve.models.inputs import check_size
    from pixelserve.models.segmentation import Segmenter, cut_out
    from pixelserve.models.similarity import Embedder, cosine, normalized, poses
    from pixelserve.models.super_resolution import Upscaler
    from pixelserve.models.tuning import tune
    from pixelserve.models.tuning_files import check_tuning
    from pixelserve.models.weights import (
        TUNING_SUFFIX,
        PublishedFile,
        Weights,
        WeightsError,
        find_weights,
        manifest,
        verify,
    )
else:
    __getattr__ = exports(
        __name__,
        {
            ".inputs": "check_size",
            ".segmentation": "Segmenter cut_out",
            ".similarity": "Embedder cosine normalized poses",
            ".super_resolution": "Upscaler",
            ".tuning": "tune",
            ".tuning_files": "check_tuning",
            ".weights": "TUNING_SUFFIX PublishedFile Weights WeightsError find_weights manifest verify",
        },
    )

__all__ = [
    "TUNING_SUFFIX",
    "Embedder",
    "PublishedFile",
    "Segmenter",
    "Upscaler",
    "Weights",
    "WeightsError",
    "check_size",
    "check_tuning",
    "cosine",
    "cut_out",
    "find_weights",
    "manifest",
    "normalized",
    "poses",
    "tune",
    "verify",
]
