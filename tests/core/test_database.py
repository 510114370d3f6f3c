"""Engines, sessions and what databases' errors mean, on real databases."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.config.settings import Settings
from app.core.db import migrations, postgresql
from app.core.db.engine import Database, create_engine
from app.core.db.errors import is_connection_failure, sqlstate, violated_constraint
from app.core.db.postgresql import asyncpg_arguments
from app.core.db.startup import is_worth_retrying, wait_for_database
from app.core.errors import AppError, ConflictError
from app.models.device_session import DeviceSession
from app.models.item import Item
from app.models.user import User
from tests.conftest import POSTGRES_URL, connected, running, settings_for
from tests.factories import PASSWORD_HASH, Factory
from tests.pgbouncer import pgbouncer
from tests.standin import stand_in

only_sqlite = pytest.mark.skipif(POSTGRES_URL is not None, reason="is about SQLite alone")
only_postgresql = pytest.mark.skipif(POSTGRES_URL is None, reason="needs STRATA_TEST_DATABASE_URL")
pytestmark = pytest.mark.real_database


class KeptError(AppError):
    keeps_changes = True


@pytest.fixture
async def database(real_settings: Settings) -> AsyncIterator[Database]:
    database = Database(real_settings)
    yield database
    await database.close()


def user(name: str = "alice", **fields: Any) -> User:
    return User(username=name, email=f"{name}@example.com", hashed_password=PASSWORD_HASH, **fields)


async def names(database: Database) -> list[str]:
    async with database.primary() as session:
        return list(await session.scalars(select(User.username).order_by(User.username)))


@contextmanager
def driver_log(engine: AsyncEngine) -> Iterator[list[str]]:
    """Every statement as the driver sends it, BEGIN and COMMIT included; for connections not yet made.

    asyncpg's own log lacks what it prepares, which is all that SQLAlchemy executes.
    """
    statements: list[str] = []

    def listen_above(*arguments: Any) -> None:
        statements.append(arguments[2])

    def listen(connection: Any, _: object) -> None:
        if engine.dialect.name == "sqlite":
            connection.run_async(lambda driver: driver.set_trace_callback(statements.append))
        else:
            connection.driver_connection.add_query_logger(lambda record: statements.append(record.query))

    event.listen(engine.sync_engine, "connect", listen)
    if engine.dialect.name == "postgresql":
        event.listen(engine.sync_engine, "before_cursor_execute", listen_above)
    yield statements


def transaction_control(statements: list[str]) -> list[str]:
    verbs = [statement.split()[0].rstrip(";").upper() for statement in statements]
    return [verb for verb in verbs if verb in {"BEGIN", "COMMIT", "ROLLBACK", "END", "START", "SAVEPOINT"}]


@only_sqlite
async def test_sqlite_keeps_foreign_keys_and_lets_readers_go_on_while_one_writes(database: Database) -> None:
    async with database.primary() as session:
        pragmas = {
            name: await session.scalar(text(f"PRAGMA {name}"))
            for name in ("foreign_keys", "journal_mode", "busy_timeout")
        }
    assert pragmas == {"foreign_keys": 1, "journal_mode": "wal", "busy_timeout": 30_000}
    async with database.write.begin() as writer:
        writer.add(user())
        await writer.flush()
        assert await asyncio.wait_for(names(database), timeout=5) == []
    assert await names(database) == ["alice"]


async def test_a_hundred_transactions_that_read_and_then_write_all_succeed(database: Database) -> None:
    async with database.transaction() as session:
        session.add(user(full_name="0"))

    async def count_up() -> None:
        async with database.transaction() as session:
            row = (await session.scalars(select(User).with_for_update())).one()
            row.full_name = str(int(row.full_name or 0) + 1)

    await asyncio.gather(*(count_up() for _ in range(100)))
    async with database.primary() as reader:
        row = (await reader.scalars(select(User))).one()
    assert (row.full_name, row.version) == ("100", 101)


async def test_a_transaction_is_kept_when_it_ends_well(database: Database) -> None:
    async with database.transaction() as session:
        session.add(user())
    assert await names(database) == ["alice"]


@pytest.mark.parametrize("error", [ConflictError(), ValueError("x"), asyncio.CancelledError(), SystemExit()])
async def test_an_error_takes_a_transaction_back(database: Database, error: BaseException) -> None:
    async def fail() -> None:
        async with database.transaction() as session:
            session.add(user())
            await session.flush()
            raise error

    with pytest.raises(type(error)) as caught:
        await fail()
    assert caught.value is error
    assert await names(database) == []


async def test_an_error_that_says_so_keeps_the_changes_and_is_still_raised(database: Database) -> None:
    error = KeptError("replayed")

    async def fail() -> None:
        async with database.transaction() as session:
            session.add(user())
            raise error

    with pytest.raises(KeptError) as caught:
        await fail()
    assert caught.value is error
    assert await names(database) == ["alice"]


async def test_rows_can_be_read_after_their_transaction(database: Database) -> None:
    async with database.transaction() as session:
        session.add(row := user())
    assert (row.username, row.version) == ("alice", 1)


@pytest.mark.parametrize("kind", ["read", "primary"])
async def test_a_read_sends_no_statement_but_its_own(real_settings: Settings, kind: str) -> None:
    database = Database(real_settings)
    with driver_log(database.engine) as statements:
        for _ in range(3):
            async with getattr(database, kind)() as session:
                assert await session.scalar(select(func.count()).select_from(User)) == 0
                assert await session.scalar(select(func.count()).select_from(Item)) == 0
    await database.close()
    assert sum("count" in statement for statement in statements) == 6
    assert transaction_control(statements) == []


async def test_a_list_over_http_sends_no_begin(real_settings: Settings) -> None:
    async with running(real_settings) as (_, manager, services), connected(manager.app) as client:
        headers = await Factory(services).bearer(await Factory(services).user())
        await services.database.engine.dispose()
        with driver_log(services.database.engine) as statements:
            answer = await client.get("/api/v1/items", headers=headers)
    assert answer.status_code == 200
    assert any("items" in statement for statement in statements)
    assert transaction_control(statements) == []


async def test_a_write_begins_and_commits(real_settings: Settings) -> None:
    database = Database(real_settings)
    with driver_log(database.engine) as statements:
        async with database.transaction() as session:
            session.add(user())
    await database.close()
    assert transaction_control(statements) == ["BEGIN", "COMMIT"]
    if POSTGRES_URL is None:
        assert "BEGIN IMMEDIATE" in statements


async def test_each_statement_of_a_read_sees_the_latest_write(database: Database) -> None:
    async with database.read() as reader:
        assert await reader.scalar(select(func.count()).select_from(User)) == 0
        async with database.transaction() as session:
            session.add(user())
        assert await reader.scalar(select(func.count()).select_from(User)) == 1


async def test_reads_go_to_the_replica_and_what_must_be_fresh_to_the_primary(
    real_settings: Settings, migrated_url: URL
) -> None:
    replica = migrated_url.render_as_string(hide_password=False)
    settings = Settings.model_validate(real_settings.model_dump() | {"database_read_url": replica})
    database = Database(settings)
    try:
        async with database.transaction() as session:
            session.add(user())
        assert await names(database) == ["alice"]
        async with database.read() as session:
            assert await session.scalar(select(func.count()).select_from(User)) == 0
        assert database.read_engine.url.database == migrated_url.database
    finally:
        await database.close()


async def broken_by(database: Database, *rows: object) -> IntegrityError:
    """What the database says when these rows are stored."""
    with pytest.raises(IntegrityError) as caught:
        async with database.transaction() as session:
            session.add_all(rows)
    return caught.value


async def test_a_broken_unique_constraint_is_told_by_name(database: Database) -> None:
    async with database.transaction() as session:
        session.add(alice := user("alice"))
        session.add(Item(title="x", sku="A-1", owner=alice))
    same_name = User(username="ALICE", email="bob@example.com", hashed_password=PASSWORD_HASH)
    assert violated_constraint(await broken_by(database, same_name)) == "uq_users_username_key"
    same_address = User(username="bob", email="Alice@example.com", hashed_password=PASSWORD_HASH)
    assert violated_constraint(await broken_by(database, same_address)) == "uq_users_email_key"
    async with database.write() as session:
        owner = await session.get_one(User, alice.id)
    assert violated_constraint(await broken_by(database, Item(title="y", sku="A-1", owner=owner))) == (
        "uq_items_owner_id_sku"
    )


async def test_other_broken_constraints_are_not_mistaken_for_unique_ones(database: Database) -> None:
    trick = "UNIQUE constraint failed: users.username_key"
    async with database.transaction() as session:
        session.add(alice := user("alice"))
    now = alice.created_at
    negative = violated_constraint(await broken_by(database, Item(title=trick, stock=-1, owner=alice)))
    with pytest.raises(IntegrityError) as nobodys:
        async with database.transaction() as session:
            await session.execute(text("UPDATE users SET username = NULL"))
    orphan = await broken_by(database, DeviceSession(user_id=999, scope=trick, rotated_at=now, expires_at=now))
    found = (negative, violated_constraint(nobodys.value), violated_constraint(orphan))
    if POSTGRES_URL is None:
        assert found == (None, None, None)
    else:
        assert found == ("ck_items_stock_not_negative", None, "fk_sessions_user_id_users")


async def test_an_error_that_is_logged_shows_no_values(database: Database) -> None:
    async with database.transaction() as session:
        session.add(user())
    error = await broken_by(database, user())
    assert PASSWORD_HASH not in str(error)
    assert "alice@example.com" not in str(error).partition("DETAIL")[0]


@only_postgresql
async def test_postgresql_errors_carry_their_code_through_all_wrappers(database: Database) -> None:
    async def failure(statement: str) -> DBAPIError:
        with pytest.raises(DBAPIError) as caught:
            async with database.write() as session:
                await session.execute(text(statement))
        return caught.value

    division = await failure("SELECT 1 / 0")
    assert sqlstate(division) == "22012"
    assert sqlstate(division.orig or division) == "22012"
    assert not is_connection_failure(division)
    assert sqlstate(await failure("SELECT * FROM nothing")) == "42P01"


@only_postgresql
async def test_a_connection_that_the_server_ended_is_a_connection_failure_and_is_replaced(database: Database) -> None:
    async def lose_connection() -> None:
        async with database.write() as session, database.primary() as other:
            pid = await session.scalar(text("SELECT pg_backend_pid()"))
            await other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
            await session.execute(text("SELECT 1"))

    with pytest.raises(DBAPIError) as caught:
        await lose_connection()
    assert is_connection_failure(caught.value)
    assert is_worth_retrying(caught.value)
    assert await names(database) == []


@pytest.mark.parametrize(
    "error",
    [ConnectionRefusedError(), ConnectionResetError(), TimeoutError(), socket.gaierror(), OSError("no route")],
)
def test_whatever_the_network_does_is_a_connection_failure(error: Exception) -> None:
    assert is_connection_failure(error)
    assert is_worth_retrying(error)
    assert sqlstate(error) is None


@pytest.mark.parametrize("error", [ValueError(), KeyError(), ConflictError(), RuntimeError("08006")])
def test_our_own_mistakes_are_none(error: Exception) -> None:
    assert not is_connection_failure(error)
    assert not is_worth_retrying(error)


async def test_requests_that_find_no_free_connection_are_told_to_come_back(real_settings: Settings) -> None:
    settings = real_settings.model_copy(update={"db_pool_size": 1, "db_max_overflow": 0, "db_pool_timeout": 0.05})
    async with running(settings) as (_, manager, services), connected(manager.app) as client:
        headers = await Factory(services).bearer(await Factory(services).user())
        pool: Any = services.database.engine.pool
        pool._timeout = 0.05
        size = pool.size() + pool._max_overflow
        held = [await services.database.engine.connect() for _ in range(size)]
        answer = await client.get("/api/v1/items", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        for connection in held:
            await connection.close()
        pool._timeout = 30
        assert (await client.get("/api/v1/items", headers=headers)).status_code == 200


async def wait_for(url: URL, folder: Path, **changes: object) -> None:
    settings = settings_for(url, folder, **{"db_retry_limit": 3, "db_retry_interval": 0.01, **changes})
    engine = create_engine(settings.database, settings)
    try:
        await wait_for_database(engine, settings)
    finally:
        await engine.dispose()


@pytest.mark.parametrize(
    ("code", "attempts"),
    [("28P01", 1), ("28000", 1), ("3D000", 1), ("42501", 1), ("57P03", 3), ("53300", 3)],
    ids=["bad password", "no such role", "no such database", "no privilege", "starting up", "too many connections"],
)
async def test_a_start_is_tried_again_only_where_waiting_can_help(tmp_path: Path, code: str, attempts: int) -> None:
    async with stand_in(code) as (server, url):
        with pytest.raises((SQLAlchemyError, OSError)) as caught:
            await wait_for(url, tmp_path, db_ssl="disable")
    assert sqlstate(caught.value) == code
    assert len(server.parameters) == attempts


async def test_a_file_that_is_no_database_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "strata.db").write_bytes(b"no database" * 1000)
    url = URL.create("sqlite+aiosqlite", database=str(tmp_path / "strata.db"))
    with pytest.raises(SQLAlchemyError, match="not a database"):
        await wait_for(url, tmp_path, db_retry_interval=60)


async def test_a_port_where_nobody_listens_is_given_up_after_the_last_try(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = URL.create("postgresql+asyncpg", "u", "p", "127.0.0.1", unused.getsockname()[1], "d")
        with pytest.raises(OSError, match="onnect"):
            await wait_for(url, tmp_path)


async def test_a_server_that_hears_but_never_answers_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = URL.create("postgresql+asyncpg", "u", "p", "127.0.0.1", silent.getsockname()[1], "d")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wait_for(url, tmp_path, db_connect_timeout=0.1), timeout=10)


async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes to the tests' PostgreSQL and back."""
    target = make_url(POSTGRES_URL or "")
    back, onward = await asyncio.open_connection(target.host, target.port or 5432)

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
        sink.close()

    await asyncio.gather(pump(reader, onward), pump(back, writer))


