"""Hashing takes long: nothing that others need is held meanwhile, and its work tells nothing."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from passlib.hash import bcrypt
from sqlalchemy import delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import AppServices
from app.core.config.settings import Settings
from app.crud.user import users
from app.models.user import User
from app.services.accounts.admins import add_admin, ensure_first_admin
from app.services.auth.imported_passwords import ImportedPasswords
from tests.api.calls import URL, code, login
from tests.conftest import connected, running
from tests.factories import PASSWORD, Factory
from tests.mailbox import Mailbox
from tests.statements import statements_on

USERS = "/api/v1/users"
ME = f"{USERS}/me"
BOB = {"username": "bob", "email": "bob@example.com", "password": PASSWORD}
NEW = "another horse battery staple"
IMPORTED_HASH = bcrypt.using(rounds=4).hash(PASSWORD)


@asynccontextmanager
async def hashing_blocked(services: AppServices) -> AsyncIterator[None]:
    limiter = services.hasher.limiter
    blockers = [object() for _ in range(int(limiter.total_tokens))]
    for blocker in blockers:
        limiter.acquire_on_behalf_of_nowait(blocker)
    try:
        yield
    finally:
        for blocker in blockers:
            limiter.release_on_behalf_of(blocker)


async def assert_holds_nothing(services: AppServices, work: Awaitable[Any]) -> Any:
    """While its password waits to be hashed; gives what comes of it."""
    async with hashing_blocked(services):
        task = asyncio.ensure_future(work)
        while services.hasher.limiter.statistics().tasks_waiting < 1:
            assert not task.done(), task.result()
            await asyncio.sleep(0.01)
        assert services.database.engine.pool.checkedout() == 0  # type: ignore[attr-defined] # a QueuePool
    return await task


@pytest.fixture
async def real(real_settings: Settings) -> AsyncIterator[tuple[AppServices, httpx.AsyncClient]]:
    async with running(real_settings) as (_, manager, services), connected(manager.app) as client:
        yield services, client


type Call = Callable[[httpx.AsyncClient, dict[str, str], str], Awaitable[httpx.Response]]

CALLS: dict[str, Call] = {
    "login": lambda client, _, __: login(client, "alice"),
    "register": lambda client, _, __: client.post(f"{URL}/register", json=BOB),
    "make an account": lambda client, headers, _: client.post(USERS, json=BOB, headers=headers),
    "make an account once": lambda client, headers, _: client.post(
        USERS, json=BOB, headers=headers | {"Idempotency-Key": "key"}
    ),
    "rename": lambda client, headers, _: client.patch(
        ME, json={"username": "alicia", "password": PASSWORD}, headers=headers
    ),
    "change the password": lambda client, headers, _: client.put(
        f"{ME}/password", json={"current_password": PASSWORD, "new_password": NEW}, headers=headers
    ),
    "change the address": lambda client, headers, _: client.post(
        f"{ME}/email", json={"email": "new@example.com", "password": PASSWORD}, headers=headers
    ),
    "leave": lambda client, headers, _: client.request("DELETE", ME, json={"password": PASSWORD}, headers=headers),
    "reset": lambda client, _, token: client.post(f"{URL}/reset-password", json={"token": token, "new_password": NEW}),
}


@pytest.mark.real_database
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_no_connection_is_held_while_a_password_waits(
    real: tuple[AppServices, httpx.AsyncClient], call: Call
) -> None:
    services, client = real
    make = Factory(services)
    await make.admin()
    alice = await make.admin(username="alice", email="alice@example.com")
    await client.post(f"{URL}/forgot-password", json={"email": "alice@example.com"})
    token = await Mailbox(services).token("alice@example.com")
    answer = await assert_holds_nothing(services, call(client, await make.bearer(alice), token))
    assert answer.is_success, answer.text


@pytest.mark.real_database
async def test_making_an_administrator_holds_nothing_either(real: tuple[AppServices, httpx.AsyncClient]) -> None:
    services, _ = real
    database, hasher = services.database, services.hasher
    first = await assert_holds_nothing(services, ensure_first_admin(database, hasher, services.settings))
    assert first is not None
    assert await ensure_first_admin(database, hasher, services.settings) is None
    other = await assert_holds_nothing(services, add_admin(database, hasher, "other", "other@example.com", PASSWORD))
    assert other.username == "other"


@pytest.mark.real_database
async def test_of_instances_that_start_at_once_one_makes_the_administrator(
    real: tuple[AppServices, httpx.AsyncClient],
) -> None:
    services, _ = real
    start = (ensure_first_admin(services.database, services.hasher, services.settings) for _ in range(3))
    assert sorted(admin is None for admin in await asyncio.gather(*start)) == [False, True, True]
    async with services.database.primary() as session:
        assert await session.scalar(select(func.count()).select_from(User)) == 1


@pytest.mark.real_database
async def test_of_requests_with_one_key_that_hash_at_once_one_makes_the_account(
    real: tuple[AppServices, httpx.AsyncClient],
) -> None:
    services, client = real
    headers = await Factory(services).bearer(await Factory(services).admin()) | {"Idempotency-Key": "key"}
    answers = await asyncio.gather(*(client.post(USERS, json=BOB, headers=headers) for _ in range(4)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sorted("idempotency-replayed" in answer.headers for answer in answers) == [False, True, True, True]


# The same work for every failure


class Counted:
    """The hasher's library, with a note of each hash that is checked, by its kind."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.checked: Counter[str] = Counter()

    def verify(self, password: Any, hashed: str) -> bool:
        self.checked[hashed[1:3] if hashed.startswith("$2") else "argon2"] += 1
        return bool(self.context.verify(password, hashed))

    def verify_and_update(self, password: Any, hashed: str) -> tuple[bool, str | None]:
        return self.verify(password, hashed), None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.context, name)


