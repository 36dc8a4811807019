"""Every environment variable the container reads, as one frozen object.

SageMaker's own names are honoured where it has one; ours start with PIXELSERVE_. `docs/environment.md` is generated
from this file (`python -m pixelserve.settings`), and a test holds the two together.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pixelserve.errors import PixelserveError
from pixelserve.handlers import find_handler

BATCH_SECONDS = 600.0
"""What batch transform gives an invocation by default."""


OTHER_TIMEOUTS = {"SAGEMAKER_TS_RESPONSE_TIMEOUT": 1.0, "SAGEMAKER_MODEL_SERVER_TIMEOUT": 60.0}
"""Other names of the time-out, and the seconds of their units."""


class SettingsError(PixelserveError):
    """A variable holds something that cannot be used; the message names the variable and what fits."""

    code = "settings"


def variable(
    env: str, default: Any, text: str, *, least: float = 0, most: float = math.inf, choices: tuple[str, ...] = ()
) -> Any:
    """A field of a settings class: the variable it is read from, what it means, and what fits."""
    limits = {"least": least, "most": most, "choices": choices}
    return dataclasses.field(default=default, metadata={"env": env, "text": text, **limits})


@dataclass(frozen=True)
class Settings:
    """Read once at start with `Settings.from_env`; sizes are bytes or pixels, times are seconds."""

    host: str = variable(
        "PIXELSERVE_HOST",
        "127.0.0.1",
        "Address to listen on, or unix:PATH, or fd:NUMBER of an inherited socket. The image sets 0.0.0.0.",
    )
    port: int = variable(
        "SAGEMAKER_BIND_TO_PORT", 8080, "Port to listen on; the only port that is opened.", most=65_535
    )
    feature: str = variable(
        "PIXELSERVE_FEATURE",
        "image_super_resolution",
        "The feature to serve when the model brings no handler of its own, or the folder of a handler in the image.",
    )
    backend: str = variable(
        "PIXELSERVE_BACKEND",
        "native",
        "native: our own server. mms: sagemaker-inference and multi-model-server, on Java.",
        choices=("native", "mms"),
    )
    multi_model: bool = variable(
        "SAGEMAKER_MULTI_MODEL", False, "Serve the models that `POST /models` names, instead of one (native only)."
    )
    models_dir: str = variable("PIXELSERVE_MODELS_DIR", "/opt/ml/models", "Folder below which those models lie.")
    model_dir: str = variable(
        "SM_MODEL_DIR", "/opt/ml/model", "Folder of the model; handed to `model_fn`, never written to."
    )
    image_weights: str = variable(
        "PIXELSERVE_IMAGE_WEIGHTS",
        "",
        "Folder of weights that the image brings, handed to `model_fn` while the model folder is empty.",
    )
    submit_directory: str = variable(
        "SAGEMAKER_SUBMIT_DIRECTORY", "", "Folder of the handler. Empty: `code/` in the model folder, if it is there."
    )
    program: str = variable("SAGEMAKER_PROGRAM", "inference.py", "File of the handler inside that folder.")
    default_accept: str = variable(
        "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT",
        "application/json",
        "What an absent Accept, or `*/*`, means to a handler without `PIPELINE = True`.",
    )
    allow_torchscript: bool = variable(
        "PIXELSERVE_ALLOW_TORCHSCRIPT",
        True,
        "Load the model's one TorchScript file, which is code, for a handler that defines no `model_fn`.",
    )
    install_requirements: bool = variable(
        "PIXELSERVE_INSTALL_REQUIREMENTS",
        False,
        "Install the handler's `requirements.txt` before loading it. Off: its presence is only logged.",
    )
    workers: int = variable(
        "SAGEMAKER_MODEL_SERVER_WORKERS",
        0,
        "Worker processes, each with a copy of the model. 0: one per GPU, one on CPU.",
    )
    gpus: int = variable("SM_NUM_GPUS", 0, "Number of GPUs; worker i uses GPU i modulo this. 0: all there are.")
    timeout: float = variable(
        "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS",
        60.0,
        "Seconds from the whole request read to its answer; then 504. Without it `SAGEMAKER_TS_RESPONSE_TIMEOUT` "
        "counts, in seconds, or `SAGEMAKER_MODEL_SERVER_TIMEOUT`, in minutes, as in SageMaker's toolkits.",
        least=0.1,
        most=86_400,
    )
    batch: bool = variable(
        "SAGEMAKER_BATCH", False, "Set by batch transform; the time-out is 600 seconds then, unless it is set."
    )
    batch_strategy: str = variable(
        "SAGEMAKER_BATCH_STRATEGY",
        "SINGLE_RECORD",
        "SINGLE_RECORD or MULTI_RECORD: what `/execution-parameters` asks batch transform for.",
        choices=("SINGLE_RECORD", "MULTI_RECORD"),
    )
    max_concurrent_transforms: int = variable(
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS",
        0,
        "Requests that batch transform may send at once. 0: twice the cores, at most 100 MB of payloads.",
    )
    drain_seconds: float = variable(
        "PIXELSERVE_DRAIN_SECONDS",
        25.0,
        "Seconds given to work in flight after SIGTERM (SageMaker kills after 30).",
        most=86_400,
    )
    silence_seconds: float = variable(
        "PIXELSERVE_SILENCE_SECONDS",
        30.0,
        "A request's head must arrive within this, and its body at the least rate after it; else 408. An answer that "
        "is not read at that rate is cut off.",
        least=0.1,
        most=3_600,
    )
    arrival_rate: int = variable(
        "PIXELSERVE_ARRIVAL_RATE",
        32_000,
        "Bytes a second at which callers must send bodies, and read answers, after the seconds that all have.",
        least=1,
    )
    keep_alive_seconds: int = variable(
        "PIXELSERVE_KEEP_ALIVE_SECONDS",
        75,
        "Seconds that an idle connection is kept; longer than HTTP clients and proxies do, so that they close first.",
        least=1,
        most=3_600,
    )
    log_level: int = variable(
        "SAGEMAKER_CONTAINER_LOG_LEVEL", 20, "Python logging level, as a number: 10 debug … 40 error."
    )
    queue_length: int = variable(
        "PIXELSERVE_QUEUE_LENGTH", 64, "Most requests one worker holds, waiting or in work; more answer 429.", least=1
    )
    batch_size: int = variable(
        "PIXELSERVE_BATCH_SIZE",
        8,
        "Most requests handed to `predict_batch_fn` at once; no request waits for others.",
        least=1,
    )
    codec_threads: int = variable(
        "PIXELSERVE_CODEC_THREADS", 0, "Threads for `input_fn` and `output_fn` in each worker. 0: cores, at most 8."
    )
    compute_threads: int = variable(
        "PIXELSERVE_COMPUTE_THREADS", 0, "Threads of the network on CPU in each worker. 0: cores / workers."
    )
    device: str = variable(
        "PIXELSERVE_DEVICE",
        "auto",
        "auto, cpu or cuda. auto: a GPU where there is one. cuda: without one the server is unhealthy, and says why; "
        "images for GPUs set it.",
        choices=("auto", "cpu", "cuda"),
    )
    dtype: str = variable(
        "PIXELSERVE_DTYPE",
        "auto",
        "auto, float32, bfloat16 or float16. auto: a reduced one if the device has it and it is near to float32.",
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    runtime: str = variable(
        "PIXELSERVE_RUNTIME",
        "auto",
        "auto, torch or openvino: what runs super-resolution networks. auto: as tuned, else openvino where installed.",
        choices=("auto", "torch", "openvino"),
    )
    tile: int = variable(
        "PIXELSERVE_TILE", 0, "Edge of a tile in input pixels. 0: as tuned, else 512 (RRDBNet: 256), within memory."
    )
    max_body_bytes: int = variable("PIXELSERVE_MAX_BODY_BYTES", 25_000_000, "Largest request body; more is 413.")
    max_pixels_in: int = variable("PIXELSERVE_MAX_PIXELS_IN", 50_000_000, "Most pixels of an input image; more is 413.")
    max_edge: int = variable("PIXELSERVE_MAX_EDGE", 16_384, "Longest edge of an input image in pixels; more is 413.")
    max_pixels_out: int = variable("PIXELSERVE_MAX_PIXELS_OUT", 200_000_000, "Most pixels of an answer; more is 413.")
    max_decode_ratio: int = variable(
        "PIXELSERVE_MAX_DECODE_RATIO",
        2_000,
        "Most decoded bytes per encoded byte, for images that decode to more than 128 MiB; more is a decompression "
        "bomb: 413.",
    )
    fetch: bool = variable(
        "PIXELSERVE_FETCH", True, "Fetch the URLs of requests. Off: they are refused, as an isolated container needs."
    )
    fetch_max_bytes: int = variable(
        "PIXELSERVE_FETCH_MAX_BYTES", 20_000_000, "Largest file fetched from a URL; more is 413."
    )
    fetch_timeout: float = variable(
        "PIXELSERVE_FETCH_TIMEOUT", 10.0, "Seconds for one fetch with all its redirects.", least=0.1, most=3_600
    )
    fetch_redirects: int = variable("PIXELSERVE_FETCH_REDIRECTS", 5, "Most redirects followed; each is checked anew.")
    fetch_allow_private: bool = variable(
        "PIXELSERVE_FETCH_ALLOW_PRIVATE", False, "Allow URLs of private and loopback addresses (tests, VPC use)."
    )
    s3_buckets: tuple[str, ...] = variable(
        "PIXELSERVE_S3_BUCKETS", (), "Buckets that `s3://` URLs may name, separated by commas. Empty: none."
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Reads `environ` (default: the process's). Raises SettingsError naming the variable that does not fit."""
        env = os.environ if environ is None else environ
        values = read_variables(cls, env)
        megabytes = _parse("SAGEMAKER_MAX_PAYLOAD_IN_MB", env.get("SAGEMAKER_MAX_PAYLOAD_IN_MB") or "0", 0)
        if megabytes:  # set by batch transform, where 0 means no limit of its own
            values["max_body_bytes"] = 1_000_000 * megabytes
        values |= _other_timeouts(env, values)
        if values.get("batch"):
            values.setdefault("timeout", BATCH_SECONDS)
        return cls(**values)

    def model_folder(self) -> str:
        """What model_fn gets: the model folder, or the image's own weights where that is empty or absent."""
        has_own = not self.image_weights or _has_files(self.model_dir) or not _has_files(self.image_weights)
        return self.model_dir if has_own else self.image_weights

    def handler_folder(self) -> Path:
        """Where PIXELSERVE_FEATURE's handler lies: the folder it names, or the one of that name that came with us.

        Raises NotFound.
        """
        return Path(self.feature) if "/" in self.feature else find_handler(self.feature)


