"""Databases that answer and are of no use: their encodings, a schema that is missing."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy.engine import URL, make_url

from app.cli.faults import explain
from app.core.config.settings import Settings
from app.core.db import migrations
from app.core.db.fitness import UnfitDatabaseError, fault_of
from app.core.db.startup import check_replica
from tests.conftest import POSTGRES_URL, connected, new_database_name, run_on_server, running, settings_for
from tests.factories import Factory

only_postgresql = pytest.mark.skipif(POSTGRES_URL is None, reason="needs STRATA_TEST_DATABASE_URL")


@asynccontextmanager
async def database_in(encoding: str) -> AsyncIterator[URL]:
    assert POSTGRES_URL is not None
    name = new_database_name("encoding")
    await run_on_server(f"CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    try:
        yield make_url(POSTGRES_URL).set(drivername="postgresql+asyncpg", database=name)
    finally:
        await run_on_server(f"DROP DATABASE {name} WITH (FORCE)")


@only_postgresql
@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
async def test_a_database_that_cannot_hold_all_characters_is_refused_with_the_mend(
    encoding: str, tmp_path: Path
) -> None:
    async with database_in(encoding) as url:
        # As long as it tried again, the test would time out.
        settings = settings_for(url, tmp_path, db_retry_interval=60)
        with pytest.raises(UnfitDatabaseError) as caught:
            await migrations.read_revision(settings)
    (line,) = explain(caught.value) or []
    assert f"/{url.database} has the encoding {encoding}, " in line
    assert "CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0" in line


@only_postgresql
async def test_a_replica_that_cannot_hold_all_characters_is_refused_too(real_settings: Settings) -> None:
    async with database_in("LATIN1") as url:
        replica = {"database_read_url": url.render_as_string(hide_password=False)}
        settings = Settings.model_validate(real_settings.model_dump(exclude_none=True) | replica)
        with pytest.raises(UnfitDatabaseError, match="LATIN1"):
            await check_replica(settings)


async def test_a_replica_that_is_away_ends_no_start(tmp_path: Path) -> None:
    url = URL.create("postgresql+asyncpg", "u", host="127.0.0.1", port=1, database="d")
    settings = settings_for(url, tmp_path)
    await check_replica(settings.model_copy(update={"database_read_url": settings.database_url}))


@only_postgresql
async def test_a_schema_that_is_missing_is_told(empty_url: URL, tmp_path: Path) -> None:
    settings = settings_for(empty_url.update_query_dict({"search_path": "shop"}), tmp_path, db_retry_interval=60)
    with pytest.raises(UnfitDatabaseError, match="has no schema of its search_path"):
        await migrations.read_revision(settings)


def test_cockroachdb_is_told_by_its_version() -> None:
    assert "use PostgreSQL" in (fault_of("UTF8", "public", "CockroachDB CCL v24.1.0 (x86_64)") or "")
    assert fault_of("UTF8", "public", "PostgreSQL 17.0") is None


def test_an_sqlite_file_in_utf_16_holds_all_characters(tmp_path: Path) -> None:
    path = tmp_path / "strata.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA encoding = 'UTF-16le'")
        connection.execute("CREATE TABLE other (id INTEGER)")
    connection.close()
    settings = settings_for(URL.create("sqlite+aiosqlite", database=str(path)), tmp_path)
    migrations.upgrade(settings)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA encoding").fetchone() == ("UTF-16le",)
    connection.close()
    titles = ["b 😀 Äpfel", "a äpfel", "c Birnen", "ä ÄPFEL", "😀 Äpfel"]
    assert sorted(asyncio.run(found(settings, titles, "äpfel"))) == sorted({*titles} - {"c Birnen"})


async def found(settings: Settings, titles: list[str], query: str) -> list[str]:
    """What a search tells, page by page."""
    async with running(settings) as (_, manager, services), connected(manager.app) as client:
        make = Factory(services)
        user = await make.user()
        for title in titles:
            await make.item(user, title=title)
        parameters, told = {"q": query, "sort": "title", "limit": "1"}, []
        while True:
            page = (await client.get("/api/v1/items", params=parameters, headers=await make.bearer(user))).json()
            told += [item["title"] for item in page["items"]]
            if page["next_cursor"] is None:
                return told
            parameters["cursor"] = page["next_cursor"]