@only_postgresql
async def test_a_postgresql_that_comes_up_late_is_waited_for(real_url: URL, tmp_path: Path) -> None:
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        url = real_url.set(host="127.0.0.1", port=reserved.getsockname()[1])
        waiting = asyncio.create_task(wait_for(url, tmp_path, db_retry_limit=50, db_retry_interval=0.05))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        reserved.listen()
        async with await asyncio.start_server(forward, sock=reserved):
            await asyncio.wait_for(waiting, timeout=10)


async def test_an_sqlite_file_that_can_be_opened_late_is_waited_for(tmp_path: Path) -> None:
    obstacle = tmp_path / "strata.db"
    obstacle.mkdir()
    url = URL.create("sqlite+aiosqlite", database=str(obstacle))
    waiting = asyncio.create_task(wait_for(url, tmp_path, db_retry_limit=50, db_retry_interval=0.05))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    obstacle.rmdir()
    await asyncio.wait_for(waiting, timeout=10)
    assert obstacle.is_file()


async def test_the_folder_of_an_sqlite_file_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "strata.db"
    await wait_for(URL.create("sqlite+aiosqlite", database=str(path)), tmp_path)
    assert path.is_file()


async def test_a_folder_that_cannot_be_made_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    url = URL.create("sqlite+aiosqlite", database=str(tmp_path / "file" / "strata.db"))
    with pytest.raises(OSError, match="file"):
        await wait_for(url, tmp_path, db_retry_interval=60)


