"""Migrations: up, down, up again; what they build is what the models say; many at once do it once."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from typing import Any

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import CheckConstraint, Connection, UniqueConstraint, func, inspect, select, text
from sqlalchemy.engine import URL

from app.core.clock import utc_now
from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.core.db.migrations import ROOT, alembic_config, database_revision, migration_head, upgrade
from app.models import metadata
from app.models.device_session import DeviceSession
from app.models.user import User
from tests.conftest import POSTGRES_URL, run_on_server, settings_for
from tests.factories import PASSWORD_HASH

pytestmark = pytest.mark.real_database

SCRIPTS = ScriptDirectory.from_config(alembic_config())
REVISIONS = [script.revision for script in reversed(list(SCRIPTS.walk_revisions()))]

# Of PostgreSQL alone, and only where we may have its extension.
TRIGRAMS = "ix_items_trigrams"

type Tables = dict[str, dict[str, list[str]]]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a database looks like from outside: its revision, and what its tables are made of."""

    revision: str | None
    tables: Tables


@pytest.fixture
def empty_settings(empty_url: URL, tmp_path: Path) -> Settings:
    return settings_for(empty_url, tmp_path)


@pytest.fixture
def copied_config(empty_settings: Settings, tmp_path: Path) -> Config:
    """The migrations, up to the newest applied, in a folder where a test may add one."""
    shutil.copytree(ROOT / "alembic", tmp_path / "alembic")
    config = alembic_config(empty_settings)
    config.set_main_option("script_location", str(tmp_path / "alembic"))
    command.upgrade(config, "head")
    return config


def add_migration(config: Config, body: str) -> None:
    """A migration after the newest one, whose `upgrade` is `body`."""
    folder = Path(config.get_main_option("script_location") or "") / "versions"
    (folder / "new.py").write_text(
        f"import sqlalchemy as sa\nfrom alembic import op\n\nrevision = 'new'\ndown_revision = {migration_head()!r}\n\n"
        f"def upgrade():\n{indent(body, '    ')}\n\ndef downgrade():\n    pass\n"
    )


def tables_of(connection: Connection) -> Tables:
    inspector = inspect(connection)
    return {
        table: {
            "columns": [f"{column['name']} {column['type']!r} {column['nullable']}" for column in columns],
            "indexes": sorted(
                str(index["name"]) for index in inspector.get_indexes(table) if "duplicates_constraint" not in index
            ),
            "unique": sorted(str(constraint["name"]) for constraint in inspector.get_unique_constraints(table)),
            "checks": sorted(str(constraint["name"]) for constraint in inspector.get_check_constraints(table)),
            "foreign keys": sorted(str(constraint["name"]) for constraint in inspector.get_foreign_keys(table)),
            "primary key": [str(inspector.get_pk_constraint(table)["name"])],
        }
        for (_, table), columns in inspector.get_multi_columns().items()
        if table != "alembic_version"
    }


async def snapshot(settings: Settings) -> Snapshot:
    database = Database(settings)
    try:
        async with database.engine.connect() as connection:
            return Snapshot(await database_revision(connection), await connection.run_sync(tables_of))
    finally:
        await database.close()


async def store_account(settings: Settings) -> None:
    database = Database(settings)
    now = utc_now()
    async with database.transaction() as session:
        session.add(alice := User(username="alice", email="a@example.com", hashed_password=PASSWORD_HASH))
        await session.flush()
        session.add(DeviceSession(user_id=alice.id, scope="", rotated_at=now, expires_at=now))
    await database.close()


async def count_rows(settings: Settings) -> tuple[int, int]:
    """Users and sessions."""
    database = Database(settings)
    async with database.primary() as session:
        users = await session.scalar(select(func.count()).select_from(User))
        devices = await session.scalar(select(func.count()).select_from(DeviceSession))
    await database.close()
    return users or 0, devices or 0


def test_there_is_one_line_of_migrations() -> None:
    assert SCRIPTS.get_heads() == [REVISIONS[-1]] == [migration_head()]
    assert SCRIPTS.get_bases() == [REVISIONS[0]]


