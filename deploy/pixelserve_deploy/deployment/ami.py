"""`InferenceAmiVersion`: which driver and CUDA an instance brings, and which of them an image needs.

Versions are those of botocore's service model (CreateEndpointConfig), drivers those of NVIDIA's table of CUDA releases.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Ami:
    """A machine image for instances with GPUs."""

    version: str
    driver: int
    cuda: int
    """Major version."""


AMIS = {
    ami.version: ami
    for ami in (
        Ami("al2-ami-sagemaker-inference-gpu-2", 535, 12),
        Ami("al2-ami-sagemaker-inference-gpu-2-1", 535, 12),
        Ami("al2-ami-sagemaker-inference-gpu-3-1", 550, 12),
        Ami("al2023-ami-sagemaker-inference-gpu-4-1", 580, 13),
    )
}
DEFAULT = "al2-ami-sagemaker-inference-gpu-3-1"
"""For our CUDA 12 images."""
_BY_CUDA = {12: DEFAULT, 13: "al2023-ami-sagemaker-inference-gpu-4-1"}


def choose_ami(cuda: str | None) -> str:
    """The version for an image of this CUDA; the default where that is not known or has none of its own."""
    return _BY_CUDA.get(read_major(cuda), DEFAULT) if cuda else DEFAULT


def read_major(cuda: str | None) -> int:
    """12 of `12.8`; 0 of what is no version."""
    major = (cuda or "").partition(".")[0]
    return int(major) if major.isdecimal() else 0