@pytest.fixture
def counted(services: AppServices) -> Counted:
    counted = Counted(services.hasher.context)
    services.hasher.context = counted
    return counted


FAILURES = {
    "unknown": ("nobody", "wrong"),
    "argon2": ("argon2", "wrong"),
    "bcrypt": ("bcrypt", "wrong"),
    "bcrypt, NUL": ("bcrypt", "nul\0"),
    "bcrypt, endless": ("bcrypt", "x" * 1024),
    "without a password": ("none", "wrong"),
}


@pytest.mark.parametrize(("name", "password"), FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("path", ["login", "token"])
async def test_where_there_are_imported_accounts_each_failure_checks_one_hash_of_either_kind(
    client: httpx.AsyncClient, make: Factory, counted: Counted, path: str, name: str, password: str
) -> None:
    await make.user(username="bcrypt", hashed_password=IMPORTED_HASH)
    await make.user(username="argon2")
    await make.user(username="none", hashed_password="!")
    form = {"grant_type": "password", "username": name, "password": password}
    assert (await client.post(f"{URL}/{path}", data=form)).status_code in {400, 401}
    assert counted.checked == {"argon2": 1, "2b": 1}


@pytest.mark.parametrize("name", ["nobody", "argon2", "bcrypt", "none"])
@pytest.mark.parametrize("password", ["wro\u0308ng", "wr\u00a0ong"], ids=ascii)
async def test_a_password_with_two_spellings_is_checked_twice_whoever_it_is_for(
    client: httpx.AsyncClient, make: Factory, counted: Counted, name: str, password: str
) -> None:
    await make.user(username="bcrypt", hashed_password=IMPORTED_HASH)
    await make.user(username="argon2")
    await make.user(username="none", hashed_password="!")
    assert code(await login(client, name, password)) == (401, "invalid_credentials")
    assert counted.checked == {"argon2": 2, "2b": 2}


@pytest.mark.parametrize(("name", "password"), [("nobody", "wrong"), ("argon2", "wrong"), ("none", "wrong")])
async def test_where_there_are_none_a_failure_checks_one_hash(
    client: httpx.AsyncClient, make: Factory, counted: Counted, name: str, password: str
) -> None:
    await make.user(username="argon2")
    await make.user(username="none", hashed_password="!")
    assert code(await login(client, name, password)) == (401, "invalid_credentials")
    assert counted.checked == {"argon2": 1}


async def test_a_right_password_is_checked_once(client: httpx.AsyncClient, make: Factory, counted: Counted) -> None:
    await make.user(username="imported", hashed_password=IMPORTED_HASH)
    await make.user(username="alice")
    assert (await login(client, "alice")).status_code == 200
    assert counted.checked == {"argon2": 1}
    assert (await login(client, "imported")).status_code == 200
    assert counted.checked == {"argon2": 1, "2b": 1}


async def test_whether_there_are_imported_accounts_is_asked_about_once_a_minute(
    make: Factory, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported = ImportedPasswords()
    now = 1000.0
    monkeypatch.setattr("app.services.auth.imported_passwords.monotonic", lambda: now)
    user = await make.user(hashed_password=IMPORTED_HASH)
    sample = await imported.find_sample(session)
    assert sample is not None
    assert bcrypt.identify(sample)
    assert bcrypt.from_string(sample).rounds == 4
    await session.execute(delete(User).where(User.id == user.id))
    now += 59
    assert await imported.find_sample(session) == sample
    now += 2
    assert await imported.find_sample(session) is None


async def test_imported_accounts_are_found_in_an_index_of_them_alone(
    session: AsyncSession, services: AppServices, *, is_postgresql: bool
) -> None:
    with statements_on(services.database.engine) as sent:
        await users.find_bcrypt_hash(session)
    sql, parameters = sent[-1]
    if is_postgresql:
        await session.execute(text("SET LOCAL enable_seqscan = off"))  # of a table with nothing in it
    connection = await session.connection()
    explain = "EXPLAIN" if is_postgresql else "EXPLAIN QUERY PLAN"
    plan = (await connection.exec_driver_sql(f"{explain} {sql}", parameters)).all()
    assert "ix_users_bcrypt" in str(plan)
