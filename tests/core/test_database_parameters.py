"""What the parameters of a URL come to on a real PostgreSQL."""

import asyncio
import time
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from app.core.config.settings import Settings
from app.core.db import migrations
from app.core.db.engine import Database, create_engine
from app.core.db.errors import sqlstate
from tests.conftest import POSTGRES_URL, running, settings_for
from tests.factories import Factory
from tests.pgbouncer import pgbouncer

only_postgresql = pytest.mark.skipif(POSTGRES_URL is None, reason="needs STRATA_TEST_DATABASE_URL")


def with_parameters(url: URL, **parameters: str) -> URL:
    return url.set(drivername="postgresql").update_query_dict(parameters)


async def asked(settings: Settings, *questions: str) -> list[str]:
    database = Database(settings)
    try:
        async with database.primary() as session:
            return [str(await session.scalar(text(question))) for question in questions]
    finally:
        await database.close()


@only_postgresql
async def test_settings_of_the_session_reach_the_server_and_win_over_ours(real_url: URL, tmp_path: Path) -> None:
    options = "-c statement_timeout=4s --lock-timeout=3s"
    url = with_parameters(real_url, options=options, application_name="shop", idle_in_transaction_session_timeout="9s")
    names = ("statement_timeout", "lock_timeout", "application_name", "idle_in_transaction_session_timeout")
    settings = settings_for(url, tmp_path)
    assert await asked(settings, *(f"SHOW {name}" for name in names)) == ["4s", "3s", "shop", "9s"]


@only_postgresql
async def test_a_statement_is_cancelled_when_the_url_says(real_url: URL, tmp_path: Path) -> None:
    settings = settings_for(with_parameters(real_url, statement_timeout="100"), tmp_path)
    with pytest.raises(DBAPIError) as caught:
        await asked(settings, "SELECT pg_sleep(20)")
    assert sqlstate(caught.value) == "57014"


@only_postgresql
def test_migrations_have_their_time_whatever_the_url_says(empty_url: URL, tmp_path: Path) -> None:
    url = with_parameters(empty_url, options="-c statement_timeout=1us", statement_timeout="1ms")
    settings = settings_for(url, tmp_path)
    patient = settings_for(empty_url, tmp_path)
    command.upgrade(migrations.alembic_config(settings), "head")
    assert asyncio.run(migrations.read_revision(patient)) == migrations.migration_head()


@only_postgresql
def test_everything_can_live_in_a_schema_of_its_own(empty_url: URL, tmp_path: Path) -> None:
    async def use() -> None:
        database = Database(settings_for(empty_url, tmp_path))
        async with database.transaction() as session:
            await session.execute(text("CREATE SCHEMA shop"))
        await database.close()

    async def look() -> None:
        async with running(settings) as (_, _manager, services):
            await Factory(services).user()
        tables = "SELECT count(*) FROM pg_tables WHERE schemaname = '{}'"
        there, elsewhere = await asked(settings, tables.format("shop"), tables.format("public"))
        assert int(there) > 5
        assert elsewhere == "0"

    asyncio.run(use())
    settings = settings_for(with_parameters(empty_url, schema="shop"), tmp_path)
    migrations.upgrade(settings)
    assert asyncio.run(migrations.read_revision(settings)) == migrations.migration_head()
    asyncio.run(look())


@only_postgresql
async def test_the_listener_goes_by_the_name_in_the_url(real_url: URL, tmp_path: Path) -> None:
    settings = settings_for(with_parameters(real_url, application_name="shop"), tmp_path)
    async with running(settings):
        question = (
            "SELECT string_agg(DISTINCT application_name, ',') FROM pg_stat_activity WHERE datname = current_database()"
        )
        names: list[str] = []
        async with asyncio.timeout(20):
            while "shop listener" not in names:
                names = (await asked(settings, question))[0].split(",")


@only_postgresql
async def test_a_host_that_is_away_is_passed_over_and_a_standby_not_taken_for_a_primary(
    real_url: URL, tmp_path: Path
) -> None:
    host, port = real_url.host or "localhost", real_url.port or 5432
    hosts = {"host": f"127.0.0.1,{host}", "port": f"1,{port}"}
    url = real_url.set(drivername="postgresql", host=None, port=None).update_query_dict(hosts)
    read_write = settings_for(url.update_query_dict({"target_session_attrs": "read-write"}), tmp_path)
    assert await asked(read_write, "SELECT 1") == ["1"]
    standby = settings_for(url.update_query_dict({"target_session_attrs": "standby"}), tmp_path)
    with pytest.raises((SQLAlchemyError, OSError)):
        await asked(standby, "SELECT 1")


@only_postgresql
async def test_pgbouncer_true_is_all_that_a_url_to_it_needs(real_url: URL, tmp_path: Path) -> None:
    with pgbouncer(real_url, tmp_path) as pooled:
        url = with_parameters(pooled, pgbouncer="true", connection_limit="2", statement_timeout="5s")
        settings = settings_for(url, tmp_path)
        assert await asked(settings, *["SELECT 1"] * 5) == ["1"] * 5


async def test_a_server_that_says_nothing_is_given_up_after_the_connect_timeout(tmp_path: Path) -> None:
    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = URL.create("postgresql", "u", host="127.0.0.1", port=port, database="d", query={"connect_timeout": "0.2"})
        settings = settings_for(url, tmp_path)
        engine = create_engine(settings.database, settings)
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await engine.connect()
        assert time.monotonic() - began < 8
        server.close_clients()
        await engine.dispose()
