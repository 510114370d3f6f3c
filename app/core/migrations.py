"""Alembic, driven from Python: the same settings, engine and retry as the server has."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.config import Settings

ROOT = Path(__file__).resolve().parents[2]


def alembic_config(settings: Settings | None = None) -> Config:
    """Alembic's configuration; `alembic/env.py` takes the settings from it, or loads them itself."""
    config = Config(ROOT / "alembic.ini")
    config.attributes["settings"] = settings
    return config


def upgrade(settings: Settings) -> None:
    """Bring the database to the newest migration. Starts its own event loop: call it where none runs."""
    command.upgrade(alembic_config(settings), "head")


def migration_head() -> str | None:
    """The newest migration that this code knows."""
    return ScriptDirectory.from_config(alembic_config()).get_current_head()


async def database_revision(connection: AsyncConnection) -> str | None:
    """The migration that the database is at; None before the first."""

    def read(sync_connection: Connection) -> str | None:
        return MigrationContext.configure(sync_connection).get_current_revision()

    return await connection.run_sync(read)
