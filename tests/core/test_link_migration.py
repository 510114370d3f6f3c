"""The migration that leaves one link a user and purpose."""

import asyncio
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import IntegrityError

from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.core.db.migrations import alembic_config
from tests.conftest import settings_for

BEFORE, AFTER = "c1a75e0b94d2", "4d9e27b6a0f3"
NOW = "'2026-11-26 00:00:00+00:00'"
USER = f"""
    INSERT INTO users (id, username, username_key, email, email_key, hashed_password, role, is_active, is_verified,
        created_at, updated_at, version)
    VALUES (1, 'a', 'a', 'a@b.c', 'a@b.c', '!', 'user', true, false, {NOW}, {NOW}, 1)
"""
LINK = f"""
    INSERT INTO one_time_tokens (user_id, purpose, digest, binding, expires_at, created_at, updated_at)
    VALUES (1, 'reset_password', :digest, 'x', {NOW}, {NOW}, {NOW})
"""


async def store_links(settings: Settings, *digests: str, user: bool = False) -> None:
    database = Database(settings)
    try:
        async with database.transaction() as session:
            if user:
                await session.execute(text(USER))
            for digest in digests:
                await session.execute(text(LINK), {"digest": digest})
    finally:
        await database.close()


@pytest.mark.real_database
def test_links_that_were_mailed_twice_are_no_obstacle_and_there_will_be_none(empty_url: URL, tmp_path: Path) -> None:
    settings = settings_for(empty_url, tmp_path)
    config = alembic_config(settings)
    command.upgrade(config, BEFORE)
    asyncio.run(store_links(settings, "first", "second", user=True))
    command.upgrade(config, AFTER)
    asyncio.run(store_links(settings, "third"))
    with pytest.raises(IntegrityError):
        asyncio.run(store_links(settings, "fourth"))
    command.downgrade(config, BEFORE)
    asyncio.run(store_links(settings, "fifth", "sixth"))
