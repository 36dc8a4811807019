"""Commands that call what `pixelserve up` serves: a shell runs them as they stand, beside the files that they name."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pixelserve.features import Feature
from pixelserve.local import Source
from pixelserve.media_types import JSON
from pixelserve.schema import SimilarityRequest

PICTURES = ("photo.jpg", "other.jpg")
REQUEST = "request.json"
_CURL = "curl -sS --fail-with-body"
_FILES = {"text/csv": "rows.csv", "application/x-npy": "array.npy", "application/jsonlines": "rows.jsonl"}
"""What a handler is sent whose code speaks of a type, and of neither JSON nor pictures."""
_SPEAKS_OF_PICTURES = re.compile(r"image|\bPIL\b|\bcv2\b", re.IGNORECASE)


@dataclass(frozen=True)
class Sample:
    """Calls of one endpoint: what it is sent, and where its answer goes ("": it is printed).

    `files` are those that the reader brings, two where pictures are compared.
    """

    endpoint: str
    files: tuple[str, ...]
    content_type: str
    output: str

    @classmethod
    def of(cls, source: Source, feature: Feature | None) -> Sample:
        """For the source of a feature, or of another handler, which gets what its code speaks of, else JSON."""
        if feature is not None and feature.request is SimilarityRequest:
            return cls(source.name, PICTURES, "application/json", "")
        if feature is not None:
            return cls(source.name, PICTURES[:1], "image/jpeg", f"{feature.short}.png")
        code = (source.folder / source.program).read_text(errors="replace")
        if _SPEAKS_OF_PICTURES.search(code):
            return cls(source.name, PICTURES[:1], "image/jpeg", "answer")
        kind = next((kind for kind in _FILES if kind in code and JSON not in code), None)
        if kind is not None:
            return cls(source.name, (_FILES[kind],), kind, "")
        return cls(source.name, (REQUEST,), "application/json", "")

    def curl(self, url: str) -> str:
        """InvokeEndpoint of the runtime at `url`."""
        options = f"-H 'Content-Type: {self.content_type}'{self._to_output}"
        call = f"{_CURL} {url}/endpoints/{self.endpoint}/invocations {options}"
        if len(self.files) == 1:
            return f"{call} --data-binary @{self.files[0]}"
        encoded = " ".join(f'"$(base64 -w0 {name})"' for name in self.files)
        return f"""printf '{{"img_1": "%s", "img_2": "%s"}}' {encoded} |\n  {call} --data-binary @-"""

    def boto3(self) -> str:
        """The same through boto3, which finds the runtime by the environment."""
        lines = ["import boto3", 'runtime = boto3.client("sagemaker-runtime")']
        if len(self.files) == 1:
            lines.append(f'body = open("{self.files[0]}", "rb").read()')
        else:
            lines[:0] = ["import base64, json"]
            lines += [
                f'img_1, img_2 = (base64.b64encode(open(name, "rb").read()).decode() for name in {self.files})',
                'body = json.dumps({"img_1": img_1, "img_2": img_2})',
            ]
        call = f'EndpointName="{self.endpoint}", ContentType="{self.content_type}", Body=body'
        lines.append(f"answer = runtime.invoke_endpoint({call})")
        read = 'answer["Body"].read()'
        lines.append(f'open("{self.output}", "wb").write({read})' if self.output else f"print({read}.decode())")
        return "\n".join(["python3 - <<'END'", *lines, "END"])

    def gateway(self, url: str, feature: Feature, options: str) -> str:
        """The same through the gateway at `url`, with further `options` of curl."""
        if len(self.files) == 1:
            sent = f"-H 'Content-Type: {self.content_type}' --data-binary @{self.files[0]}"
        else:
            sent = " ".join(f"-F image_{number}=@{name}" for number, name in enumerate(self.files, start=1))
        return f"{_CURL} {url}/v1/{feature.short} {sent}{self._to_output}{options}"

    @property
    def _to_output(self) -> str:
        return f" -o {self.output}" if self.output else ""