def test_each_migration_can_be_taken_back_and_applied_again(empty_settings: Settings) -> None:
    config = alembic_config(empty_settings)
    before = asyncio.run(snapshot(empty_settings))
    assert before == Snapshot(None, {})
    for revision in REVISIONS:
        command.upgrade(config, revision)
        after = asyncio.run(snapshot(empty_settings))
        assert after.revision == revision
        command.downgrade(config, "-1")
        assert asyncio.run(snapshot(empty_settings)) == before
        command.upgrade(config, revision)
        assert asyncio.run(snapshot(empty_settings)) == after
        before = after
    command.downgrade(config, "base")
    assert asyncio.run(snapshot(empty_settings)) == Snapshot(None, {})


def test_migrations_build_what_the_models_say(settings: Settings) -> None:
    command.check(alembic_config(settings))


def test_what_migrations_build_has_the_names_that_the_models_give(settings: Settings) -> None:
    built = asyncio.run(snapshot(settings)).tables
    assert built.keys() == metadata.tables.keys()
    for name, table in metadata.tables.items():
        constraints = table.constraints
        assert {column.split()[0] for column in built[name]["columns"]} == set(table.columns.keys())
        indexes = [index for index in built[name]["indexes"] if index != TRIGRAMS]
        assert indexes == sorted(str(index.name) for index in table.indexes)
        assert built[name]["unique"] == sorted(str(c.name) for c in constraints if isinstance(c, UniqueConstraint))
        checks = [str(c.name) for c in constraints if isinstance(c, CheckConstraint) and c.name]
        assert built[name]["checks"] == sorted(checks)
        assert built[name]["foreign keys"] == sorted(str(key.name) for key in table.foreign_key_constraints)
        if POSTGRES_URL is not None:  # SQLite's AUTOINCREMENT leaves no room for a name
            assert built[name]["primary key"] == [table.primary_key.name]


@pytest.mark.skipif(POSTGRES_URL is not None, reason="PostgreSQL's sequences never go back")
async def test_no_table_that_migrations_build_gives_an_id_twice(settings: Settings) -> None:
    database = Database(settings)
    async with database.primary() as session:
        found = await session.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    await database.close()
    statements = {name: sql for name, sql in found if name in metadata.tables}
    assert statements.keys() == metadata.tables.keys()
    assert [name for name, sql in statements.items() if "AUTOINCREMENT" not in sql] == []


def test_upgrading_twice_changes_nothing(empty_settings: Settings) -> None:
    upgrade(empty_settings)
    first = asyncio.run(snapshot(empty_settings))
    upgrade(empty_settings)
    assert asyncio.run(snapshot(empty_settings)) == first
    assert first.revision == migration_head()


def test_a_migration_that_fails_leaves_nothing_behind(copied_config: Config, empty_settings: Settings) -> None:
    before = asyncio.run(snapshot(empty_settings))
    add_migration(
        copied_config,
        "op.create_table('half', sa.Column('id', sa.Integer(), primary_key=True))\n"
        "op.execute('UPDATE users SET version = version + 1')\n"
        "raise RuntimeError('half way')",
    )
    with pytest.raises(RuntimeError, match="half way"):
        command.upgrade(copied_config, "head")
    assert asyncio.run(snapshot(empty_settings)) == before


def test_rebuilding_a_table_keeps_what_refers_to_it(copied_config: Config, empty_settings: Settings) -> None:
    """SQLite can change little of a table in place: Alembic copies it and drops the old one."""
    asyncio.run(store_account(empty_settings))
    add_migration(
        copied_config,
        "with op.batch_alter_table('users', table_kwargs={'sqlite_autoincrement': True}) as users:\n"
        "    users.alter_column('full_name', existing_type=sa.String(255), type_=sa.String(100))",
    )
    command.upgrade(copied_config, "head")
    assert asyncio.run(count_rows(empty_settings)) == (1, 1)


@pytest.mark.skipif(POSTGRES_URL is not None, reason="PostgreSQL changes tables in place")
def test_rebuilding_a_table_keeps_its_triggers(copied_config: Config, empty_settings: Settings) -> None:
    before = asyncio.run(triggers_of(empty_settings))
    add_migration(
        copied_config,
        "with op.batch_alter_table('audit_events', table_kwargs={'sqlite_autoincrement': True}) as audit_events:\n"
        "    audit_events.alter_column('ip', existing_type=sa.Text(), type_=sa.String(100))",
    )
    command.upgrade(copied_config, "head")
    assert asyncio.run(triggers_of(empty_settings)) == before
    assert {table for table, _ in before} == {"audit_events"}


