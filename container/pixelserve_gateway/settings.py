"""Every environment variable of the gateway, in the manner of `pixelserve.settings`, whose limits it shares."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from pixelserve import features
from pixelserve.features import Feature
from pixelserve.settings import SettingsError, read_variables, variable


@dataclass(frozen=True)
class GatewaySettings:
    """Read once at start with `GatewaySettings.from_env`; sizes are bytes, times are seconds."""

    host: str = variable("PIXELSERVE_GATEWAY_HOST", "127.0.0.1", "Address to listen on, or fd:NUMBER of a socket.")
    port: int = variable("PIXELSERVE_GATEWAY_PORT", 8100, "Port to listen on.", most=65_535)
    runtime: str = variable(
        "PIXELSERVE_GATEWAY_RUNTIME",
        "",
        "Address of a SageMaker Runtime without signatures, such as that of `pixelserve up`. Empty: AWS.",
    )
    region: str = variable("AWS_REGION", "us-east-1", "The endpoints' region on AWS.")
    endpoints: tuple[str, ...] = variable(
        "PIXELSERVE_GATEWAY_ENDPOINTS",
        (),
        "Real-time endpoints, FEATURE=NAME separated by commas; FEATURE= for one that has none. Empty: each feature's, "
        "under its own name.",
    )
    async_endpoints: tuple[str, ...] = variable(
        "PIXELSERVE_GATEWAY_ASYNC_ENDPOINTS",
        (),
        "Asynchronous endpoints, FEATURE=NAME separated by commas. Empty: none.",
    )
    functions: tuple[str, ...] = variable(
        "PIXELSERVE_GATEWAY_FUNCTIONS",
        (),
        "AWS Lambda functions of the image's target `lambda`, FEATURE=NAME separated by commas. They go before "
        "endpoints. Empty: none.",
    )
    max_body_bytes: int = variable(
        "PIXELSERVE_GATEWAY_MAX_BODY_BYTES",
        34_000_000,
        "Largest request body; more is 413. An image in Base64 takes a third more than PIXELSERVE_MAX_BODY_BYTES.",
        least=1,
    )
    max_answer_bytes: int = variable(
        "PIXELSERVE_GATEWAY_MAX_ANSWER_BYTES",
        25_000_000,
        "Largest answer that is passed on; what would be larger is 413. On Lambda at most 4,400,000.",
        least=1,
    )
    arrival_seconds: float = variable(
        "PIXELSERVE_GATEWAY_ARRIVAL_SECONDS",
        20.0,
        "A request's head must arrive within this, and its body at the least rate after it; else 408.",
        least=0.1,
        most=3_600,
    )
    arrival_rate: int = variable(
        "PIXELSERVE_GATEWAY_ARRIVAL_RATE",
        32_000,
        "Bytes a second at which callers must send bodies, and read answers, after the seconds that all have.",
        least=1,
    )
    body_room: int = variable(
        "PIXELSERVE_GATEWAY_BODY_ROOM",
        256_000_000,
        "Bytes of all bodies held at once, as far as they have arrived; beyond it the slowest gets 503. As many of "
        "answers wait for slow readers, and a quarter of it is for images that requests name.",
        least=1,
    )
    connections: int = variable(
        "PIXELSERVE_GATEWAY_CONNECTIONS",
        1_000,
        "Most connections at once, or a third of the open files that the system allows; more get 503.",
        least=1,
    )
    cors_origins: tuple[str, ...] = variable(
        "PIXELSERVE_GATEWAY_CORS_ORIGINS", ("*",), "Origins of web pages that may call, separated by commas."
    )
    state: str = variable(
        "PIXELSERVE_GATEWAY_STATE", "~/.pixelserve/gateway", "Folder of jobs, keys and results; not on a network disk."
    )
    table: str = variable(
        "PIXELSERVE_GATEWAY_TABLE", "", "DynamoDB table of jobs and keys. Empty: an SQLite file in the state folder."
    )
    results: str = variable(
        "PIXELSERVE_GATEWAY_RESULTS",
        "",
        "Place of jobs' inputs and results, a folder or s3://BUCKET/PREFIX. Empty: `results` in the state folder. "
        "Asynchronous endpoints must be able to read it.",
    )
    async_outputs: str = variable(
        "PIXELSERVE_GATEWAY_ASYNC_OUTPUTS", "", "Place where asynchronous endpoints leave outputs and failures."
    )
    queue: str = variable(
        "PIXELSERVE_GATEWAY_QUEUE",
        "",
        "URL of the SQS queue that tells of asynchronous outputs. Empty: they are only looked for, every 0.5 to 2 s.",
    )
    job_seconds: float = variable(
        "PIXELSERVE_GATEWAY_JOB_SECONDS", 21_600.0, "An unfinished job expires after this.", least=1
    )
    max_result_bytes: int = variable(
        "PIXELSERVE_GATEWAY_MAX_RESULT_BYTES", 256_000_000, "Largest result of a job that is kept.", least=1
    )
    kept_seconds: float = variable(
        "PIXELSERVE_GATEWAY_KEPT_SECONDS", 86_400.0, "A finished job is removed with its result after this.", least=1
    )
    job_calls: int = variable(
        "PIXELSERVE_GATEWAY_JOB_CALLS", 4, "Calls that jobs make at once in this process.", least=1
    )
    tenant_jobs: int = variable(
        "PIXELSERVE_GATEWAY_TENANT_JOBS",
        1_000,
        "Unfinished jobs that a tenant may have; more are 429 until some have ended.",
        least=1,
    )
    webhook_allow_private: bool = variable(
        "PIXELSERVE_GATEWAY_WEBHOOK_ALLOW_PRIVATE", False, "Send webhooks to private addresses too."
    )
    authorization: str = variable(
        "PIXELSERVE_GATEWAY_AUTHORIZATION",
        "",
        "none: nobody is asked who calls. keys: API keys and key pairs of `pixelserve keys`. iam: API Gateway asks. "
        "Empty: none on a loopback address, else keys.",
        choices=("", "none", "keys", "iam"),
    )
    public_url: str = variable(
        "PIXELSERVE_GATEWAY_PUBLIC_URL", "", "What links to results begin with. Empty: what the caller called."
    )
    link_seconds: float = variable(
        "PIXELSERVE_GATEWAY_LINK_SECONDS", 7_200.0, "A link to a result opens it for this long.", least=1
    )
    upload_seconds: float = variable(
        "PIXELSERVE_GATEWAY_UPLOAD_SECONDS", 86_400.0, "An uploaded image is removed after this.", least=60
    )
    tls_names: tuple[str, ...] = variable(
        "PIXELSERVE_GATEWAY_TLS_NAMES",
        (),
        "Serve HTTPS, with a certificate for these hosts separated by commas, such as localhost,127.0.0.1, by an "
        "authority of our own that is kept in the state folder. Empty: HTTP.",
    )
    pages: bool = variable("PIXELSERVE_GATEWAY_PAGES", True, "Show the playground and the explorer.")
    strict_sign: bool = variable(
        "PIXELSERVE_GATEWAY_STRICT_SIGN", False, "Dreamina: refuse a request whose Sign does not fit (ret 1014)."
    )
    log_level: int = variable("PIXELSERVE_GATEWAY_LOG_LEVEL", 20, "Python logging level, as a number.")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> GatewaySettings:
        """Reads `environ` (default: the process's). Raises SettingsError naming the variable that does not fit."""
        made = cls(**read_variables(cls, os.environ if environ is None else environ))
        _ = made._real_time, made._asynchronous, made._functions  # raise for what names no feature
        if made.body_room < made.max_body_bytes:
            raise SettingsError(
                f"PIXELSERVE_GATEWAY_BODY_ROOM is {made.body_room:,}: it must hold at least one body of "
                f"PIXELSERVE_GATEWAY_MAX_BODY_BYTES, {made.max_body_bytes:,}."
            )
        return made

    def endpoint(self, feature: Feature) -> str | None:
        """The feature's real-time endpoint, None where it has none."""
        return self._real_time.get(feature.name)

    def async_endpoint(self, feature: Feature) -> str | None:
        """The feature's asynchronous endpoint, None where it has none."""
        return self._asynchronous.get(feature.name)

    def function(self, feature: Feature) -> str | None:
        """The feature's Lambda function, None where it has none."""
        return self._functions.get(feature.name)

    def serves(self, feature: Feature) -> bool:
        """Whether something answers calls of the feature."""
        return self.function(feature) is not None or self.endpoint(feature) is not None

    @cached_property
    def _real_time(self) -> dict[str, str]:
        if not self.endpoints:
            return {known.name: known.endpoint for known in features.FEATURES}
        return _read_names("PIXELSERVE_GATEWAY_ENDPOINTS", self.endpoints)

    @cached_property
    def _asynchronous(self) -> dict[str, str]:
        return _read_names("PIXELSERVE_GATEWAY_ASYNC_ENDPOINTS", self.async_endpoints)

    @cached_property
    def _functions(self) -> dict[str, str]:
        return _read_names("PIXELSERVE_GATEWAY_FUNCTIONS", self.functions)


def _read_names(variable_name: str, pairs: tuple[str, ...]) -> dict[str, str]:
    """What has a name, by feature. Raises SettingsError for what is not FEATURE=NAME, or FEATURE= for none."""
    names: dict[str, str] = {}
    for pair in pairs:
        text, equals, name = pair.partition("=")
        known = features.find(text)
        if known is None or not equals:
            raise SettingsError(
                f"{variable_name} holds {pair!r}: write FEATURE=NAME with a feature of "
                f"{', '.join(f.name for f in features.FEATURES)}."
            )
        if name:
            names[known.name] = name
    return names
