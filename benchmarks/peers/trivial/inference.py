"""The trivial handler: doubles a number, or gives bytes back."""

from typing import Any


def model_fn(model_dir: str) -> int:
    return 2


def predict_fn(data: Any, model: int) -> Any:
    return data if isinstance(data, bytes) else {"score": model * data["x"]}