def read_variables(cls: type[Any], env: Mapping[str, str]) -> dict[str, Any]:
    """Of a dataclass of `variable`s the values that `env` sets. Raises SettingsError for one that does not fit."""
    return {
        field.name: _checked(field.metadata, _parse(field.metadata["env"], env[field.metadata["env"]], field.default))
        for field in dataclasses.fields(cls)
        if env.get(field.metadata["env"], "") != ""
    }


def _other_timeouts(env: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, float]:
    """The time-out as SageMaker's toolkits take it where SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS is not set.

    The PyTorch one counts in seconds for TorchServe, sagemaker-inference in minutes for multi-model-server.
    """
    if "timeout" in values:
        return {}
    field = next(field for field in dataclasses.fields(Settings) if field.name == "timeout")
    for name, unit in OTHER_TIMEOUTS.items():
        if env.get(name):
            given = unit * float(_parse(name, env[name], 0.0))
            return {"timeout": _checked({**field.metadata, "env": name}, min(given, field.metadata["most"]))}
    return {}


def _has_files(folder: str) -> bool:
    return Path(folder).is_dir() and any(Path(folder).iterdir())


def _parse(name: str, text: str, default: Any) -> Any:
    """The text as the type of the default."""
    if isinstance(default, bool):
        if text.lower() not in ("true", "1", "yes", "false", "0", "no"):
            raise SettingsError(f"{name} is {text!r}: write true or false.")
        return text.lower() in ("true", "1", "yes")
    if isinstance(default, tuple):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if isinstance(default, int | float):
        try:
            return type(default)(text)
        except ValueError as error:
            raise SettingsError(f"{name} is {text!r}: write a number such as {default}.") from error
    return text


def _checked(limits: Mapping[str, Any], value: Any) -> Any:
    """The value. Raises SettingsError when it is outside the limits of its field."""
    name, least, most, choices = (limits[key] for key in ("env", "least", "most", "choices"))
    if choices and value not in choices:
        raise SettingsError(f"{name} is {value!r}: write one of {', '.join(choices)}.")
    if isinstance(value, int | float) and not least <= value <= most:
        upper = "or more" if most == math.inf else f"to {most:,}"
        raise SettingsError(f"{name} is {value}: write a number of {least:g} {upper}.")
    return value


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read at the first call."""
    return Settings.from_env()


def as_markdown(cls: type[Any] = Settings) -> str:
    """The table of a dataclass of `variable`s: variable, default, meaning. docs/environment.md has that of Settings."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for field in dataclasses.fields(cls):
        default = ", ".join(field.default) if isinstance(field.default, tuple) else str(field.default)
        lines.append(f"| `{field.metadata['env']}` | `{default}` | {field.metadata['text']} |".replace("``", ""))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(as_markdown(), end="")
