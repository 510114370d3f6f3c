"""What the database itself refuses to do to the audit log, asked past the application."""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from itertools import product

import asyncpg
import pytest
from sqlalchemy.engine import URL

from tests.conftest import POSTGRES_URL

pytestmark = pytest.mark.real_database

on_sqlite = pytest.mark.skipif(POSTGRES_URL is not None, reason="of SQLite")
on_postgresql = pytest.mark.skipif(POSTGRES_URL is None, reason="of PostgreSQL")

COLUMNS = "(id, action, details, created_at, updated_at)"
EVENT = "'signed_in', '{}', '2026-11-26 00:00:00+00', '2026-11-26 00:00:00+00'"
FORGED = "'forged', '{}', '2026-11-26 00:00:00+00', '2026-11-26 00:00:00+00'"
REFUSED = "audit_events is append-only"
ADD = f"INSERT INTO audit_events {COLUMNS} VALUES (1, {EVENT})"
REWRITES = [
    "UPDATE audit_events SET action = 'forged'",
    "DELETE FROM audit_events",
    f"INSERT INTO audit_events {COLUMNS} VALUES (1, {FORGED}) ON CONFLICT (id) DO UPDATE SET action = 'forged'",
]
REPLACEMENTS = [
    f"INSERT OR REPLACE INTO audit_events {COLUMNS} VALUES (1, {FORGED})",
    f"REPLACE INTO audit_events {COLUMNS} VALUES (1, {FORGED})",
    f"INSERT OR REPLACE INTO audit_events {COLUMNS} SELECT id, {FORGED} FROM audit_events",
    f"INSERT OR IGNORE INTO audit_events {COLUMNS} VALUES (1, {FORGED})",
    f"INSERT OR FAIL INTO audit_events {COLUMNS} VALUES (1, {FORGED})",
    "UPDATE OR REPLACE audit_events SET action = 'forged'",
    "UPDATE OR REPLACE audit_events SET id = 2",
    "UPDATE OR IGNORE audit_events SET action = 'forged'",
    f"INSERT INTO audit_events {COLUMNS} VALUES (-1, {FORGED})",
]


@pytest.fixture
def sqlite(real_url: URL) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(str(real_url.database), isolation_level=None)) as connection:
        connection.execute(ADD)
        yield connection


@pytest.fixture
async def psql(real_url: URL) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(real_url.set(drivername="postgresql").render_as_string(hide_password=False))
    try:
        await connection.execute(ADD)
        yield connection
    finally:
        await connection.close()


@on_sqlite
@pytest.mark.parametrize("recursive", ["OFF", "ON"])
def test_no_form_of_sqlites_statements_rewrites_an_event(sqlite: sqlite3.Connection, recursive: str) -> None:
    sqlite.execute(f"PRAGMA recursive_triggers={recursive}")
    for statement in REWRITES + REPLACEMENTS:
        with pytest.raises(sqlite3.IntegrityError, match=REFUSED):
            sqlite.execute(statement)
        assert sqlite.execute("SELECT id, action FROM audit_events").fetchall() == [(1, "signed_in")], statement


@on_sqlite
def test_events_are_still_added_with_and_without_an_id(sqlite: sqlite3.Connection) -> None:
    sqlite.execute(f"INSERT INTO audit_events {COLUMNS} VALUES (NULL, {EVENT})")
    sqlite.execute(f"INSERT INTO audit_events {COLUMNS} VALUES (7, {EVENT}), (NULL, {EVENT})")
    assert [id_ for (id_,) in sqlite.execute("SELECT id FROM audit_events ORDER BY id")] == [1, 2, 7, 8]


@on_postgresql
async def test_no_session_of_postgresql_rewrites_an_event_whatever_its_role(psql: asyncpg.Connection) -> None:
    for role, statement in product(["origin", "local", "replica"], [*REWRITES, "TRUNCATE audit_events"]):
        await psql.execute(f"SET session_replication_role = {role}")
        with pytest.raises(asyncpg.RaiseError, match=REFUSED):
            await psql.execute(statement)
        assert await psql.fetch("SELECT id, action FROM audit_events") == [(1, "signed_in")], (role, statement)


@on_postgresql
async def test_every_trigger_of_ours_fires_whatever_the_role_of_the_session(psql: asyncpg.Connection) -> None:
    ours = await psql.fetch("SELECT tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal")
    assert "audit_events_append_only" in {name for name, _ in ours}
    assert [name for name, enabled in ours if enabled != b"A"] == []
