"""The trivial handler on LitServe."""

import sys
from typing import Any

import litserve
from fastapi import Response


class Trivial(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.factor = 2

    def decode_request(self, request):  # LitServe reads an annotation as a FastAPI parameter
        return request["content"].file.read() if "content" in request else request["x"]

    def predict(self, x: Any) -> Any:
        return x if isinstance(x, bytes) else {"score": self.factor * x}

    def encode_response(self, output: Any) -> Any:
        return Response(output, media_type="application/octet-stream") if isinstance(output, bytes) else output


if __name__ == "__main__":
    server = litserve.LitServer(Trivial(api_path="/invocations"), accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, log_level="error", generate_client_file=False
    )
