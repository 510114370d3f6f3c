"""The migration after which an imported address is found by either way of writing its domain."""

import asyncio
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text
from sqlalchemy.engine import URL

from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.core.db.migrations import alembic_config
from app.crud.user import users
from tests.conftest import settings_for

BEFORE, AFTER = "e4b90c6f2d17", "b7d2640f8e15"
NOW = "'2026-11-26 00:00:00+00:00'"
KEYS = [
    "a@xn--bcher-kva.example",
    "b@xn--bcher-kva.example",
    "b@bücher.example",
    "c@xn--a.example",
    "xn--d@example.com",
]
AFTERWARDS = {1: "a@bücher.example", 2: KEYS[1], 3: KEYS[2], 4: KEYS[3], 5: KEYS[4]}


async def store(settings: Settings) -> None:
    database = Database(settings)
    async with database.transaction() as session:
        for number, key in enumerate(KEYS, start=1):
            await session.execute(
                text(
                    "INSERT INTO users (id, username, username_key, email, email_key, hashed_password, role, is_active,"
                    " is_verified, created_at, updated_at, version) VALUES "
                    f"({number}, 'u{number}', 'u{number}', :key, :key, '!', 'user', true, false, {NOW}, {NOW}, 1)"
                ),
                {"key": key},
            )
    await database.close()


async def keys(settings: Settings) -> dict[int, str]:
    database = Database(settings)
    async with database.primary() as session:
        for typed in ("A@bücher.example", "a@xn--bcher-kva.example "):
            found = await users.find_by_login(session, typed)
            assert found is not None
            assert found.id == 1
        rows = await session.execute(text("SELECT id, email_key FROM users ORDER BY id"))
        stored = {row.id: row.email_key for row in rows}
    await database.close()
    return stored


@pytest.mark.real_database
def test_addresses_that_were_imported_in_punycode_are_found_in_unicode(empty_url: URL, tmp_path: Path) -> None:
    settings = settings_for(empty_url, tmp_path)
    config = alembic_config(settings)
    command.upgrade(config, BEFORE)
    asyncio.run(store(settings))
    command.upgrade(config, AFTER)
    assert asyncio.run(keys(settings)) == AFTERWARDS
    command.downgrade(config, BEFORE)
