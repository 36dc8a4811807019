"""`make demo`: all features through the SageMaker SDK against endpoints on this machine.

The photographs (see PHOTOGRAPHS.md) are shrunk 2 and 4 times and enlarged again, so that the result can be compared
with the original; a person is cut out; copies are found by their similarity. Inputs, results and comparisons are
written to build/demo/. The weights that pixelserve recommends are fetched once; without a network the embedded ones
serve. No picture leaves this machine.
"""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import sys
import time
import warnings
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from pixelserve.errors import PixelserveError
from pixelserve.local import Endpoint, LocalRuntime, Source, running
from pixelserve.models import manifest
from pixelserve.processes import Stop
from pixelserve_deploy.download import fetch_weights, find_weights_folder
from pixelserve_deploy.options import choose_all_weights

OUT = Path("build/demo")
CROPS = {
    "astronaut": (150, 20, 342, 212),
    "chelsea": (110, 50, 302, 242),
    "coffee": (170, 100, 362, 292),
    "rocket": (150, 228, 342, 420),
}
"""What the comparisons show of each photograph: left, top, right, bottom."""
LABEL_HEIGHT = 24
IN_README = {"chelsea": (170, 80, 282, 192), "astronaut": (180, 60, 292, 172)}
"""What README shows of the photographs that were enlarged 4 times, at ZOOM: left, top, right, bottom."""
ZOOM = 4


@dataclass(frozen=True)
class Result:
    """One photograph, shrunk `scale` times and enlarged again; all of the original's size but `small`."""

    name: str
    scale: int
    small: Image.Image
    original: Image.Image
    bicubic: Image.Image
    ours: Image.Image
    seconds: float


def predictor(runtime: LocalRuntime, endpoint: str, sent: str = "image/png", accept: str = "image/png") -> Any:
    """A Predictor of the SageMaker SDK for these media types, as a notebook would make it."""
    os.environ |= runtime.environment()
    os.environ["SAGEMAKER_USER_CONFIG_OVERRIDE"] = str(Path(__file__).with_name("sagemaker.yaml"))
    os.environ["SAGEMAKER_SUPPRESS_V2_WARNING"] = "1"
    logging.getLogger("sagemaker.config").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the SDK imports what its dependencies have deprecated
        import boto3
        from sagemaker import Session
        from sagemaker.deserializers import BytesDeserializer
        from sagemaker.predictor import Predictor
        from sagemaker.serializers import IdentitySerializer

        session = Session(
            boto_session=boto3.Session(region_name=os.environ["AWS_DEFAULT_REGION"]),
            sagemaker_runtime_client=boto3.client("sagemaker-runtime"),
            default_bucket="not-used",
        )
    return Predictor(
        endpoint,
        sagemaker_session=session,
        serializer=IdentitySerializer(content_type=sent),
        deserializer=BytesDeserializer(accept=accept),
    )


