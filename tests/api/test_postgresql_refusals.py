"""What clients are told where PostgreSQL says no, on the driver's way and on SQLAlchemy's."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import asyncpg
import httpx
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from app.core.clock import utc_now
from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.core.db.error_codes import Meaning
from app.core.db.errors import code_name, meaning
from app.core.db.prepared import Prepared
from app.core.db.session import fetch
from app.main import create_app, open_app_services
from app.services.app_services import AppServices
from tests.conftest import FAST_PATH, POSTGRES_URL, connected, run_on_server, running
from tests.factories import PASSWORD, Factory
from tests.standin import stand_in

pytestmark = [
    pytest.mark.real_database,
    pytest.mark.skipif(POSTGRES_URL is None, reason="SQLite has codes of its own"),
]

ITEMS = "/api/v1/items"
READS = {"driver": ITEMS, "sqlalchemy": f"{ITEMS}/export?format=csv", "probe": "/ready"}
UNAVAILABLE, FULL = (503, "database_unavailable"), (507, "insufficient_storage")
CONFLICT, BUG = (409, "conflict"), (500, "internal_error")
# A title that is a code makes the database refuse the item with it: of each class one at least.
REFUSE = """
CREATE SEQUENCE attempts;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
IF NEW.title ~ '^[0-9A-Z]{5}$' THEN
    PERFORM nextval('attempts');
    RAISE EXCEPTION USING ERRCODE = NEW.title, MESSAGE = 'refused';
END IF;
RETURN NEW; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION refuse()
"""
REFUSALS = {
    **dict.fromkeys(["08000", "08006", "08P01"], (UNAVAILABLE, 1)),
    **dict.fromkeys(["0A000", "22003", "22021", "42601", "42P01", "42703", "54000", "P0001", "25P02"], (BUG, 1)),
    **dict.fromkeys(["23000", "23514", "23P01"], (CONFLICT, 1)),
    "25006": (UNAVAILABLE, 2),  # the address may lead to another server by now
    **dict.fromkeys(["25P03", "25P04"], (UNAVAILABLE, 1)),
    **dict.fromkeys(["28000", "28P01", "3D000", "42501"], (UNAVAILABLE, 1)),
    **dict.fromkeys(["40001", "40P01", "72000", "26000"], (UNAVAILABLE, 5)),
    "40003": (UNAVAILABLE, 1),  # it may have been done
    **dict.fromkeys(["53000", "53200", "53300", "53400"], (UNAVAILABLE, 1)),
    "53100": (FULL, 1),
    **dict.fromkeys(["55000", "55006", "55P03"], (UNAVAILABLE, 1)),
    **dict.fromkeys(["57000", "57014", "57P01", "57P02", "57P03", "57P04", "57P05"], (UNAVAILABLE, 1)),
    **dict.fromkeys(["58000", "58030", "F0000", "XX000", "XX001", "XX002"], (UNAVAILABLE, 1)),
}
# With which the connection is lost: a transaction that has not come to its COMMIT is done once more on another one.
CONNECTION_IS_LOST = ["08000", "08006", "08P01", "25006", "25P03", "25P04", "57P01", "57P02", "57P03", "57P05"]

PID = Prepared(select(func.pg_backend_pid().label("pid")))


class Client(NamedTuple):
    http: httpx.AsyncClient
    headers: dict[str, str]
    services: AppServices

    async def read(self, path: str) -> httpx.Response:
        self.services.readiness.asked_at = float("-inf")
        return await self.http.get(READS[path], headers=self.headers)

    async def write(self, path: str, title: str = "x") -> httpx.Response:
        # The key's row is written by SQLAlchemy.
        keys = {} if path == "driver" else {"Idempotency-Key": f"{path}-{title}"}
        return await self.http.post(ITEMS, json={"title": title}, headers={**self.headers, **keys})


@asynccontextmanager
async def client_of(settings: Settings, make_with: Settings | None = None) -> AsyncIterator[Client]:
    """A signed-in user of an application that knows nobody from before."""
    quiet = {"session_cache": False, "log_level": "critical"}
    async with (
        running((make_with or settings).model_copy(update=quiet)) as (_, _, makers),
        running(settings.model_copy(update=quiet)) as (_, manager, services),
        connected(manager.app) as http,
    ):
        make = Factory(makers)
        yield Client(http, await make.bearer(await make.user(username="alice", email="a@example.com")), services)


def told(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("retry-after" in answer.headers) == (answer.status_code == 503)
    assert "refused" not in answer.text
    return answer.status_code, answer.json()["code"]


async def run(settings: Settings, *statements: str) -> None:
    url = settings.database.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.parametrize("path", ["driver", "joined"])
async def test_each_code_has_its_answer_and_is_tried_again_only_where_that_helps(
    real_settings: Settings, path: str
) -> None:
    await run(real_settings, REFUSE)
    found = {}
    async with client_of(real_settings) as client:
        for code in REFUSALS:
            answer = await client.write(path, code)
            async with client.services.database.transaction() as session:
                attempts = await session.scalar(text("SELECT last_value FROM attempts"))
                await session.execute(text("ALTER SEQUENCE attempts RESTART"))
            found[code] = (told(answer), attempts)
        assert (await client.write(path)).status_code == 201
    in_transactions = {code: (REFUSALS[code][0], 2) for code in CONNECTION_IS_LOST}
    assert found == REFUSALS | (in_transactions if path == "joined" or FAST_PATH == "off" else {})


async def test_the_token_endpoint_says_it_in_the_words_of_oauth(real_settings: Settings) -> None:
    refuse = REFUSE.replace("items", "sessions").replace("NEW.title", "NEW.user_agent")
    await run(real_settings, refuse)
    form = {"grant_type": "password", "username": "alice", "password": PASSWORD}
    async with client_of(real_settings) as client:
        for code, status in {"53100": 507, "57014": 503}.items():
            answer = await client.http.post("/api/v1/auth/token", data=form, headers={"User-Agent": code})
            assert (answer.status_code, answer.json()["error"]) == (status, "temporarily_unavailable")
            assert set(answer.json()) == {"error", "error_description"}


@pytest.fixture
async def role(real_settings: Settings) -> AsyncIterator[tuple[str, Settings]]:
    """A role of the test's own, which is no superuser, and the settings to be it."""
    database = str(real_settings.database.database)
    name = f"{database}_role"
    await run(
        real_settings,
        f'CREATE ROLE "{name}" LOGIN',
        f'GRANT ALL ON ALL TABLES IN SCHEMA public TO "{name}"',
        f'GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO "{name}"',
    )
    url = real_settings.database.set(username=name).render_as_string(hide_password=False)
    yield name, Settings.model_validate(real_settings.model_dump() | {"database_url": url})
    await run(
        real_settings,
        f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = '{name}'",
        f'DROP OWNED BY "{name}"',
        f'DROP ROLE "{name}"',
    )


