"""Clients that load a gateway with a mix of everything it speaks, and hold every answer against the request.

Pictures differ in size and colours, so that an answer tells which picture it is of.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
import ssl
import struct
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import cv2
import httpx
import numpy as np

UPSCALER = "/api-pub/gw/v3/image/image_upscaler/async"
TOO_LARGE = bytes(35_000_000)
"""More than a gateway takes by default."""
_UNUSED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""In place of one for each client, which takes long to make."""
_BUSY = (429, 503)
_BUSY_CODES = (42900, 42901, 50300, 50301, 50302, 50303)
"""HiDream's numbers of the same."""
_ROUNDING = 12.0
"""Most levels of grey that a picture's mean colour moves when it is enlarged."""


@dataclass(frozen=True)
class Picture:
    """A picture's file. `vector` is what similarity answers for it, asked of the endpoint itself."""

    file: bytes
    vector: list[float]

    @cached_property
    def pixels(self) -> np.ndarray:
        """uint8, height x width x BGR."""
        return cv2.imdecode(np.frombuffer(self.file, np.uint8), cv2.IMREAD_COLOR)

    @cached_property
    def base64(self) -> str:
        return base64.b64encode(self.file).decode()


def draw(number: int, *, edge: int = 0) -> bytes:
    """The file of picture `number`: a size and a colour of its own under noise, square where an `edge` is given."""
    dice = np.random.default_rng(number)
    height, width = (edge, edge) if edge else (24 + number % 7, 24 + number // 7)
    colour = dice.integers(40, 216, 3)
    noise = dice.integers(-40, 40, (height, width, 3))
    return cv2.imencode(".png", np.clip(colour + noise, 0, 255).astype(np.uint8))[1].tobytes()


def huge() -> bytes:
    """A PNG whose head tells of more pixels than are taken."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


@dataclass
class Tally:
    """What became of the requests: their kinds by outcome, and what was wrong with answers.

    `most_sent` is the most bytes of bodies that were on their way at once, but for those that are not taken.
    """

    right: Counter[str] = field(default_factory=Counter)
    busy: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    sent: int = 0
    most_sent: int = 0

    @contextlib.contextmanager
    def sending(self, size: int) -> Iterator[None]:
        """A body of `size` bytes is on its way until the block ends."""
        counted = size if size < len(TOO_LARGE) else 0
        self.sent += counted
        self.most_sent = max(self.most_sent, self.sent)
        try:
            yield
        finally:
            self.sent -= counted


class Busy(Exception):
    """The gateway says to come back after so many seconds."""

    def __init__(self, answer: httpx.Response) -> None:
        assert answer.headers.get("retry-after", "").isdigit(), f"{answer.status_code} without Retry-After"
        super().__init__()
        self.seconds = int(answer.headers["retry-after"])


class Caller:
    """One client with a connection of its own, which sends one request after another."""

    def __init__(self, url: str, pictures: list[Picture], heavy: list[Picture], tally: Tally, seed: int) -> None:
        self._client = httpx.AsyncClient(base_url=url, timeout=120, trust_env=False, verify=_UNUSED)
        self._pictures, self._heavy, self._tally = pictures, heavy, tally
        self._dice = random.Random(seed)

    async def run(self, until: float) -> None:
        """Requests of all kinds in an order of its own, until that time (monotonic)."""
        async with self._client:
            while time.monotonic() < until:
                kinds = list(KINDS)
                self._dice.shuffle(kinds)
                for name in kinds:
                    await self._once(name)
                    if time.monotonic() >= until:
                        break

    async def _once(self, name: str) -> None:
        picture = self._dice.choice(self._heavy if name in HEAVY else self._pictures)
        began = time.monotonic()
        try:
            await KINDS[name](self, picture)
        except Busy as busy:
            self._tally.busy[name] += 1
            await asyncio.sleep(self._dice.uniform(0.5, 1) * busy.seconds)
        except (AssertionError, httpx.TransportError, KeyError, ValueError) as error:
            self._tally.wrong.append(f"{name}: {type(error).__name__} {error}"[:500])
        else:
            self._tally.right[name] += 1
            self._tally.seconds.append(time.monotonic() - began)

    async def send(self, path: str, status: int = 200, **content: Any) -> httpx.Response:
        """The answer to a POST, which must have this status. Raises Busy."""
        request = self._client.build_request("POST", path, **content)
        with self._tally.sending(int(request.headers["content-length"])):
            answer = await self._client.send(request)
        return _checked(answer, status)

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return _checked(await self._client.get(path, **options), 200)


def _checked(answer: httpx.Response, status: int) -> httpx.Response:
    if answer.status_code in _BUSY:
        raise Busy(answer)
    assert answer.status_code == status, f"{answer.status_code} {answer.text[:300]}"
    return answer


def read_envelope(answer: httpx.Response) -> dict[str, Any]:
    """The result of an answer of HiDream's API. Raises Busy."""
    told = answer.json()
    if told["code"] in _BUSY_CODES:
        raise Busy(answer)
    assert told["code"] == 0, told
    result: dict[str, Any] = told["result"]
    return result


def is_enlarged(file: bytes, picture: Picture) -> None:
    """The file holds the picture at twice the size."""
    made = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR)
    height, width = picture.pixels.shape[:2]
    assert made.shape == (2 * height, 2 * width, 3), f"{made.shape} of {picture.pixels.shape}"
    difference = np.abs(made.mean((0, 1)) - picture.pixels.mean((0, 1))).max()
    assert difference < _ROUNDING, f"the colours differ by {difference}"


