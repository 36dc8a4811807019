"""One suite for both stores: SQLite, and DynamoDB by moto."""

from __future__ import annotations

import dataclasses
import stat
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest
from botocore.exceptions import ClientError

from pixelserve.errors import NotFound, Unavailable
from pixelserve_gateway.errors import RateLimited
from pixelserve_gateway.jobs import (
    ApiKeys,
    Delivery,
    DynamoDBStore,
    Job,
    JobProgress,
    JobState,
    JobStore,
    OutputPlaces,
    RateLimit,
    SQLiteStore,
    StoredResult,
    Webhook,
    access_key_id,
    kept_secret,
    take_token,
)
from pixelserve_gateway.jobs.job import JobError, Lane, dump, ended, load, new_id, time_of, with_lease
from pixelserve_gateway.jobs.store import change

NOW = 1_800_000_000.0
THREADS = 8
T = TypeVar("T")


def _job(tenant: str = "ours", *, at: float = NOW, **fields: object) -> Job:
    job = Job(
        id=new_id(at),
        tenant=tenant,
        feature="image_super_resolution",
        dialect="native",
        call={"accept": "image/png"},
        created=at,
        updated=at,
        expires=at + 600,
        due=at,
    )
    return dataclasses.replace(job, **fields)  # type: ignore[arg-type]


def _at_once(work: Callable[[int], T]) -> list[T]:
    """What each of 8 threads got that began together."""
    gate = threading.Barrier(THREADS)

    def run(number: int) -> T:
        gate.wait()
        return work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def test_a_job_is_kept_as_it_is() -> None:
    job = _job(
        data={"版本": ["v1", None, 1.5]},
        key="k",
        state=JobState.FAILED,
        finished=NOW,
        outputs=OutputPlaces("s3://b/o", "s3://b/f"),
        progress=JobProgress(0.25, estimated=False),
        result=StoredResult("n", "image/png", 3, "x=1"),
        error=JobError(413, "too_large", "Shrink it.", "image", retryable=False),
        webhook=Webhook("https://example.com", "native", (Delivery(NOW, 500, "answered 500"),), NOW + 10),
    )
    assert load(dump(job)) == job


def test_ids_are_digits_that_grow_with_time_and_fit_63_bits() -> None:
    ids = [new_id(NOW + second) for second in range(100)]
    assert all(text.isdigit() and int(text) < 1 << 63 for text in ids)
    assert sorted(ids, key=int) == ids
    assert int(new_id(3_900_000_000.0)) < 1 << 63  # the year 2093
    assert time_of(ids[0]) == pytest.approx(NOW, abs=0.001)


def test_what_was_written_is_read(store: JobStore) -> None:
    job = _job()
    assert store.get(job.id) is None
    assert store.add(job) == job
    assert store.get(job.id) == job
    changed = store.replace(dataclasses.replace(job, state=JobState.RUNNING, due=NOW + 0.125))
    assert changed is not None
    assert changed.version == 2
    assert store.get(job.id) == changed


def test_an_old_version_changes_and_removes_nothing(store: JobStore) -> None:
    job = _job()
    store.add(job)
    newer = store.replace(job)
    assert store.replace(job) is None
    assert not store.remove(job)
    assert newer is not None
    assert store.remove(newer)
    assert store.get(job.id) is None
    assert not store.remove(newer)
    assert store.replace(newer) is None
    assert store.get(job.id) is None


def test_an_id_that_is_taken_is_not_taken_again(store: JobStore) -> None:
    job = _job()
    store.add(job)
    assert store.add(dataclasses.replace(job, tenant="theirs")) is None
    assert store.add(dataclasses.replace(job, tenant="theirs", key="k")) is None
    assert store.get(job.id) == job
    assert store.find("theirs", "k") is None


def test_a_key_names_one_job_of_a_tenant(store: JobStore) -> None:
    first, second = _job(key="k"), _job(key="k")
    assert store.add(first) == first
    assert store.add(second) == first
    assert store.get(second.id) is None
    assert store.find("ours", "k") == first
    theirs = _job("theirs", key="k")
    assert store.add(theirs) == theirs
    assert store.find("ours", "k") == first
    assert store.remove(first)
    assert store.find("ours", "k") is None
    assert store.add(second) == second


