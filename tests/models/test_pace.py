"""How long pictures are said to take: what a busy start, depth, real tiles and memory change of it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from drawing import picture
from torch import nn

from pixelserve import machine
from pixelserve.imaging import Image, Pixels
from pixelserve.models import devices, pace
from pixelserve.models.faces import Face, FaceRestorer
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
        self.now += 1e-9
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
    return clock


def a_pass(network: Slow, exact: Slow, tile: int) -> Pass:
    info = NetworkInfo("Slow", 2, 0, 1, 100, 0)
    return Pass(network, exact, info, torch.device("cpu"), Choice("torch", "bfloat16"), "", "", tile)


def upscaler(network: Slow, exact: Slow, tile: int = 256, restorer: FaceRestorer | None = None) -> Upscaler:
    return Upscaler({2: a_pass(network, exact, tile)}, Settings(timeout=60), restorer)


def predicted(model: Upscaler, pixels: Pixels) -> float:
    return model.seconds(Image(pixels), model.plan(Image(pixels), 2))


LARGE = np.zeros((1000, 1000, 3), np.uint8)
READ = 1.18e6
"""Pixels that its tiles read, with borders of 8 and in widths of multiples of 16: at most so many."""
FACE = Face(np.array([(1.0, 0, 0), (0, 1.0, 0)]))


def test_each_depth_has_its_speed(clock: Clock) -> None:
    model = upscaler(Slow(clock, MICROSECOND), Slow(clock, 5 * MICROSECOND))
    model.warm_up()
    eight, sixteen = (predicted(model, LARGE.astype(kind)) for kind in (np.uint8, np.uint16))
    assert 1.0 <= eight <= READ * MICROSECOND
    assert sixteen == pytest.approx(5 * eight)


def test_a_stall_during_the_warm_up_is_seen(clock: Clock) -> None:
    network = Slow(clock, MICROSECOND)
    stalls = itertools.chain([0.6], itertools.repeat(0.0))
    network.register_forward_pre_hook(lambda *_: setattr(clock, "stall", next(stalls)))
    model = upscaler(network, network)
    model.warm_up()
    assert predicted(model, LARGE) <= READ * MICROSECOND


def test_what_large_tiles_take_is_believed(clock: Clock) -> None:
    """A CPU that is throttled after a while, as by a quota, is slower for them."""
    network = Slow(clock, MICROSECOND)
    network.register_forward_pre_hook(
        lambda _, given: setattr(clock, "stall", 0.3 if given[0].shape[-1] >= 256 else 0.0)
    )
    model = upscaler(network, network)
    model.warm_up()
    assert predicted(model, LARGE) >= 1e6 * (MICROSECOND + 0.3 / 256**2)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_start_under_load_heals_before_a_picture_is_refused(clock: Clock, kind: type) -> None:
    """Each depth has its own minute: that of another picture is not used up."""
    network, exact = Slow(clock, MICROSECOND), Slow(clock, MICROSECOND)
    model, large = upscaler(network, exact), LARGE.astype(kind)
    clock.stall = 5.0
    model.warm_up()
    for each in (np.uint8, np.uint16):
        assert predicted(model, LARGE.astype(each)) > 60
    clock.stall = 0.0
    runs = len(network.edges + exact.edges)
    assert predicted(model, large) > 60
    assert len(network.edges + exact.edges) == runs, "timed again at once"
    clock.now += 61
    assert predicted(model, large) <= READ * MICROSECOND
    other = np.uint16 if kind == np.uint8 else np.uint8
    assert predicted(model, LARGE.astype(other)) <= READ * MICROSECOND


def test_a_start_under_load_heals_on_large_tiles(clock: Clock) -> None:
    """A GPU is as long at work on a small one."""
    network = Slow(clock, 0.0)
    model = upscaler(network, network)
    clock.stall = 5.0
    model.warm_up()
    clock.stall = 0.005
    assert predicted(model, LARGE) <= READ * 0.005 / 256**2
    assert max(network.edges) == 256


def test_too_little_memory_for_timing_is_no_failure(clock: Clock) -> None:
    network, most = Slow(clock, MICROSECOND), 512

    def fail(_: nn.Module, given: tuple[torch.Tensor]) -> None:
        if given[0].shape[-1] > most:
            raise MemoryError

    network.register_forward_pre_hook(fail)
    model = upscaler(network, network)
    clock.stall = 5.0
    model.warm_up()
    clock.stall, most = 0.0, 0
    assert predicted(model, LARGE) > 60
    clock.now, most = clock.now + 61, 128
    assert predicted(model, LARGE) <= READ * MICROSECOND
    assert max(network.edges) == 128


def test_real_pictures_correct_the_speed(clock: Clock) -> None:
    """Down and up, but not by what happens once."""
    network = Slow(clock, MICROSECOND)
    model = upscaler(network, network)
    clock.stall = 2.0
    model.warm_up()

    def enlarge(stall: float) -> float:
        clock.stall = stall
        model.upscale(Image(picture(200, 200)), 2)
        return predicted(model, LARGE[:200, :200])

    once = pytest.approx(216 * 224 * MICROSECOND)
    assert [enlarge(stall) for stall in (0.0, 0.0, 2.0, 0.0, 2.0)] == [once] * 5
    assert enlarge(2.0) == pytest.approx(216 * 224 * MICROSECOND + 2.0)
    assert enlarge(2.0) == pytest.approx(216 * 224 * MICROSECOND + 2.0)
    enlarge(0.0), enlarge(0.0)
    assert enlarge(0.0) == once


def test_neither_small_tiles_nor_a_busy_moment_of_timing_count(clock: Clock) -> None:
    network = Slow(clock, 2 * MICROSECOND)
    model = upscaler(network, network)
    model.warm_up()
    before = predicted(model, LARGE)
    clock.stall = 1.0
    for _ in range(5):
        model.upscale(Image(picture(100, 100)), 2)
    runs = len(network.edges)
    assert predicted(model, np.broadcast_to(LARGE[:1, :1], (7000, 7000, 3))) > 60
    assert len(network.edges) > runs, "not timed again"
    assert predicted(model, LARGE) == before


def test_small_pictures_have_a_speed_of_their_own(clock: Clock) -> None:
    """What any tile takes before its first pixel is more for each of a small one's; real ones correct their size's."""
    clock.stall = 0.1
    model = upscaler(network := Slow(clock, MICROSECOND), network)
    model.warm_up()
    small, large = (predicted(model, LARGE[:edge, :edge]) for edge in (112, 240))
    assert small == pytest.approx(128**2 * MICROSECOND + 0.1, rel=0.001)
    assert large == pytest.approx(256**2 * MICROSECOND + 0.1, rel=0.001)
    clock.stall = 0.2
    for _ in range(5):
        model.upscale(Image(picture(112, 112)), 2)
    assert predicted(model, LARGE[:112, :112]) == pytest.approx(128**2 * MICROSECOND + 0.2, rel=0.001)
    assert predicted(model, LARGE[:240, :240]) == large


def test_faces_heal_too(clock: Clock) -> None:
    def restore(face: np.ndarray) -> np.ndarray:
        clock.now += 1 + clock.stall
        return face

    restorer = FaceRestorer(lambda _: [], restore)
    model = upscaler(network := Slow(clock, MICROSECOND), network, restorer=restorer)
    clock.stall = 99.0
    model.warm_up()
    image = Image(picture(200, 200))
    plan = model.plan(image, 2)

    def seconds() -> float:
        return model.seconds(image, plan, [FACE] * 2) - model.seconds(image, plan)

    assert seconds() == pytest.approx(200.0)
    clock.stall = 0.0
    clock.now += 61
    assert seconds() == pytest.approx(2.0)
    clock.stall = 9.0
    for _ in range(3):
        model.upscale(image, 2, faces=[FACE])
    assert seconds() == pytest.approx(20.0)


def test_a_reduced_type_has_larger_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """As memory is what bounds them; pictures of 16 bits are run in float32."""
    monkeypatch.setattr(devices, "MOST_BYTES", 100 * 128**2)
    model = upscaler(Slow(Clock(), 0.0), Slow(Clock(), 0.0))
    done: list[tuple[int, int]] = []
    for depth in (8, 16):
        model.upscale(Image(picture(180, 180, 3, depth)), 2, progress=lambda *counted: done.append(counted))
    assert [pixels for pixels, _ in done] == [180**2, 180**2 // 2, 180**2]


@pytest.mark.parametrize(("tile", "edges"), [(48, {48}), (200, {64, 128}), (1024, {64, 128, 256, 512})])
def test_no_larger_tile_is_timed_than_pictures_have(clock: Clock, tile: int, edges: set[int]) -> None:
    network = Slow(clock, 1e-9)
    upscaler(network, network, tile).warm_up()
    assert set(network.edges) == edges


@pytest.mark.parametrize(
    ("microseconds", "face", "edges"),
    [(5, 0.1, [64, 64, 128, 128, 256, 256] * 2), (100, 0.1, [64, 64] * 2), (1000, 0.1, [64]), (10, 9.0, [])],
)
def test_a_warm_up_takes_a_few_seconds_in_all(clock: Clock, microseconds: int, face: float, edges: list[int]) -> None:
    """What is left is timed at its first picture: two factors by one network, and faces."""

    def restore(crop: np.ndarray) -> np.ndarray:
        clock.now += face
        return crop

    network = Slow(clock, microseconds * MICROSECOND)
    one = a_pass(network, network, 512)
    model = Upscaler({2: one, 4: one}, Settings(timeout=60), FaceRestorer(lambda _: [], restore))
    model.warm_up()
    assert network.edges == edges
    assert clock.now <= max(5.0, face) + 0.001
    assert predicted(model, LARGE) >= 1e6 * microseconds * MICROSECOND


def test_tiles_are_the_same_whatever_memory_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Feathered ones of other sizes give other bytes; so what there is at the start decides."""

    def load(total: int, free: int, workers: int = 1) -> Upscaler:
        monkeypatch.setattr(machine, "total_memory", lambda: total)
        monkeypatch.setattr(machine, "free_memory", lambda: free)
        return Upscaler.load("", Settings(runtime="torch", dtype="float32", workers=workers))

    def tiles(model: Upscaler) -> list[int]:
        done: list[int] = []
        model.upscale(Image(picture(150, 200)), 2, progress=lambda pixels, total: done.append(pixels))
        return done

    model = load(64 << 30, 32 << 30)
    monkeypatch.setattr(machine, "free_memory", lambda: 64 << 20)
    assert tiles(model) == [150 * 200]
    assert len(tiles(load(64 << 20, 64 << 20))) > 1
    assert len(tiles(load(64 << 30, 32 << 20))) > 1
    assert len(tiles(load(64 << 30, 32 << 30, workers=1000))) > 1
