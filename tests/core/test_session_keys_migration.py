"""The migration that names sessions by keys: tokens of before name none, so everybody signs in once more."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.engine import URL

from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.core.db.migrations import alembic_config
from tests.conftest import settings_for

pytestmark = pytest.mark.real_database
REVISION = "5e0c7ad91f36"
USER = (
    "INSERT INTO users (id, username, username_key, email, email_key, hashed_password, role, is_active, is_verified,"
    " version, created_at, updated_at)"
    " VALUES (1, 'a', 'a', 'a@b.c', 'a@b.c', '', 'user', true, true, 1, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP)"
)
SESSION = (
    "INSERT INTO sessions (id, user_id, scope, rotation, rotated_at, expires_at, created_at, updated_at) VALUES"
    " (9, 1, '', 0, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP)"
)
COUNTS = "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM sessions)"


async def run(settings: Settings, *statements: str) -> list[tuple[Any, ...]]:
    """The rows of the last statement."""
    database = Database(settings)
    async with database.engine.begin() as connection:
        results = [await connection.execute(text(statement)) for statement in statements]
        rows = [tuple(row) for row in results[-1]] if results[-1].returns_rows else []
    await database.close()
    return rows


def test_sessions_of_before_end_and_accounts_stay(empty_url: URL, tmp_path: Path) -> None:
    settings = settings_for(empty_url, tmp_path)
    config = alembic_config(settings)
    before = ScriptDirectory.from_config(config).get_revision(REVISION).down_revision
    assert isinstance(before, str)
    command.upgrade(config, before)
    asyncio.run(run(settings, USER, SESSION))
    command.upgrade(config, REVISION)
    assert asyncio.run(run(settings, COUNTS)) == [(1, 0)]
    command.downgrade(config, before)
    asyncio.run(run(settings, SESSION))
    assert asyncio.run(run(settings, COUNTS)) == [(1, 1)], "as the code of before writes it"