@pytest.mark.parametrize(("a", "b"), [(("x#y", "z"), ("x", "y#z")), (('a","', "b"), ("a", '","b'))])
def test_tenants_and_keys_do_not_run_together(store: JobStore, a: tuple[str, str], b: tuple[str, str]) -> None:
    store.add(_job(a[0], key=a[1]))
    assert store.find(*b) is None


def test_a_tenants_jobs_are_listed_newest_first_by_state_in_pages(store: JobStore) -> None:
    jobs = [_job(at=NOW + number, state=list(JobState)[number % 3]) for number in range(9)]
    for job in (*jobs, _job("theirs")):
        store.add(job)
    newest = jobs[::-1]
    assert store.jobs("ours", (), None, 100) == newest
    first = store.jobs("ours", (), None, 4)
    assert first == newest[:4]
    assert store.jobs("ours", (), first[-1].id, 100) == newest[4:]
    running = [job for job in newest if job.state is JobState.RUNNING]
    assert store.jobs("ours", [JobState.RUNNING], None, 2) == running[:2]
    assert store.jobs("ours", [JobState.RUNNING, JobState.CANCELED], running[0].id, 9) == running[1:]
    assert store.jobs("nobody", (), None, 9) == []


def test_what_is_due_is_found_by_lane_longest_due_first(store: JobStore) -> None:
    late, early, future = (_job(due=NOW + seconds) for seconds in (2.5, 1.25, 100))
    looked_at = _job(outputs=OutputPlaces("", ""), due=NOW)
    ended_one = _job(state=JobState.SUCCEEDED, due=NOW + 1)
    for job in (late, early, future, looked_at, ended_one):
        store.add(job)
    assert store.due(Lane.CALL, NOW + 2.5, 10) == [early, late]
    assert store.due(Lane.CALL, NOW + 2.5, 1) == [early]
    assert store.due(Lane.CALL, NOW, 10) == []
    assert store.due(Lane.LOOK, NOW + 2.5, 10) == [looked_at, ended_one]
    moved = store.replace(dataclasses.replace(early, state=JobState.SUCCEEDED, due=NOW + 500))
    assert store.due(Lane.CALL, NOW + 2.5, 10) == [late]
    assert store.due(Lane.LOOK, NOW + 500, 10)[-1] == moved


def test_what_is_due_is_found_by_tenant(store: JobStore) -> None:
    ours = [_job(due=NOW + second) for second in (3, 1, 2)]
    theirs, later = _job("theirs", due=NOW + 5), _job("later", due=NOW + 7)
    started = _job("theirs", outputs=OutputPlaces("", ""), due=NOW)
    told = _job("theirs", state=JobState.FAILED, webhook=Webhook("https://example.com", "native", due=NOW), due=NOW)
    for job in (*ours, theirs, later, started, told, _job("done", state=JobState.FAILED, due=NOW + 1)):
        store.add(job)
    assert store.due_by_tenant(Lane.CALL, NOW + 5, 2) == {"ours": [ours[1].id, ours[2].id], "theirs": [theirs.id]}
    assert store.due_by_tenant(Lane.CALL, NOW + 1, 2) == {"ours": [ours[1].id]}
    assert store.due_by_tenant(Lane.CALL, NOW, 2) == {}
    assert store.due_by_tenant(Lane.TELL, NOW, 2) == {"theirs": [told.id]}
    assert store.due(Lane.LOOK, NOW, 1) == [started]
    store.replace(dataclasses.replace(told, webhook=None))
    assert store.due_by_tenant(Lane.TELL, NOW, 2) == {}


def test_what_a_tenant_has_unfinished_is_counted(store: JobStore) -> None:
    jobs = [_job(state=state) for state in JobState]
    for job in (*jobs, _job(outputs=OutputPlaces("", ""), state=JobState.RUNNING), _job("theirs")):
        store.add(job)
    assert [store.count_unfinished("ours", most) for most in (1, 2, 3, 9)] == [1, 2, 3, 3]
    assert store.count_unfinished("nobody", 9) == 0
    store.replace(ended(jobs[0], JobState.CANCELED, NOW, 60))
    store.remove(jobs[1])
    assert store.count_unfinished("ours", 9) == 1


