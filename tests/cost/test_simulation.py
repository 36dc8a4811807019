"""Traffic through a fleet: nothing is lost, small cases by hand, and traces read and made."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pixelserve_deploy.cost.errors import CostError
from pixelserve_deploy.cost.simulation import Fleet, simulate
from pixelserve_deploy.cost.traces import make_bursty, make_diurnal, read_trace

fleets = st.builds(
    lambda seconds, concurrency, least, more, utilisation, cold, cool, late, out: Fleet(
        seconds, concurrency, least, least + more, utilisation, cold, cool, 2 * cool, late, out
    ),
    seconds=st.floats(0.01, 200),
    concurrency=st.integers(1, 8),
    least=st.integers(0, 3),
    more=st.integers(1, 5),
    utilisation=st.floats(0.1, 1),
    cold=st.floats(0, 900),
    cool=st.floats(0, 900),
    late=st.floats(0, 120),
    out=st.floats(0, 600),
)


@given(trace=st.lists(st.integers(0, 5000), max_size=60), fleet=fleets)
def test_every_request_is_served_late_or_failed(trace, fleet) -> None:
    outcome = simulate(trace, fleet)
    assert outcome.served + outcome.late + outcome.failed == sum(trace)
    assert min(outcome.served, outcome.late, outcome.failed) >= 0
    assert all(fleet.least <= billed <= fleet.most for billed in outcome.billed)
    assert all(ready <= billed for ready, billed in zip(outcome.ready, outcome.billed, strict=True))
    assert 0 <= outcome.utilisation <= 1 + 1e-9
    assert all(ready >= fleet.least for ready in outcome.ready)
    assert min(outcome.waiting, default=0) >= 0
    assert len(outcome.billed) >= len(trace)


@given(trace=st.lists(st.integers(0, 300), min_size=1, max_size=30), fleet=fleets)
def test_a_fleet_serves_no_more_than_it_can(trace, fleet) -> None:
    outcome = simulate(trace, fleet)
    can = sum(ready * fleet.rate * 60 for ready in outcome.ready)
    assert outcome.served + outcome.late <= can + len(outcome.ready)


def test_an_instance_with_room_serves_all_in_time() -> None:
    outcome = simulate([30] * 60, Fleet(seconds=1, most=1))
    assert (outcome.served, outcome.late, outcome.failed) == (1800, 0, 0)
    assert outcome.utilisation == 0.5
    assert outcome.instance_hours == 1


def test_a_burst_waits_fails_and_is_late_as_reckoned() -> None:
    """120 in one minute, one a second: the wait grows by half a second each; 20 s are the limit, 5 s are late."""
    outcome = simulate([120], Fleet(seconds=1, most=1, late_after=6, time_out=20))
    assert outcome.served == 11  # waits of 0, 0.5, … 5 s
    assert outcome.failed == pytest.approx(40, abs=2)  # from 41 waiting 20 s on, one fails for each that is served
    assert outcome.late == 120 - 11 - outcome.failed


def test_without_instances_everything_waits_for_the_cold_start() -> None:
    fleet = Fleet(seconds=1, least=0, cold_start=120, time_out=3600, late_after=3600, cool_in=120)
    outcome = simulate([10, *[0] * 20], fleet)
    assert outcome.ready[:5] == [0, 0, 0, 1, 1]
    assert outcome.billed[:5] == [0, 1, 1, 1, 1]
    assert outcome.billed[-1] == 0
    assert (outcome.served, outcome.failed) == (10, 0)
    late = simulate([10, *[0] * 20], Fleet(seconds=1, least=0, cold_start=120, time_out=60))
    assert late.failed == 10


def test_scaling_follows_the_load_and_cools_down() -> None:
    trace = [30] * 10 + [200] * 20 + [30] * 40
    outcome = simulate(trace, Fleet(seconds=1, cold_start=60, cool_in=600, time_out=600))
    assert outcome.billed[9] == 1
    assert outcome.billed[29] >= 5  # 200 / (60 x 0.7)
    assert outcome.billed[-1] == 1
    assert outcome.billed[35] == outcome.billed[30]  # ten minutes of calm have to pass
    slow = simulate(trace, Fleet(seconds=1, cold_start=60, cool_in=600, cool_out=300, time_out=600))
    assert sum(slow.billed[10:15]) <= sum(outcome.billed[10:15])


def test_slow_requests_are_served_across_minutes() -> None:
    outcome = simulate([1, *[0] * 9, 1], Fleet(seconds=150, most=1, late_after=200))
    assert (outcome.served, outcome.failed) == (2, 0)


def test_scale_in_ends_none_that_is_needed_while_others_start() -> None:
    """A burst orders five that start for an hour; calm in the meantime must not end the one that works."""
    outcome = simulate([30] * 5 + [300] + [30] * 120, Fleet(seconds=1, cold_start=3600, cool_in=600, time_out=600))
    assert max(outcome.billed) > 1
    assert min(outcome.ready) == 1


def test_a_long_request_is_billed_until_its_end() -> None:
    outcome = simulate([1], Fleet(seconds=3600, most=1, late_after=3600))
    assert outcome.instance_hours == 1
    assert outcome.utilisation == pytest.approx(1)
    both = simulate([1], Fleet(seconds=3600, concurrency=4, least=0, cold_start=120, late_after=9999, time_out=600))
    assert both.served == 1
    assert both.ready[-1] == 1
    assert sum(both.ready) >= 60


def test_a_fleet_is_not_larger_than_the_requests_it_holds() -> None:
    one = simulate([1, *[0] * 30], Fleet(seconds=600, least=0, late_after=3600, time_out=3600))
    assert max(one.billed) == 1
    five = simulate([5, *[0] * 60], Fleet(seconds=600, concurrency=2, least=0, late_after=3600, time_out=3600))
    assert max(five.billed) == 3


@given(trace=st.lists(st.integers(0, 20), min_size=1, max_size=30), fleet=fleets)
def test_instances_are_never_more_than_all_requests_need(trace, fleet) -> None:
    outcome = simulate(trace, fleet)
    assert max(outcome.billed) <= max(fleet.least, -(-sum(trace) // fleet.concurrency))


@pytest.mark.parametrize("make", [make_diurnal, make_bursty])
def test_generated_traces_have_exactly_the_requests(make) -> None:
    for requests, days in ((1_000_000, 30), (7, 2), (0, 1)):
        trace = make(requests, days)
        assert len(trace) == days * 1440
        assert sum(trace) == requests
        assert min(trace) >= 0


def test_days_have_a_peak_and_bursts_stand_out() -> None:
    day = make_diurnal(1_440_000, 1)
    assert max(day) / min(day) == pytest.approx(4, rel=0.01)
    assert max(make_bursty(1_440_000, 1)) > 3 * max(day)
    assert make_bursty(1000, 3) == make_bursty(1000, 3)


def test_csv_files_are_read(tmp_path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("minute,requests\n3,5\n1,2\n3,1\n")
    assert read_trace(path) == [2, 0, 6]
    start = datetime(2026, 11, 1, tzinfo=UTC)
    path.write_text(f"timestamp\n{start.isoformat()}\n2026-11-01T00:01:59+00:00\n2026-11-01T00:01:00Z\n")
    assert read_trace(path) == [1, 2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\n1,2\n", "has the columns a, b. Name them minute or timestamp"),
        ("", r"has the columns \(none\)"),
        ("minute,requests\n", "has no requests"),
        ("minute,requests\n1,two\n", "line 2: invalid literal"),
        ("minute,requests\n1,-2\n", "line 2: requests below 0"),
        ("minute,requests\n1,99999999999999999999\n", "line 2: requests below 0 or above 1,000,000,000"),
        ("minute,requests\n0,1\n99999999999999999999,1\n", "a year is the most"),
        ("minute,requests\n1\n", "line 2: it has fewer values than the header"),
        (f"minute,requests\n1,{'1' * 140_000}\n", "Cannot read .*field larger than field limit"),
        ("timestamp\nyesterday\n", "line 2: Invalid isoformat"),
        ("minute,requests\n0,1\n9999999,1\n", "a year is the most"),
    ],
)
def test_wrong_csv_files_say_where(tmp_path, text, expected) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(CostError, match=expected):
        read_trace(path)
    with pytest.raises(CostError, match="Cannot read"):
        read_trace(tmp_path / "nowhere.csv")


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"seconds": 0}, "Seconds are above 0"),
        ({"seconds": 1, "least": 3, "most": 2}, "3 to 2 instances is no range"),
        ({"seconds": 1, "least": 0, "most": 0}, "--max at least 1"),
        ({"seconds": 1, "time_out": -1}, "seconds from 0 on"),
        ({"seconds": 1, "cool_in": float("inf")}, "seconds from 0 on"),
        ({"seconds": 1, "cold_start": 1e9}, "up to a year"),
    ],
)
def test_fleets_that_cannot_be_are_refused(wrong, expected) -> None:
    with pytest.raises(CostError, match=expected):
        Fleet(**wrong)


def one_by_one(trace: list[int], fleet: Fleet) -> tuple[int, int, int]:
    """The same with each request by itself, for a fleet that does not scale: in time, late, failed."""
    free, served, late, failed = 0.0, 0, 0, 0
    rate = fleet.least * fleet.rate
    for minute, requests in enumerate(trace):
        for number in range(requests):
            arrival = 60 * (minute + number / requests)
            start = max(free, arrival)
            if start - arrival > fleet.time_out:
                failed += 1
                continue
            free = start + 1 / rate
            if start - arrival + fleet.seconds > fleet.late_after:
                late += 1
            else:
                served += 1
    return served, late, failed


@given(
    trace=st.lists(st.integers(0, 400), min_size=1, max_size=30),
    seconds=st.floats(0.05, 20),
    instances=st.integers(1, 4),
    late=st.floats(0, 60),
    out=st.floats(5, 200),
)
def test_the_fluid_agrees_with_single_requests(trace, seconds, instances, late, out) -> None:
    assume(abs(late - seconds - out) > out / 10)  # where all that are served wait nearly as long as they may
    fleet = Fleet(seconds, least=instances, most=instances, late_after=late, time_out=out)
    outcome = simulate(trace, fleet)
    found = (outcome.served, outcome.late, outcome.failed)
    for fluid, exact in zip(found, one_by_one(trace, fleet), strict=True):
        assert abs(fluid - exact) <= 2 * len(trace)
