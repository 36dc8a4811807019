"""Peak memory of the server for 1920x1080 at x4 against 640x360 at x4, answered as NPY.

The difference must be that of the uint8 inputs and outputs, at most 1.3 times: nothing else may grow with the picture.
A fresh server answers each size once; counted is the peak resident memory of all its processes (VmHWM).
"""

from __future__ import annotations

import http.client
import re
from pathlib import Path
from typing import Any

import psutil
import report
from pipeline import photograph
from serving import running_process

SIZES = ((640, 360), (1920, 1080))
SCALE = 4
MOST = 1.3


def peak(width: int, height: int) -> int:
    """Bytes at the peak of a server that enlarges one picture of this size."""
    body = photograph(width, height)
    headers = {
        "Content-Type": "image/jpeg",
        "Accept": "application/x-npy",
        "X-Amzn-SageMaker-Custom-Attributes": f"scale={SCALE}",
    }
    with running_process(
        "pixelserve", SAGEMAKER_SUBMIT_DIRECTORY="", SM_MODEL_DIR="", SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS="600"
    ) as (process, port):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("POST", "/invocations", body, headers)
        answer = connection.getresponse()
        size = 0
        while block := answer.read(1 << 20):
            size += len(block)
        connection.close()
        assert answer.status == 200, answer.status
        assert size > width * height * SCALE**2 * 3
        server = psutil.Process(process.pid)
        return sum(_high_water(one.pid) for one in [server, *server.children()])


def _high_water(pid: int) -> int:
    match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert match is not None
    return int(match[1]) * 1024


def measure() -> dict[str, Any]:
    """Both peaks in bytes, what their pictures differ by, and the ratio of the two differences."""
    peaks = [peak(*size) for size in SIZES]
    pictures = [3 * width * height * (1 + SCALE**2) for width, height in SIZES]
    grown, expected = peaks[1] - peaks[0], pictures[1] - pictures[0]
    return {"peaks": peaks, "grown": grown, "pictures": expected, "ratio": round(grown / expected, 3), "bar": MOST}


def main() -> None:
    report.parser(__doc__).parse_args()
    row = measure()
    report.table([row], tuple(row))
    report.write("memory", [row])


if __name__ == "__main__":
    main()