# What is done to a role or a database, what takes it back, and the code that connections are then refused with.
CONNECTING = [
    ("ALTER ROLE {role} CONNECTION LIMIT 0", "ALTER ROLE {role} CONNECTION LIMIT -1", "53300"),
    ("ALTER ROLE {role} NOLOGIN", "ALTER ROLE {role} LOGIN", "28000"),
    ("ALTER DATABASE {name} RENAME TO {name_}", "ALTER DATABASE {name_} RENAME TO {name}", "3D000"),
    ("ALTER DATABASE {name} ALLOW_CONNECTIONS false", "ALTER DATABASE {name} ALLOW_CONNECTIONS true", "55000"),
    ("REVOKE CONNECT ON DATABASE {name} FROM PUBLIC", "GRANT CONNECT ON DATABASE {name} TO PUBLIC", "42501"),
]


async def refusal_of(database: Database, path: str) -> str | None:
    async with database.primary() as session:
        with pytest.raises(DBAPIError) as caught:
            await (fetch(session, PID) if path == "driver" else session.execute(text("SELECT 1")))
    assert meaning(caught.value) is Meaning.UNAVAILABLE
    return code_name(caught.value)


@pytest.mark.parametrize(("spoil", "mend", "code"), CONNECTING, ids=[code for *_, code in CONNECTING])
async def test_a_server_that_takes_no_connections_of_ours_is_unavailable_until_it_does(
    role: tuple[str, Settings], spoil: str, mend: str, code: str
) -> None:
    name, settings = role
    database = str(settings.database.database)
    words = {"role": f'"{name}"', "name": f'"{database}"', "name_": f'"{database}_"'}
    async with client_of(settings) as client:
        assert [(await client.read(path)).status_code for path in READS] == [200] * 3
        await client.services.database.close()
        ended = f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{database}'"
        await run_on_server(ended, spoil.format(**words))
        try:
            for path in READS:
                assert told(await client.read(path)) == UNAVAILABLE
            for path in ("driver", "sqlalchemy"):
                assert await refusal_of(client.services.database, path) == code
        finally:
            await run_on_server(mend.format(**words))
        assert [(await client.read(path)).status_code for path in READS] == [200] * 3
        assert (await client.write("driver")).status_code == 201


