"""Alembic, driven from Python: the same settings, engine and retry as the server has.

Whether there is anything to migrate is found out without it: importing it costs 10 MB and a fifth of a second,
which every start would pay for the few that migrate.
"""

import asyncio
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.config.settings import Settings
from app.core.db.engine import create_engine
from app.core.db.startup import wait_for_database

if TYPE_CHECKING:
    from alembic.config import Config

PACKAGE = Path(__file__).resolve().parents[2]
ROOT = PACKAGE.parent
INSTALLED = PACKAGE / "migrations"
# A wheel has them inside of its package; beside an installed package `alembic` is the library.
SCRIPTS = INSTALLED if INSTALLED.is_dir() else ROOT / "alembic"
VERSIONS = SCRIPTS / "versions"
IDENTIFIER = re.compile(r"^(down_)?revision\b[^=]*=(.*)$", re.MULTILINE)
QUOTED = re.compile(r"""["'](\w+)["']""")


def alembic_config(settings: Settings | None = None) -> "Config":
    """Alembic's configuration; `alembic/env.py` takes the settings from it, or loads them itself."""
    from alembic.config import Config  # noqa: PLC0415 - see above

    is_installed = SCRIPTS == INSTALLED
    # Its default is what stdout was when Alembic was imported.
    config = Config(None if is_installed else ROOT / "alembic.ini", stdout=sys.stdout)
    if is_installed:  # what else is in that file is for those who write migrations
        config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["settings"] = settings
    return config


def upgrade(settings: Settings) -> None:
    """Bring the database to the newest migration. Starts its own event loop: call it where none runs."""
    if asyncio.run(read_revision(settings)) == migration_head():
        return
    from alembic import command  # noqa: PLC0415 - see above

    command.upgrade(alembic_config(settings), "head")


def migration_head(versions: Path = VERSIONS) -> str | None:
    """The newest migration that this code knows: the one that no other builds on."""
    heads = known_revisions(versions) - known_revisions(versions, "down_")
    return heads.pop() if len(heads) == 1 else None


def known_revisions(versions: Path = VERSIONS, prefix: str = "") -> set[str]:
    """The migrations that this code has; with `down_` those that others build on."""
    found = (match for path in versions.glob("*.py") for match in IDENTIFIER.findall(path.read_text()))
    return {revision for before, value in found if before == prefix for revision in QUOTED.findall(value)}


async def read_revision(settings: Settings) -> str | None:
    """The migration that the settings' database is at, once that can be reached."""
    engine = create_engine(settings.database, settings)
    try:
        await wait_for_database(engine, settings)
        async with engine.connect() as connection:
            return await database_revision(connection)
    finally:
        await engine.dispose()


async def database_revision(connection: AsyncConnection) -> str | None:
    """The migration that the database is at; None before the first."""
    return await connection.run_sync(read_version)


def read_version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return version
