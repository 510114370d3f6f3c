"""Read sessions refuse to write, whatever way it is tried."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest
from sqlalchemy import bindparam, delete, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import AppServices
from app.core.clock import utc_now
from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.core.db.prepared import Prepared
from app.core.db.read_only import ReadOnlySessionError, is_read
from app.core.db.session import ReadSession, fetch
from app.models.generation import Generation

TABLE = Generation.metadata.tables["generations"]
INSERT = insert(TABLE).values(resource="new", number=1, created_at=utc_now(), updated_at=utc_now())
TEXT = "UPDATE generations SET number = 2"
PREPARED = Prepared(TABLE.delete().where(TABLE.c.resource == bindparam("wanted")).returning(TABLE.c.resource))
CTE = select(TABLE.delete().returning(TABLE.c.resource).cte("gone").c.resource)


async def add_entity(session: Any) -> None:
    session.add(Generation(resource="new", number=1))
    await session.flush()


async def commit_pending_entity(session: AsyncSession) -> None:
    session.sync_session.add(Generation(resource="new", number=1))
    await session.commit()


async def commit_changed_entity(session: AsyncSession) -> None:
    row = (await session.scalars(select(Generation))).one()
    row.number = 2
    await session.commit()


async def delete_entity(session: Any) -> None:
    await session.delete((await session.scalars(select(Generation))).one())
    await session.flush()


async def delete_entity_unseen(session: AsyncSession) -> None:
    session.sync_session.delete((await session.scalars(select(Generation))).one())
    await session.flush()


async def merge_entity(session: Any) -> None:
    await session.merge(Generation(resource="new", number=1))
    await session.flush()


async def insert_rows(session: AsyncSession) -> None:
    await session.execute(INSERT)


async def insert_many(session: AsyncSession) -> None:
    await session.execute(insert(Generation), [{"resource": name, "number": 1} for name in "ab"])


async def update_rows(session: AsyncSession) -> None:
    await session.execute(update(Generation).values(number=2))


async def delete_rows(session: AsyncSession) -> None:
    await session.execute(delete(Generation))


async def update_by_text(session: AsyncSession) -> None:
    await session.execute(text(f"-- a comment\n  {TEXT}"))


async def update_by_connection(session: AsyncSession) -> None:
    await (await session.connection()).execute(update(TABLE).values(number=2))


async def update_by_driver_sql(session: AsyncSession) -> None:
    await (await session.connection()).exec_driver_sql(TEXT)


async def fetch_write(session: AsyncSession) -> None:
    await fetch(session, PREPARED, wanted="there")


async def fetch_write_after_read(session: AsyncSession) -> None:
    await session.scalars(select(Generation))
    await fetch(session, PREPARED, wanted="there")


async def execute_cte(session: AsyncSession) -> None:
    await session.execute(CTE)


async def create_table(session: AsyncSession) -> None:
    await session.execute(text("CREATE TABLE others (id integer)"))


type Write = Callable[[Any], Awaitable[None]]
WAYS: list[Write] = [
    add_entity,
    commit_pending_entity,
    commit_changed_entity,
    delete_entity,
    delete_entity_unseen,
    merge_entity,
    insert_rows,
    insert_many,
    update_rows,
    delete_rows,
    update_by_text,
    update_by_connection,
    update_by_driver_sql,
    fetch_write,
    fetch_write_after_read,
    execute_cte,
    create_table,
]


async def stored(session: AsyncSession) -> list[tuple[str, int]]:
    rows = await session.execute(select(Generation.resource, Generation.number))
    return [cast("tuple[str, int]", tuple(row)) for row in rows]


@pytest.fixture
async def database(real_settings: Settings) -> AsyncIterator[Database]:
    database = Database(real_settings)
    async with database.transaction() as session:
        session.add(Generation(resource="there", number=1))
    yield database
    await database.close()


@pytest.mark.real_database
@pytest.mark.parametrize("kind", ["read", "primary"])
async def test_a_read_session_refuses_to_write(database: Database, kind: str) -> None:
    for write in WAYS:
        with pytest.raises(ReadOnlySessionError, match="take SessionDep"):
            async with getattr(database, kind)() as session:
                await write(session)
        async with database.primary() as session:
            assert await stored(session) == [("there", 1)], write.__name__


async def test_it_does_so_where_a_test_shares_one_connection(services: AppServices, session: AsyncSession) -> None:
    session.add(Generation(resource="there", number=1))
    await session.commit()
    for write in WAYS:
        with pytest.raises(ReadOnlySessionError):
            async with services.database.read() as reader:
                await write(reader)
        session.expire_all()
        assert await stored(session) == [("there", 1)], write.__name__
    await session.execute(update(Generation).values(number=2))


@pytest.mark.real_database
async def test_it_may_read_and_lock(database: Database, is_postgresql: bool) -> None:
    async with database.read() as session:
        assert isinstance(session, ReadSession)
        assert await stored(session) == [("there", 1)]
        named = select(Generation.resource).cte("named")
        assert await session.scalar(select(named)) == "there"
        assert await session.scalar(select(Generation.resource).with_for_update()) == "there"
        if is_postgresql:
            assert await session.scalar(text("SHOW transaction_read_only")) == "off"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "\n/* UPDATE */ (SELECT 'DELETE FROM x')",
        'WITH a AS (SELECT 1) SELECT updated_at, "update" FROM a FOR UPDATE OF a',
        "SELECT 1 FOR NO KEY UPDATE SKIP LOCKED",
        "SAVEPOINT one",
        "PRAGMA table_info(users)",
    ],
)
def test_what_reads_is_known_by_its_sql(sql: str) -> None:
    assert is_read(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO a VALUES (1)",
        "-- SELECT\nupdate a set b = 1",
        "WITH a AS (UPDATE b SET c = 1 RETURNING c) SELECT c FROM a",
        "EXPLAIN ANALYZE DELETE FROM a",
        "SELECT * INTO a FROM b",
        "PRAGMA user_version = 3",
        "TRUNCATE a",
        "COPY a FROM STDIN",
        "CALL something()",
        "",
    ],
)
def test_what_writes_is_known_by_its_sql(sql: str) -> None:
    assert not is_read(sql)
