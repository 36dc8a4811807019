"""How long pictures are said to take: what a busy start, depth, real tiles and memory change of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from drawing import picture
from torch import nn

from pixelserve import machine
from pixelserve.imaging import Image, Pixels
from pixelserve.models import pace
from pixelserve.models.faces import FaceRestorer
from pixelserve.models.networks import NetworkInfo
from pixelserve.models.passes import Pass
from pixelserve.models.runtimes import Choice
from pixelserve.models.super_resolution import Upscaler
from pixelserve.settings import Settings

MICROSECOND = 1e-6


class Clock:
    """In the place of the machine's: runs of `Slow` move it, and how busy the machine is."""

    now = 0.0
    stall = 0.0

    def perf_counter(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class Slow(nn.Module):
    """Enlarges twice, and takes as long for each pixel."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__()
        self.clock, self.seconds = clock, seconds
        self.edges: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.edges.append(x.shape[-1])
        self.clock.now += x[:, 0].numel() * self.seconds + self.clock.stall
        return x.repeat_interleave(2, -2).repeat_interleave(2, -1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pace, "time", clock)
    monkeypatch.setattr("pixelserve.models.super_resolution.time", clock)
    monkeypatch.setattr("pixelserve.models.faces.time", clock)
    return clock


def upscaler(network: Slow, exact: Slow, tile: int = 256, restorer: FaceRestorer | None = None) -> Upscaler:
    info = NetworkInfo("Slow", 2, 0, 1, 100)
    one = Pass(network, exact, info, torch.device("cpu"), Choice("torch", "bfloat16"), "", tile)
    return Upscaler({2: one}, Settings(timeout=60), restorer)


def predicted(model: Upscaler, pixels: Pixels) -> float:
    return model.seconds(Image(pixels), model.plan(Image(pixels), 2))


LARGE = np.zeros((1000, 1000, 3), np.uint8)
READ = 1.15e6
"""Pixels that its tiles read, with their borders of 8: at most so many."""


def test_each_depth_has_its_speed(clock: Clock) -> None:
    model = upscaler(Slow(clock, MICROSECOND), Slow(clock, 5 * MICROSECOND))
    model.warm_up()
    eight, sixteen = (predicted(model, LARGE.astype(kind)) for kind in (np.uint8, np.uint16))
    assert 1.0 <= eight <= READ * MICROSECOND
    assert sixteen == pytest.approx(5 * eight)


@pytest.mark.parametrize("stalled", ["the first run", "the first tile"])
def test_a_stall_during_the_warm_up_is_seen(clock: Clock, stalled: str) -> None:
    network = Slow(clock, MICROSECOND)

    def runs() -> Iterator[float]:
        yield from [0.6] if stalled == "the first run" else [0.6] * 3
        while True:
            yield 0.0

    stalls = runs()
    network.register_forward_pre_hook(lambda *_: setattr(clock, "stall", next(stalls)))
    model = upscaler(network, network)
    model.warm_up()
    assert predicted(model, LARGE) <= READ * MICROSECOND


def test_a_start_under_load_heals_before_a_picture_is_refused(clock: Clock) -> None:
    network = Slow(clock, MICROSECOND)
    model = upscaler(network, network)
    clock.stall = 5.0
    model.warm_up()
    assert predicted(model, LARGE) > 60
    clock.stall = 0.0
    runs = len(network.edges)
    assert predicted(model, LARGE) > 60
    assert len(network.edges) == runs, "timed again at once"
    clock.now += 61
    assert predicted(model, LARGE) <= READ * MICROSECOND


def test_real_pictures_correct_the_speed(clock: Clock) -> None:
    network = Slow(clock, MICROSECOND)
    model = upscaler(network, network)
    clock.stall = 2.0
    model.warm_up()
    before = predicted(model, LARGE[:200, :200])
    clock.stall = 0.0
    model.upscale(Image(picture(200, 200)), 2)
    assert predicted(model, LARGE[:200, :200]) == pytest.approx(216**2 * MICROSECOND)
    clock.stall = 2.0
    model.upscale(Image(picture(200, 200)), 2)
    assert predicted(model, LARGE[:200, :200]) < before / 10


def test_faces_heal_too(clock: Clock) -> None:
    def restore(face: np.ndarray) -> np.ndarray:
        clock.now += 1 + clock.stall
        return face

    restorer = FaceRestorer(lambda _: [], restore)
    clock.stall = 99.0
    restorer.warm_up()
    assert restorer.seconds == 100.0
    clock.stall = 0.0
    restorer.time_again()
    assert restorer.seconds == 1.0
    clock.stall = 9.0
    restorer.time_again()
    assert restorer.seconds == 1.0


@pytest.mark.parametrize(("tile", "edges"), [(48, {48}), (200, {64, 128}), (1024, {64, 128, 256, 512})])
def test_no_larger_tile_is_timed_than_pictures_have(clock: Clock, tile: int, edges: set[int]) -> None:
    network = Slow(clock, 1e-9)
    upscaler(network, network, tile).warm_up()
    assert set(network.edges) == edges


def test_a_slow_network_is_not_timed_on_more_than_it_takes(clock: Clock) -> None:
    network = Slow(clock, 1e-3)
    upscaler(network, network, 512).warm_up()
    assert network.edges == [64, 64, 128, 128]


def test_tiles_are_the_same_whatever_memory_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Feathered ones of other sizes give other bytes; what a small machine has at all makes them smaller."""

    def tiles() -> list[int]:
        done: list[int] = []
        model = Upscaler.load("", Settings(runtime="torch", dtype="float32"))
        model.upscale(Image(picture(150, 200)), 2, progress=lambda pixels, total: done.append(pixels))
        return done

    monkeypatch.setattr(machine, "total_memory", lambda: 64 << 30)
    whole = tiles()
    monkeypatch.setattr(machine, "free_memory", lambda: 64 << 20)
    assert tiles() == whole == [150 * 200]
    monkeypatch.setattr(machine, "total_memory", lambda: 64 << 20)
    assert len(tiles()) > 1
