"""Databases, the application, and clients for the tests.

The suite runs on SQLite with nothing installed, and on the PostgreSQL server that
STRATA_TEST_DATABASE_URL names. Each pytest worker migrates one database of its own; each test runs in one
transaction that is rolled back, except those that ask for `real_database`: they get a fresh copy.
"""

import asyncio
import gc
import itertools
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from asgi_lifespan import LifespanManager
from fastapi import FastAPI
from pydantic import TypeAdapter
from sqlalchemy import Connection
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from app.api.deps import AppServices
from app.api.fastpath._fastapi import difference
from app.api.rows import ENCODER, RowEncoder
from app.core.config.settings import Settings
from app.core.db import migrations
from app.core.db.backend import Backend
from app.core.db.read_only import read_only
from app.core.db.sqlite import BEGIN
from app.core.observability.logging import configure_logging
from app.main import create_app, lifespan_of
from tests.factories import PASSWORD, Factory
from tests.key_files import KeyFiles
from tests.logs import logging_as_before
from tests.server import Server, serve
from tests.statements import MaxQueries, at_most

SECRET = "tests-sign-with-these-48-bytes-0123456789abcdefgh"
# `off`: the accelerators are out, and no response may differ.
FAST_PATH = os.environ.get("STRATA_TEST_FAST_PATH", "auto")
# What is about the fast path itself; tests/arch/test_ceilings.py tells of a FastAPI that it does not know.
of_the_fast_path = pytest.mark.skipif(difference() is not None, reason="this FastAPI is not the one it knows")
POSTGRES_URL = os.environ.get("STRATA_TEST_DATABASE_URL")
# Of password hashes and of JWTs; and the password of the tests' users.
SECRET_MARKS = ("$argon2id$", "eyJhbGciOi", PASSWORD, SECRET)
DROPPED_AT_ONCE = 10
counter = itertools.count()


def pytest_configure(config: pytest.Config) -> None:
    """Whatever the machine's habits, workers, servers and commands that tests start need not compile it all again."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    config.pluginmanager.register(SlowFirst())


@pytest.hookimpl(wrapper=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> Generator[None, int, int]:
    """No workers for tests that are named, or for a debugger: they would start for longer than such a run takes.

    Else half as many again as there are cores: many a test waits for a process, a lock or the end of a time.
    """
    found = yield
    is_by_name = all("::" in argument for argument in config.args)
    wants_terminal = config.getoption("trace") or config.getoption("capture") == "no"
    if is_by_name or wants_terminal:
        return 0
    return found if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else found + found // 2


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what may differ from database to database: all that gets one from here, and modules that ask which it is.

    What is left passes or fails alike, whatever STRATA_TEST_DATABASE_URL says, and need not run on each.
    """
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))  # those of its fixtures too
        if fixtures & {"migrated_url", "empty_url"} or hasattr(getattr(item, "module", None), "POSTGRES_URL"):
            item.add_marker("database")


class SlowFirst:
    """What takes longest must not be what is begun last: the other workers would wait for it."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish() -> None:
    """What is there before the first test stays to the end: the collector need not look through it in each round."""
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:  # noqa: ARG001 - pytest's
    """A test that has logged or printed a secret fails, whatever else it found."""
    report = yield
    if report.when == "teardown" and report.passed:
        leaks = {mark for mark in SECRET_MARKS for _, text in report.sections if mark in text}
        if leaks:
            report.outcome = "failed"
            report.longrepr = f"In the captured output or log there is {' and '.join(sorted(leaks))}"
    return report


@pytest.fixture(scope="session", autouse=True)
def no_settings_from_outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Neither the developer's environment nor a `.env` may change what the tests see."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ.keys() & {field.upper() for field in Settings.model_fields} | {"DB_DSN", "APP_ENV"}:
            patch.delenv(name, raising=False)
        # No test trusts the machine's certificates, and each HTTP client that is made would read them all.
        patch.setenv("SSL_CERT_DIR", str(tmp_path_factory.mktemp("no-certificates")))
        yield


@pytest.fixture(autouse=True)
def logging_is_left_as_it_was() -> Iterator[None]:
    """Each application that is made configures it, for a stream that may end with the test."""
    with logging_as_before():
        yield


@pytest.fixture(autouse=True)
def rows_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not validated in production is validated here: each answer made of rows fits its schema, to the byte."""
    content_of = RowEncoder.content

    def checked(encoder: RowEncoder, value: object) -> object:
        content = content_of(encoder, value)
        if content is not None:
            encoded = ENCODER.encode(content)
            adapter: TypeAdapter[object] = TypeAdapter(encoder.model)
            assert json.loads(encoded) == json.loads(adapter.dump_json(adapter.validate_json(encoded)))
        return content

    monkeypatch.setattr(RowEncoder, "content", checked)