def test_records_are_kept_by_version(store: JobStore) -> None:
    assert store.read("kind", "a") is None
    assert store.write("kind", "a", {"n": 1.5}, 0)
    assert not store.write("kind", "a", {"n": 2}, 0)
    record = store.read("kind", "a")
    assert record is not None
    assert (record.body, record.version) == ({"n": 1.5}, 1)
    assert store.write("kind", "a", {"n": 2}, 1)
    assert not store.write("kind", "a", {"n": 3}, 1)
    assert not store.write("kind", "b", {"n": 3}, 1)
    store.write("kind", "c", {}, 0)
    store.write("other", "d", {}, 0)
    assert {name: record.body for name, record in store.records("kind").items()} == {"a": {"n": 2}, "c": {}}


# Races


def test_one_of_eight_takes_a_job(store: JobStore) -> None:
    for _ in range(10):
        job = _job()
        store.add(job)

        def take(number: int, job: Job = job) -> Job | None:
            return change(
                store,
                job.id,
                lambda seen: with_lease(seen, str(number), NOW, 9) if seen.state is JobState.QUEUED else None,
            )

        winners = [taken for taken in _at_once(take) if taken is not None]
        assert len(winners) == 1
        assert store.get(job.id) == winners[0]
        assert winners[0].attempts == 1


def test_one_of_eight_ends_a_job(store: JobStore) -> None:
    for _ in range(10):
        job = _job(state=JobState.RUNNING)
        store.add(job)

        def finish(number: int, job: Job = job) -> Job | None:
            result = StoredResult(str(number), "image/png", number)
            return change(
                store,
                job.id,
                lambda seen: (
                    None if seen.state.is_terminal else ended(seen, JobState.SUCCEEDED, NOW, 60, result=result)
                ),
            )

        winners = [done for done in _at_once(finish) if done is not None]
        assert len(winners) == 1
        assert store.get(job.id) == winners[0]


def test_no_update_is_lost(store: JobStore) -> None:
    job = _job()
    store.add(job)

    def count(number: int) -> None:
        for _ in range(10):
            change(store, job.id, lambda seen: dataclasses.replace(seen, attempts=seen.attempts + 1))

    _at_once(count)
    counted = store.get(job.id)
    assert counted is not None
    assert (counted.attempts, counted.version) == (80, 81)


def test_a_key_makes_one_job_in_a_race(store: JobStore) -> None:
    for round_ in range(10):
        key = f"key {round_}"
        stood = _at_once(lambda number, key=key: store.add(_job(key=key)))  # type: ignore[misc]
        assert len({job.id for job in stood if job is not None}) == 1
        assert None not in stood
    assert len(store.jobs("ours", (), None, 100)) == 10


def test_an_id_makes_one_job_in_a_race(store: JobStore) -> None:
    for _ in range(10):
        job = _job()
        stood = _at_once(lambda number, job=job: store.add(dataclasses.replace(job, tenant=str(number))))  # type: ignore[misc]
        assert sum(one is not None for one in stood) == 1


def test_one_of_eight_removes_a_job_and_its_key(store: JobStore) -> None:
    for _ in range(10):
        job = _job(key="k")
        store.add(job)
        assert Counter(_at_once(lambda number, job=job: store.remove(job)))[True] == 1  # type: ignore[misc]
        assert store.find("ours", "k") is None


def test_a_secret_is_the_same_to_all(store: JobStore) -> None:
    assert len(set(_at_once(lambda number: kept_secret(store, "links")))) == 1
    assert len(kept_secret(store, "links")) == 32
    assert kept_secret(store, "links") != kept_secret(store, "other")


# Keys and limits


def test_a_key_opens_until_it_is_revoked(store: JobStore) -> None:
    keys = ApiKeys(store)
    text, key = keys.make("ours", ["image_similarity"], NOW, RateLimit(2.0, 5))
    _, other = keys.make("theirs", [], NOW + 1)
    assert keys.find(text) == key
    assert (key.scopes, other.scopes) == (("image_similarity",), ())
    assert keys.find(text + "x") is None
    assert keys.find("\udcff") is None
    assert keys.list_keys() == [key, other]
    assert len(text) >= 43
    assert all(text not in str((name, record.body)) for name, record in store.records("api-key").items())
    revoked = keys.revoke(key.id, NOW + 2)
    assert revoked.revoked == NOW + 2
    assert keys.find(text) is None
    assert keys.revoke(key.id, NOW + 9) == revoked
    for unknown in ("", "nothing", key.id[:4]):
        with pytest.raises(NotFound, match="List the keys"):
            keys.revoke(unknown, NOW)