@pytest.mark.parametrize(
    ("db_ssl", "tls_requests", "plain_starts"),
    [(None, 1, 1), ("disable", 0, 1), ("prefer", 1, 1), ("require", 1, 0)],
)
async def test_db_ssl_decides_whether_a_plain_connection_will_do(
    tmp_path: Path, db_ssl: str | None, tls_requests: int, plain_starts: int
) -> None:
    async with stand_in("3D000") as (server, url):
        with pytest.raises((SQLAlchemyError, OSError)):
            await wait_for(url, tmp_path, db_ssl=db_ssl, db_retry_limit=1)
    assert (server.tls_requests, len(server.parameters)) == (tls_requests, plain_starts)


async def test_the_server_is_told_who_connects_and_how_long_a_statement_may_take(tmp_path: Path) -> None:
    async with stand_in("3D000") as (server, url):
        with pytest.raises(SQLAlchemyError):
            await wait_for(url, tmp_path, db_ssl="disable", db_statement_timeout=2.5)
        with pytest.raises(SQLAlchemyError):
            await wait_for(url, tmp_path, db_ssl="disable", db_pgbouncer=True)
    direct, pooled = server.parameters
    assert (direct["user"], direct["database"]) == ("u", "d")
    assert (direct["application_name"], direct["statement_timeout"]) == ("strata", "2500")
    assert direct["idle_in_transaction_session_timeout"] == "60000"
    assert pooled["application_name"] == "strata"
    assert not {"statement_timeout", "idle_in_transaction_session_timeout"} & pooled.keys(), (
        "PgBouncer would refuse them"
    )