async def triggers_of(settings: Settings) -> list[tuple[str, str]]:
    """The table of each, and what it does."""
    database = Database(settings)
    async with database.primary() as session:
        found = await session.execute(
            text("SELECT tbl_name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name")
        )
    await database.close()
    return [(table, sql) for table, sql in found]


def test_a_migration_that_leaves_orphans_is_refused(copied_config: Config, empty_settings: Settings) -> None:
    asyncio.run(store_account(empty_settings))
    add_migration(copied_config, "op.execute('UPDATE sessions SET user_id = 999')")
    with pytest.raises(Exception, match=r"without those of users they need|fk_sessions_user_id_users"):
        command.upgrade(copied_config, "head")
    assert asyncio.run(snapshot(empty_settings)).revision == migration_head()


def test_a_database_of_a_newer_version_is_told_apart(copied_config: Config, empty_settings: Settings) -> None:
    add_migration(copied_config, "pass")
    command.upgrade(copied_config, "head")
    with pytest.raises(CommandError, match="Can't locate revision identified by 'new'"):
        upgrade(empty_settings)


def test_many_that_upgrade_one_empty_database_at_once_do_it_once(empty_url: URL, tmp_path: Path) -> None:
    environment = os.environ | {
        "DATABASE_URL": empty_url.render_as_string(hide_password=False),
        "DATA_DIR": str(tmp_path),
        "ENVIRONMENT": "test",
    }
    strata = [sys.executable, "-c", "from app.cli import main; main()", "db", "upgrade"]
    processes = [
        subprocess.Popen(strata, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    try:
        outputs = [process.communicate(timeout=60) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert [process.returncode for process in processes] == [0] * 4, outputs
    assert all(f"at {migration_head()}, up to date" in output for output, _ in outputs)
    applied = [line for _, errors in outputs for line in errors.splitlines() if '"message": "migrated"' in line]
    assert len(applied) == len(REVISIONS), outputs


@pytest.mark.skipif(POSTGRES_URL is None, reason="SQLite has no extensions")
def test_a_role_that_may_not_create_extensions_migrates_without_the_trigram_index(
    empty_url: URL, tmp_path: Path, logs: Callable[[], list[dict[str, Any]]]
) -> None:
    role = f"{empty_url.database}_role"
    asyncio.run(run_on_server(f"CREATE ROLE \"{role}\" LOGIN PASSWORD 'its-own-word'"))
    try:
        asyncio.run(run_in(empty_url, f'GRANT CREATE, USAGE ON SCHEMA public TO "{role}"'))
        settings = settings_for(empty_url.set(username=role, password="its-own-word"), tmp_path)
        upgrade(settings)
        migrated = asyncio.run(snapshot(settings))
        [warning] = logs()
        assert (warning["level"], warning["event"].partition(":")[0]) == ("warning", "no trigram index for the search")
        command.check(alembic_config(settings))
        command.downgrade(alembic_config(settings), "-1")
        command.upgrade(alembic_config(settings), "head")
        assert asyncio.run(snapshot(settings)) == migrated
    finally:
        asyncio.run(run_in(empty_url, f'DROP OWNED BY "{role}"'))
        asyncio.run(run_on_server(f'DROP ROLE "{role}"'))
    assert migrated.revision == migration_head()
    assert TRIGRAMS not in migrated.tables["items"]["indexes"]


@pytest.mark.skipif(POSTGRES_URL is None, reason="SQLite has no extensions")
def test_an_extension_that_is_where_nobody_looks_is_done_without(
    empty_url: URL, tmp_path: Path, logs: Callable[[], list[dict[str, Any]]]
) -> None:
    """As where an operator has put all extensions into a schema of their own."""
    settings = settings_for(empty_url, tmp_path)
    asyncio.run(run_in(empty_url, "CREATE SCHEMA elsewhere", "CREATE EXTENSION pg_trgm SCHEMA elsewhere"))
    upgrade(settings)
    migrated = asyncio.run(snapshot(settings))
    assert migrated.revision == migration_head()
    assert TRIGRAMS not in migrated.tables["items"]["indexes"]
    assert [line["level"] for line in logs()] == ["warning"]


async def run_in(url: URL, *statements: str) -> None:
    connection = await asyncpg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False))
    for statement in statements:
        await connection.execute(statement)
    await connection.close()