def is_its_vector(answer: dict[str, Any], picture: Picture) -> None:
    assert np.allclose(answer["result"], picture.vector, atol=1e-4), "the vector is another picture's"


async def native_json(caller: Caller, picture: Picture) -> None:
    answer = await caller.send("/v1/super-resolution", json={"img": picture.base64, "scale": 2})
    is_enlarged(base64.b64decode(answer.json()["result"]), picture)


async def native_image(caller: Caller, picture: Picture) -> None:
    headers = {"Content-Type": "image/png", "Accept": "image/png"}
    is_enlarged((await caller.send("/v1/super-resolution", content=picture.file, headers=headers)).content, picture)


async def form(caller: Caller, picture: Picture) -> None:
    files = {"image": ("photo.png", picture.file, "image/png")}
    answer = await caller.send("/v1/super-resolution", files=files, data={"scale": "2", "format": "png"})
    is_enlarged(answer.content, picture)


async def pair(caller: Caller, picture: Picture) -> None:
    files = dict.fromkeys(("image_1", "image_2"), ("photo.png", picture.file, "image/png"))
    assert (await caller.send("/v1/similarity", files=files)).json()["cosine"] > 0.999


async def kit(caller: Caller, picture: Picture) -> None:
    is_its_vector((await caller.send("/prod/image_similarity", json={"img": picture.base64})).json(), picture)


async def kit_mask(caller: Caller, picture: Picture) -> None:
    answer = await caller.send("/human_image_segmentation", json={"img": picture.base64})
    mask = cv2.imdecode(np.frombuffer(base64.b64decode(answer.json()["result"]), np.uint8), cv2.IMREAD_UNCHANGED)
    assert mask.shape == picture.pixels.shape[:2]


async def heavy(caller: Caller, picture: Picture) -> None:
    headers = {"Content-Type": "image/png"}
    is_its_vector((await caller.send("/v1/similarity", content=picture.file, headers=headers)).json(), picture)


async def heavy_json(caller: Caller, picture: Picture) -> None:
    is_its_vector((await caller.send("/v1/similarity", json={"img": picture.base64})).json(), picture)


async def job(caller: Caller, picture: Picture) -> None:
    wish = {"feature": "super-resolution", "input": {"img": picture.base64}, "accept": "image/png"}
    headers = {"Prefer": "wait=30"}
    told = (await caller.send("/v1/jobs", 202, json=wish, headers=headers)).json()
    while told["state"] in ("queued", "running"):
        told = (await caller.get(f"/v1/jobs/{told['id']}", headers=headers)).json()
    assert told["state"] == "succeeded", told
    is_enlarged((await caller.get(told["result"]["url"])).content, picture)


async def hidream(caller: Caller, picture: Picture) -> None:
    answer = await caller.send(UPSCALER, json={"image": picture.base64, "upsale_ratio": 2})
    task = read_envelope(answer)["task_id"]
    while True:
        answer = await caller.get(f"{UPSCALER}/results", params={"task_id": task})
        sub_task = read_envelope(answer)["sub_task_results"][0]
        if sub_task["task_status"] not in (0, 2):
            break
        await asyncio.sleep(0.5)
    assert sub_task["task_status"] == 1, answer.text
    is_enlarged((await caller.get(sub_task["image"])).content, picture)


async def no_image(caller: Caller, picture: Picture) -> None:
    headers = {"Content-Type": "image/png"}
    answer = await caller.send("/v1/segmentation", 400, content=picture.file[:40] + b"?" * 40, headers=headers)
    assert answer.json()["error"]["code"] == "invalid_image"


async def too_many_pixels(caller: Caller, picture: Picture) -> None:
    img = base64.b64encode(huge()).decode()
    answer = await caller.send("/image_super_resolution", 413, json={"img": img})
    assert answer.json()["error"]["code"] == "image_too_large"


async def too_many_bytes(caller: Caller, picture: Picture) -> None:
    answer = await caller.send("/v1/segmentation", 413, content=TOO_LARGE, headers={"Content-Type": "image/png"})
    assert answer.json()["error"]["code"] == "body_too_large"


async def no_json(caller: Caller, picture: Picture) -> None:
    answer = await caller.send("/v1/jobs", 400, content=json.dumps({"feature": "super-resolution"})[:-1])
    assert answer.json()["error"]["code"] == "bad_request"


KINDS: dict[str, Callable[[Caller, Picture], Awaitable[None]]] = {
    made.__name__: made
    for made in (
        native_json,
        native_image,
        form,
        pair,
        kit,
        kit_mask,
        heavy,
        heavy_json,
        job,
        hidream,
        no_image,
        too_many_pixels,
        too_many_bytes,
        no_json,
    )
}
HEAVY = ("heavy", "heavy_json")
"""Kinds with the largest bodies."""