def test_who_signs_is_found_without_a_list(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = ApiKeys(store)
    _, key = keys.make("ours", [], NOW)
    _, revoked = keys.make("theirs", [], NOW)
    keys.revoke(revoked.id, NOW)
    monkeypatch.setattr(store, "records", None)
    assert keys.find_signer(access_key_id(key)) == key
    for unknown in (access_key_id(revoked), "PS0123456789AB", access_key_id(key).lower(), "", "PS", "P" * 60_000):
        assert keys.find_signer(unknown) is None


def test_a_bucket_empties_and_fills(store: JobStore) -> None:
    limit = RateLimit(per_second=0.5, burst=3)
    for _ in range(3):
        take_token(store, "k", limit, NOW)
    with pytest.raises(RateLimited) as refused:
        take_token(store, "k", limit, NOW)
    assert (refused.value.status, refused.value.retry_after, refused.value.retryable) == (429, 2, True)
    take_token(store, "other", limit, NOW)
    take_token(store, "k", limit, NOW + 2)
    with pytest.raises(RateLimited):
        take_token(store, "k", limit, NOW + 3)
    with pytest.raises(RateLimited):
        take_token(store, "k", limit, NOW - 100)  # a clock that goes back gives nothing
    for _ in range(3):
        take_token(store, "k", limit, NOW + 1000)
    with pytest.raises(RateLimited):
        take_token(store, "k", limit, NOW + 1000)


def test_eight_threads_get_no_more_than_the_bucket_has(store: JobStore) -> None:
    limit = RateLimit(per_second=1.0, burst=20)

    def take(number: int) -> int:
        taken = 0
        for _ in range(5):
            try:
                take_token(store, "k", limit, NOW)
            except RateLimited:
                continue
            taken += 1
        return taken

    assert sum(_at_once(take)) == 20


# What each has of its own


def test_the_sqlite_file_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "state" / "jobs.sqlite"
    store = SQLiteStore(path)
    job = _job()
    store.add(job)
    files = list(path.parent.iterdir())
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    other = SQLiteStore(path)
    assert other.get(job.id) == job
    other.close()
    store.close()
    assert store.get(job.id) == job  # a closed one opens again
    store.close()


def test_an_sqlite_store_that_cannot_be_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no database, this")
    with pytest.raises(Unavailable, match="file is not a database"):
        SQLiteStore(tmp_path / "file")
    with pytest.raises(Unavailable, match="does not work"):
        SQLiteStore(tmp_path / "file" / "below")


def test_a_write_whose_answer_was_lost_is_known_again(dynamodb_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore sends it twice then: the second is refused, since the first was done."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_url)
    store = DynamoDBStore("lost")
    store.create_table()
    job = _job()
    store.add(job)
    put_item = store._client.put_item

    def lost(**options: object) -> object:
        put_item(**options)
        return put_item(**options)

    monkeypatch.setattr(store._client, "put_item", lost)
    changed = store.replace(dataclasses.replace(job, attempts=1))
    assert changed is not None
    assert store.get(job.id) == changed
    assert store.replace(dataclasses.replace(job, attempts=1)) is None  # the same once more is another write
    store.close()


def test_a_table_that_is_not_there_is_unavailable(dynamodb_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_url)
    store = DynamoDBStore("nothing")
    for work in (
        lambda: store.get("1"),
        lambda: store.add(_job()),
        lambda: store.replace(_job()),
        lambda: store.due(Lane.CALL, NOW, 1),
        lambda: store.due_by_tenant(Lane.CALL, NOW, 1),
        lambda: store.count_unfinished("ours", 1),
    ):
        with pytest.raises(Unavailable, match="nothing does not do its work") as raised:
            work()
        assert isinstance(raised.value.__cause__, ClientError)
    store.close()