def settings_for(url: URL, data_dir: Path, **changes: object) -> Settings:
    values: dict[str, object] = {
        "environment": "test",
        "data_dir": data_dir,
        "database_url": url.render_as_string(hide_password=False),
        "jwt_secret_key": SECRET,
        "log_level": "warning",
        "rate_limit_enabled": False,
        "fast_path": FAST_PATH,
    }
    return Settings.model_validate(values | changes)


async def run_on_server(*statements: str) -> None:
    """Run SQL on PostgreSQL's maintenance database."""
    assert POSTGRES_URL is not None
    url = make_url(POSTGRES_URL).set(drivername="postgresql")
    connection = await asyncpg.connect(url.render_as_string(hide_password=False))
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def end_sessions(url: URL) -> None:
    """Cut all connections to a database of PostgreSQL's, as a restart does, and wait until they are."""
    # No autovacuum, which only a superuser may end.
    condition = f"datname = '{url.database}' AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    await run_on_server(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {condition}")


class Leftovers:
    """Databases of tests that have ended: a DROP waits for a checkpoint of the whole server, which many can share."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def add(self, url: URL) -> None:
        # A process that is left would hold one of the server's few connections until then.
        asyncio.run(end_sessions(url))
        self.names.append(str(url.database))
        if len(self.names) == DROPPED_AT_ONCE:
            self.drop()

    def drop(self) -> None:
        names, self.names = self.names, []
        asyncio.run(self.drop_all(names))

    async def drop_all(self, names: list[str]) -> None:
        await asyncio.gather(*(run_on_server(f'DROP DATABASE "{name}" WITH (FORCE)') for name in names))


def new_database_name(worker_id: str) -> str:
    return f"strata_test_{os.getpid()}_{worker_id}_{next(counter)}"


@pytest.fixture(scope="session")
def worker_id(request: pytest.FixtureRequest) -> str:
    """pytest-xdist's name for this process, also where there is no xdist."""
    return str(getattr(request.config, "workerinput", {"workerid": "master"})["workerid"])