@only_postgresql
async def test_postgresql_knows_the_application_and_ends_long_statements(real_settings: Settings) -> None:
    database = Database(real_settings.model_copy(update={"db_statement_timeout": 0.2}))
    try:
        async with database.primary() as session:
            name = await session.scalar(
                text("SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()")
            )
            assert (name, await session.scalar(text("SHOW statement_timeout"))) == ("strata", "200ms")
            with pytest.raises(DBAPIError) as caught:
                await session.execute(text("SELECT pg_sleep(10)"))
        assert sqlstate(caught.value) == "57014"
    finally:
        await database.close()


@only_postgresql
async def test_a_transaction_that_does_nothing_for_long_loses_its_connection(
    real_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "IDLE_IN_TRANSACTION_SECONDS", 0.1, raising=False)
    database = Database(real_settings.model_copy(update={"db_statement_timeout": 0.2}))
    try:
        session = await database.transaction().__aenter__()
        await session.execute(text("SELECT 1"))
        await asyncio.sleep(0.5)
        with pytest.raises(DBAPIError) as caught:
            await session.execute(text("SELECT 1"))
        await session.close()
        assert is_connection_failure(caught.value)
        async with database.transaction() as session:
            assert await session.scalar(text("SELECT 1")) == 1, "the pool has others"
    finally:
        await database.close()