@pytest.mark.parametrize("code", ["28P01", "57P03"])
async def test_a_changed_password_and_a_server_that_starts_up_are_unavailable(
    real_settings: Settings, code: str
) -> None:
    async with stand_in(code) as (_, url), nobody_at(url, real_settings) as client:
        for path in READS:
            assert told(await client.read(path)) == UNAVAILABLE
        for path in ("driver", "sqlalchemy"):
            assert await refusal_of(client.services.database, path) == code


@asynccontextmanager
async def nobody_at(url: URL, settings: Settings) -> AsyncIterator[Client]:
    """A client of an application that could not have started, with a token that it would take."""
    address = url.update_query_dict({"ssl": "disable"}).render_as_string(hide_password=False)
    settings = Settings.model_validate(settings.model_dump() | {"database_url": address, "log_level": "critical"})
    app, services = create_app(settings), open_app_services(settings, Database(settings))

    async def with_state(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "state": {"services": services}}, receive, send)

    now = utc_now()
    whose: dict[str, Any] = {"user_id": 1, "session_id": 1, "session_key": "0" * 32, "jti": "x"}
    token = services.auth.tokens.issue("access", **whose, issued_at=now, expires_at=now + services.auth.access_ttl)
    async with connected(with_state) as http:
        yield Client(http, {"Authorization": f"Bearer {token}"}, services)
    await services.database.close()


@asynccontextmanager
async def locked(settings: Settings, table: str) -> AsyncIterator[None]:
    """While another one changes the table."""
    url = settings.database.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


@pytest.mark.parametrize("parameter", ["lock_timeout", "statement_timeout"])
async def test_a_table_that_is_locked_for_too_long_is_unavailable(real_settings: Settings, parameter: str) -> None:
    changes = {"db_statement_timeout": 0.3} if parameter == "statement_timeout" else {}
    name = real_settings.database.database
    await run(real_settings, f"ALTER DATABASE \"{name}\" SET lock_timeout = '{0 if changes else 300}ms'")
    async with client_of(real_settings.model_copy(update=changes)) as client:
        async with locked(real_settings, "items"):
            answers = await asyncio.gather(client.read("driver"), client.read("sqlalchemy"), client.write("driver"))
        assert [told(answer) for answer in answers] == [UNAVAILABLE] * 3
        assert (await client.write("joined")).status_code == 201


async def test_a_statement_that_fills_more_of_the_disk_than_it_may_is_unavailable(real_settings: Settings) -> None:
    name = real_settings.database.database
    settings = ("temp_file_limit = '64kB'", "work_mem = '64kB'")
    await run(real_settings, *(f'ALTER DATABASE "{name}" SET {setting}' for setting in settings))
    long = text("SELECT n FROM generate_series(1, 100000) AS n ORDER BY md5(n::text)")
    database = Database(real_settings)
    try:
        with pytest.raises(DBAPIError) as caught:
            async with database.primary() as session:
                await session.execute(long)
    finally:
        await database.close()
    assert (code_name(caught.value), meaning(caught.value)) == ("53400", Meaning.UNAVAILABLE)


READ_ONLY = ("ALTER ROLE {role} SET default_transaction_read_only = on", "25006", 503)
UNPRIVILEGED = ("REVOKE INSERT ON items FROM {role}", "42501", 200)


@pytest.mark.parametrize(("spoil", "code", "ready"), [READ_ONLY, UNPRIVILEGED], ids=["read-only", "privilege"])
@pytest.mark.parametrize("path", ["driver", "joined"])
async def test_a_server_that_lets_us_read_alone_does_so(
    real_settings: Settings, role: tuple[str, Settings], path: str, spoil: str, code: str, ready: int
) -> None:
    name, settings = role
    await run(real_settings, spoil.format(role=f'"{name}"'))
    async with client_of(settings, make_with=real_settings) as client:
        assert [(await client.read(path)).status_code for path in READS] == [200, 200, ready]
        for _ in range(3):
            assert told(await client.write(path)) == UNAVAILABLE
        with pytest.raises(DBAPIError) as caught:
            async with client.services.database.transaction() as session:
                await session.execute(text("INSERT INTO items (title) VALUES ('x')"))
        assert code_name(caught.value) == code


async def test_the_log_tells_operators_the_code_of_the_database(
    real_settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    await run(real_settings, REFUSE)
    async with running(real_settings) as (_, manager, services), connected(manager.app) as http:
        make = Factory(services)
        headers = await make.bearer(await make.user())
        for code in ("53100", "57014", "25006"):
            await http.post(ITEMS, json={"title": code}, headers=headers)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if '"code"' in line]
    assert [(line["message"], line["code"]) for line in lines] == [
        ("there is no room left", "53100"),
        ("database unavailable", "57014"),
        ("the database is read-only: is it a standby?", "25006"),
    ]
