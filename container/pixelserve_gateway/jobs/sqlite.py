"""Jobs in an SQLite file: one machine, several processes. Not for a network disk, which WAL does not work on."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from pixelserve.errors import Unavailable
from pixelserve_gateway.jobs.job import Job, JobState, Lane, dump, load
from pixelserve_gateway.jobs.store import Record

BUSY_SECONDS = 10.0
"""How long a writer waits for another one."""

_TABLES = """
CREATE TABLE IF NOT EXISTS jobs (
    id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, key TEXT, state TEXT NOT NULL, lane TEXT NOT NULL, due REAL NOT NULL,
    version INTEGER NOT NULL, body TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS jobs_by_key ON jobs (tenant, key) WHERE key IS NOT NULL;
CREATE INDEX IF NOT EXISTS jobs_by_tenant ON jobs (tenant, id);
CREATE INDEX IF NOT EXISTS jobs_by_due ON jobs (lane, due);
CREATE INDEX IF NOT EXISTS jobs_by_turn ON jobs (lane, tenant, due);
CREATE INDEX IF NOT EXISTS jobs_unfinished ON jobs (tenant) WHERE state IN ('queued', 'running');
CREATE TABLE IF NOT EXISTS records (
    kind TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;
"""


class SQLiteStore:
    """A JobStore in a file that only its owner may read. Each thread has a connection of its own.

    A job is on the disk when `add` and `replace` return; a record may be lost with the power, not with the process.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._lock = threading.Lock()
        self._connections: list[sqlite3.Connection] = []
        with _explained(path):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            with self._writing() as connection:
                for statement in _TABLES.split(";"):
                    connection.execute(statement)

    def add(self, job: Job) -> Job | None:
        row = (int(job.id), job.tenant, job.key, job.state, job.lane, job.due, job.version, dump(job))
        with self._writing("FULL") as connection:
            standing = job.key is not None and _first(
                connection, "SELECT body FROM jobs WHERE tenant = ? AND key = ?", (job.tenant, job.key)
            )
            if standing:
                return standing
            done = connection.execute("INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", row)
            return job if done.rowcount else None

    def get(self, job_id: str) -> Job | None:
        with self._reading() as connection:
            return _first(connection, "SELECT body FROM jobs WHERE id = ?", (int(job_id),))

    def find(self, tenant: str, key: str) -> Job | None:
        with self._reading() as connection:
            return _first(connection, "SELECT body FROM jobs WHERE tenant = ? AND key = ?", (tenant, key))

    def replace(self, job: Job) -> Job | None:
        stored = dataclasses.replace(job, version=job.version + 1)
        row = (stored.state, stored.lane, stored.due, stored.version, dump(stored), int(job.id), job.version)
        with self._writing("FULL") as connection:
            done = connection.execute(
                "UPDATE jobs SET state = ?, lane = ?, due = ?, version = ?, body = ? WHERE id = ? AND version = ?", row
            )
        return stored if done.rowcount else None

    def remove(self, job: Job) -> bool:
        with self._writing("FULL") as connection:
            done = connection.execute("DELETE FROM jobs WHERE id = ? AND version = ?", (int(job.id), job.version))
        return bool(done.rowcount)

    def jobs(self, tenant: str, states: Collection[JobState], before: str | None, limit: int) -> list[Job]:
        wanted = tuple(states) or tuple(JobState)
        marks = ", ".join("?" * len(wanted))
        query = f"SELECT body FROM jobs WHERE tenant = ? AND id < ? AND state IN ({marks}) ORDER BY id DESC LIMIT ?"
        last = (1 << 63) - 1 if before is None else int(before)
        with self._reading() as connection:
            return [load(body) for (body,) in connection.execute(query, (tenant, last, *wanted, limit))]

    def due(self, lane: Lane, now: float, limit: int) -> list[Job]:
        query = "SELECT body FROM jobs WHERE lane = ? AND due <= ? ORDER BY due LIMIT ?"
        with self._reading() as connection:
            return [load(body) for (body,) in connection.execute(query, (lane, now, limit))]

    def due_by_tenant(self, lane: Lane, now: float, each: int) -> dict[str, list[str]]:
        next_tenant = "SELECT min(tenant) FROM jobs WHERE lane = ? AND tenant > ?"
        its_jobs = "SELECT id FROM jobs WHERE lane = ? AND tenant = ? AND due <= ? ORDER BY due LIMIT ?"
        found: dict[str, list[str]] = {}
        tenant = ""
        with self._reading() as connection:
            while tenant := connection.execute(next_tenant, (lane, tenant)).fetchone()[0]:
                ids = [str(number) for (number,) in connection.execute(its_jobs, (lane, tenant, now, each))]
                if ids:
                    found[tenant] = ids
        return found

    def count_unfinished(self, tenant: str, most: int) -> int:
        query = """
            SELECT count(*) FROM (
                SELECT 1 FROM jobs WHERE tenant = ? AND state IN ('queued', 'running') LIMIT ?
            )"""
        with self._reading() as connection:
            return int(connection.execute(query, (tenant, most)).fetchone()[0])

    def read(self, kind: str, name: str) -> Record | None:
        query = "SELECT body, version FROM records WHERE kind = ? AND name = ?"
        with self._reading() as connection:
            row = connection.execute(query, (kind, name)).fetchone()
        return None if row is None else Record(json.loads(row[0]), row[1])

    def write(self, kind: str, name: str, body: Mapping[str, Any], version: int) -> bool:
        text = json.dumps(body)
        with self._writing() as connection:
            if version:
                done = connection.execute(
                    "UPDATE records SET body = ?, version = version + 1 WHERE kind = ? AND name = ? AND version = ?",
                    (text, kind, name, version),
                )
            else:
                done = connection.execute(
                    "INSERT INTO records VALUES (?, ?, 1, ?) ON CONFLICT DO NOTHING", (kind, name, text)
                )
        return bool(done.rowcount)

    def records(self, kind: str) -> dict[str, Record]:
        with self._reading() as connection:
            rows = connection.execute("SELECT name, body, version FROM records WHERE kind = ? ORDER BY name", (kind,))
            return {name: Record(json.loads(body), version) for name, body, version in rows}

    def close(self) -> None:
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
        self._local = threading.local()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with _explained(self._path):
            yield self._connection()

    @contextlib.contextmanager
    def _writing(self, synchronous: str = "NORMAL") -> Iterator[sqlite3.Connection]:
        """A transaction: kept at the end, undone by an error. FULL: it is on the disk then."""
        with _explained(self._path):
            connection = self._connection()
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            # transactions are begun by hand; `close` may be called by another thread
            connection = sqlite3.connect(
                self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA journal_mode = WAL")
            self._local.connection = connection
            with self._lock:
                self._connections.append(connection)
        return connection


def _first(connection: sqlite3.Connection, query: str, values: tuple[object, ...]) -> Job | None:
    row = connection.execute(query, values).fetchone()
    return None if row is None else load(row[0])


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise Unavailable(f"The job store {path} does not work: {error}. It needs a local disk with room.") from error