@pytest.fixture(scope="session")
def migrated_url(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[URL]:
    """A database of this worker's, migrated as a server would migrate it."""
    folder = tmp_path_factory.mktemp("database")
    if POSTGRES_URL is None:
        url = URL.create("sqlite+aiosqlite", database=str(folder / "strata.db"))
        migrations.upgrade(settings_for(url, folder))
        yield url
        return
    name = new_database_name(worker_id)
    asyncio.run(run_on_server(f'CREATE DATABASE "{name}"'))
    url = make_url(POSTGRES_URL).set(database=name)
    migrations.upgrade(settings_for(url, folder))
    yield url
    asyncio.run(run_on_server(f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture(scope="session")
def leftovers() -> Iterator[Leftovers]:
    leftovers = Leftovers()
    yield leftovers
    leftovers.drop()


@pytest.fixture(scope="session")
def key_files(tmp_path_factory: pytest.TempPathFactory) -> KeyFiles:
    """Two keys of each algorithm, made once, for RSA takes its time."""
    return KeyFiles(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def usual_settings(migrated_url: URL, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Read once: that takes pydantic-settings seven milliseconds, and most tests have the same."""
    # Without what sees committed transactions alone: each test is in one that never is.
    return settings_for(migrated_url, tmp_path_factory.mktemp("data"), session_cache=False)


@pytest.fixture
def settings(usual_settings: Settings, tmp_path: Path) -> Settings:
    return usual_settings.model_copy(update={"data_dir": tmp_path})


@pytest.fixture
def empty_url(tmp_path: Path, worker_id: str, leftovers: Leftovers) -> Iterator[URL]:
    """A database that no migration has seen."""
    if POSTGRES_URL is None:
        yield URL.create("sqlite+aiosqlite", database=str(tmp_path / "empty.db"))
        return
    name = new_database_name(worker_id)
    asyncio.run(run_on_server(f'CREATE DATABASE "{name}"'))
    url = make_url(POSTGRES_URL).set(database=name)
    yield url
    leftovers.add(url)


@contextmanager
def copied(migrated_url: URL, copy: Path, worker_id: str, leftovers: Leftovers) -> Iterator[URL]:
    """`copy` is where an SQLite database is copied to."""
    if POSTGRES_URL is None:
        shutil.copy(str(migrated_url.database), copy)
        yield migrated_url.set(database=str(copy))
        return
    name = new_database_name(worker_id)
    asyncio.run(run_on_server(f'CREATE DATABASE "{name}" TEMPLATE "{migrated_url.database}"'))
    url = migrated_url.set(database=name)
    yield url
    leftovers.add(url)


@pytest.fixture
def real_url(migrated_url: URL, tmp_path: Path, worker_id: str, leftovers: Leftovers) -> Iterator[URL]:
    """A migrated database for one test alone, where commits are commits."""
    with copied(migrated_url, tmp_path / "real.db", worker_id, leftovers) as url:
        yield url


@pytest.fixture
def another_url(migrated_url: URL, tmp_path: Path, worker_id: str, leftovers: Leftovers) -> Iterator[URL]:
    """One more, as another deployment has it."""
    with copied(migrated_url, tmp_path / "another.db", worker_id, leftovers) as url:
        yield url


@pytest.fixture
def real_settings(real_url: URL, tmp_path: Path) -> Settings:
    return settings_for(real_url, tmp_path)


# Those that nobody uses at the moment, by all settings but where a test keeps its data: to make an application, with
# an index over its routes, takes longer than most tests. What belongs to a test is in its lifespan.
idle_apps: dict[tuple[str, object], FastAPI] = {}


@contextmanager
def borrowed_app(settings: Settings, add: Callable[[FastAPI], None] | None = None) -> Iterator[FastAPI]:
    """An application that nobody else has meanwhile. One that was added to is not handed out again.

    What a module's tests have in common is added by `add`, and stays.
    """
    key = repr(settings.model_dump(exclude={"data_dir", "database_url"})), add
    app = idle_apps.pop(key, None)
    if app is None:
        app = create_app(settings)
        if add is not None:
            add(app)
    configure_logging(settings)
    app.router.lifespan_context = lifespan_of(settings, has_worker=False)
    routes = list(app.router.routes)
    yield app
    if app.router.routes == routes and not app.dependency_overrides:
        idle_apps[key] = app


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[tuple[FastAPI, LifespanManager, AppServices]]:
    """An application with its lifespan, as a server would have it; nobody else has it meanwhile."""
    with borrowed_app(settings) as app:
        # pytest-timeout ends what hangs; the five seconds that LifespanManager gives are too few on a busy machine.
        async with LifespanManager(app, startup_timeout=None, shutdown_timeout=None) as manager:
            yield app, manager, manager._state["services"]


async def reading(connection: AsyncConnection) -> AsyncConnection:
    """The same connection of the database's, and its transaction, with an engine that refuses to write."""
    engine = read_only(connection.engine.execution_options(**{BEGIN: None}))
    shared = await connection.run_sync(lambda outer: Connection(engine.sync_engine, connection=outer.connection))
    reader = AsyncConnection(engine, shared)
    await reader.begin()
    return reader


@asynccontextmanager
async def in_one_transaction(services: AppServices) -> AsyncIterator[AsyncSession]:
    """Bind all the application's sessions, and the test's own, to one connection, and roll it back at the end."""
    database = services.database
    async with database.engine.connect() as connection:
        transaction = await connection.begin()
        shared = await reading(connection)
        for sessionmaker, bind in ((database.write, connection), (database.primary, shared), (database.read, shared)):
            sessionmaker.configure(bind=bind, join_transaction_mode="create_savepoint", backend=Backend)
        async with database.write() as session:
            yield session
        await transaction.rollback()


@asynccontextmanager
async def connected(asgi: object, **options: object) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(asgi)  # type: ignore[arg-type] # LifespanManager's app is looser typed
    async with httpx.AsyncClient(transport=transport, base_url="http://test", **options) as client:  # type: ignore[arg-type]
        yield client


@pytest.fixture
async def running_app(settings: Settings) -> AsyncIterator[tuple[LifespanManager, AppServices, AsyncSession]]:
    async with (
        running(settings) as (_, manager, services),
        in_one_transaction(services) as session,
    ):
        yield manager, services, session


@pytest.fixture
def services(running_app: tuple[LifespanManager, AppServices, AsyncSession]) -> AppServices:
    return running_app[1]


@pytest.fixture
def session(running_app: tuple[LifespanManager, AppServices, AsyncSession]) -> AsyncSession:
    """The test's own session: other objects than the request's, the same transaction."""
    return running_app[2]


@pytest.fixture
async def client(
    running_app: tuple[LifespanManager, AppServices, AsyncSession],
) -> AsyncIterator[httpx.AsyncClient]:
    async with connected(running_app[0].app) as client:
        yield client


@pytest.fixture
def make(services: AppServices) -> Factory:
    """Rows for the test to start from: `await make.user()`, `await make.item(owner)`, `await make.token(user)`."""
    return Factory(services)


@pytest.fixture
def max_queries(services: AppServices) -> MaxQueries:
    """`with max_queries(3): await client.get(…)` fails if the application asks the database more often."""
    return lambda limit: at_most(limit, services.database)


@pytest.fixture
async def server(real_settings: Settings) -> AsyncIterator[Server]:
    """A real uvicorn on a real port and a database of its own."""
    with borrowed_app(real_settings) as app:
        async with serve(app) as server:
            yield server


@pytest.fixture
def is_postgresql(migrated_url: URL) -> bool:
    return migrated_url.get_backend_name() == "postgresql"


@pytest.fixture
def logs(settings: Settings, caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict[str, Any]]]:
    """What the application has logged in the test so far: `logs()`."""
    configure_logging(settings)
    return lambda: [record.msg for record in caplog.records if isinstance(record.msg, dict)]


type Login = Callable[..., dict[str, str]]