def enlarge(client: Any, name: str, scale: int) -> Result:
    """Shrinks the photograph of this name and has the endpoint enlarge it."""
    photograph = Image.fromarray(getattr(data, name)())
    size = photograph.width // 4 * 4, photograph.height // 4 * 4
    original = photograph.crop((0, 0, *size))
    small = original.resize((size[0] // scale, size[1] // scale), Image.Resampling.BICUBIC)
    body = as_png(small)
    started = time.perf_counter()
    answer = client.predict(body, custom_attributes=f"scale={scale}")
    seconds = time.perf_counter() - started
    ours = Image.open(io.BytesIO(answer)).convert("RGB")
    small.save(OUT / f"{name}.x{scale}.input.png")
    (OUT / f"{name}.x{scale}.result.png").write_bytes(answer)
    return Result(name, scale, small, original, small.resize(size, Image.Resampling.BICUBIC), ours, seconds)


def side_by_side(result: Result) -> Image.Image:
    """Crops, twice their size: the input's own pixels, bicubic, ours, the original."""
    columns = {
        f"input, {result.small.width} x {result.small.height}": result.small.resize(
            result.original.size, Image.Resampling.NEAREST
        ),
        **compared(result),
    }
    return draw_sheet(columns, CROPS[result.name], 2)


def compared(result: Result) -> dict[str, Image.Image]:
    """Bicubic and ours, with what their dB are of, and the original."""
    return {
        f"bicubic x{result.scale}, PSNR {psnr(result, result.bicubic):.2f} dB": result.bicubic,
        f"pixelserve x{result.scale}, PSNR {psnr(result, result.ours):.2f} dB": result.ours,
        "original, which PSNR compares with": result.original,
    }


def draw_sheet(columns: dict[str, Image.Image], box: tuple[int, int, int, int], zoom: int) -> Image.Image:
    """The same crop of each picture beside the others, its pixels `zoom` times as large."""
    edge = zoom * (box[2] - box[0])
    sheet = Image.new("RGB", (len(columns) * (edge + 4) - 4, edge + LABEL_HEIGHT), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (label, picture) in enumerate(columns.items()):
        left = index * (edge + 4)
        draw.text((left + 4, 4), label, "black", ImageFont.load_default(15))
        sheet.paste(picture.crop(box).resize((edge, edge), Image.Resampling.NEAREST), (left, LABEL_HEIGHT))
    return sheet


def psnr(result: Result, picture: Image.Image) -> float:
    """Peak signal-to-noise ratio against the original, in dB, over all channels."""
    return float(peak_signal_noise_ratio(np.asarray(result.original), np.asarray(picture)))  # type: ignore[no-untyped-call]


def stack(sheets: list[Image.Image]) -> Image.Image:
    """The sheets, one below the other."""
    combined = Image.new("RGB", (sheets[0].width, sum(sheet.height for sheet in sheets)), "white")
    top = 0
    for sheet in sheets:
        combined.paste(sheet, (0, top))
        top += sheet.height
    return combined


def enlarge_all(runtime: LocalRuntime) -> None:
    """Each photograph by 2 and by 4, with figures and comparisons."""
    client = predictor(runtime, "image-super-resolution")
    sheets, shown = [], []
    print(f"\n{'photograph':12}{'scale':>6}{'input':>12}{'result':>12}{'seconds':>9}{'bicubic':>10}{'ours':>10}")
    for name in CROPS:
        for scale in (2, 4):
            result = enlarge(client, name, scale)
            sheet = side_by_side(result)
            sheet.save(OUT / f"{name}.x{scale}.side-by-side.png")
            sheets.append(sheet)
            if scale == ZOOM and name in IN_README:
                shown.append(draw_sheet(compared(result), IN_README[name], ZOOM))
            sizes = (f"{picture.width}x{picture.height}" for picture in (result.small, result.ours))
            quality = (f"{psnr(result, picture):.2f} dB" for picture in (result.bicubic, result.ours))
            print(
                f"{name:12}{scale:>6}{next(sizes):>12}{next(sizes):>12}{result.seconds:>9.2f}"
                f"{next(quality):>10}{next(quality):>10}",
                flush=True,
            )
    stack(sheets).save(OUT / "side-by-side.png")
    stack(shown).save(OUT / "readme.png")


def cut_out(runtime: LocalRuntime) -> None:
    """The astronaut without what is behind her: photograph, alpha, and the cut-out on a checkerboard."""
    client = predictor(runtime, "human-image-segmentation")
    photograph = Image.fromarray(data.astronaut())  # type: ignore[no-untyped-call]
    answers = [client.predict(as_png(photograph), custom_attributes=kind) for kind in ("", "type=foreground")]
    alpha, foreground = (Image.open(io.BytesIO(answer)) for answer in answers)
    yy, xx = np.mgrid[: photograph.height, : photograph.width]
    board = Image.fromarray(np.where((yy // 16 + xx // 16) % 2, 240, 200).astype(np.uint8)).convert("RGB")
    board.paste(foreground, mask=foreground.getchannel("A"))
    sheet = Image.new("RGB", (3 * photograph.width, photograph.height))
    for index, picture in enumerate((photograph, alpha, board)):
        sheet.paste(picture, (index * photograph.width, 0))
    sheet.save(OUT / "cut-out.png")
    foreground.save(OUT / "astronaut.foreground.png")


def compare(runtime: LocalRuntime) -> None:
    """A table of similarities: each photograph with a cropped, smaller copy of each."""
    client = predictor(runtime, "image-similarity", "application/json", "application/json")
    photographs = {name: Image.fromarray(getattr(data, name)()) for name in CROPS}
    print(f"\ncosine with{'':12}" + "".join(f"{name:>12}" for name in photographs))
    for name, photograph in photographs.items():
        width, height = photograph.size
        copy = photograph.crop((width // 10, height // 10, width, height)).resize((width // 2, height // 2))
        row = f"a copy of {name:12}"
        for other in photographs.values():
            images = {
                "img_1": base64.b64encode(as_png(copy)).decode(),
                "img_2": base64.b64encode(as_png(other)).decode(),
            }
            row += f"{json.loads(client.predict(json.dumps(images)))['cosine']:>12.2f}"
        print(row, flush=True)


def as_png(picture: Image.Image) -> bytes:
    body = io.BytesIO()
    picture.save(body, "png")
    return body.getvalue()


def show_progress(endpoint: Endpoint, reason: str) -> None:
    print(f"{endpoint.name}: {reason or 'ready.'}", flush=True)


def fetch_recommended() -> None:
    """The weights that features should run with, unless they are here; says why where they cannot be had."""
    for entry in (entry for entry in manifest() if entry.recommended):
        try:
            fetch_weights(entry, find_weights_folder())
        except PixelserveError as error:
            print(f"Without the recommended weights {entry.name}: {error.message}", flush=True)


def main() -> int:
    OUT.mkdir(parents=True, exist_ok=True)
    endpoints = ("image-super-resolution", "human-image-segmentation", "image-similarity")
    fetch_recommended()
    with Stop().listening() as stop, ExitStack() as scratch:
        sources = choose_all_weights(map(Source.parse, endpoints), [], scratch)
        with running(sources, progress=show_progress, stop=stop) as runtime:
            for show in (enlarge_all, cut_out, compare):
                stop.run_aside(partial(show, runtime))
    print(f"\nEverything is stopped. Look at {OUT / 'side-by-side.png'} and {OUT / 'cut-out.png'}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PixelserveError as error:
        sys.exit(error.message)