def test_behind_pgbouncer_no_prepared_statement_is_kept_or_shared() -> None:
    url = make_url("postgresql+asyncpg://h/d")
    arguments = asyncpg_arguments(url, Settings.model_validate({"db_pgbouncer": True, "db_statement_timeout": 7}))
    assert (arguments["statement_cache_size"], arguments["prepared_statement_cache_size"]) == (0, 0)
    assert arguments["command_timeout"] > 7, "only the client can end a statement"
    make_name: Callable[[], str] = arguments["prepared_statement_name_func"]
    assert len({make_name() for _ in range(100)}) == 100
    direct = asyncpg_arguments(url, Settings())
    assert not direct.keys() & {"statement_cache_size", "prepared_statement_cache_size", "prepared_statement_name_func"}


@only_postgresql
async def test_two_hundred_requests_at_once_work_through_pgbouncer(empty_url: URL, tmp_path: Path) -> None:
    with pgbouncer(empty_url, tmp_path) as url:
        settings = settings_for(url, tmp_path, db_pgbouncer=True)
        await asyncio.to_thread(migrations.upgrade, settings)
        async with running(settings) as (_, manager, services), connected(manager.app) as client:
            make = Factory(services)
            alice = await make.user()
            headers = await make.bearer(alice)
            rows = [await make.item(alice) for _ in range(50)]

            async def mixed(number: int) -> list[int]:
                path = f"/api/v1/items/{rows[number].id}"
                calls = [
                    client.get("/api/v1/items", params={"q": "item", "limit": 5}, headers=headers),
                    client.post("/api/v1/items", json={"title": f"new {number}"}, headers=headers),
                    client.patch(path, json={"stock": number}, headers=headers),
                    client.get(path, headers=headers),
                ]
                return [answer.status_code for answer in await asyncio.gather(*calls)]

            answers = await asyncio.gather(*(mixed(number) for number in range(50)))
            assert answers == [[200, 201, 200, 200]] * 50
            async with services.database.primary() as session:
                assert await session.scalar(select(func.count()).select_from(Item)) == 100
                assert await session.scalar(select(func.sum(Item.stock))) == sum(range(50))
                servers = await session.scalar(
                    text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
                )
    assert servers == 2
