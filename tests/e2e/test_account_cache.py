"""What is kept of accounts on two instances: who is signed out or changed is so at once here, and soon there."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import asyncpg
import httpx
import pytest
import time_machine
from sqlalchemy import delete, text, update
from sqlalchemy.engine import URL

from app.api.deps import AppServices
from app.core import clock
from app.core.clock import utc_now
from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.core.db.listener import PATIENCE, Listener, Source, listener_arguments
from app.core.fallback import Fallback
from app.models.device_session import DeviceSession
from app.models.user import User
from app.services.auth.account_cache import LEASE, AccountCache
from app.services.auth.account_changes import TABLES, TRIGGERS
from app.services.auth.auth import TokenPair
from tests.api.calls import URL as AUTH
from tests.api.calls import bearer, login, me, refresh
from tests.api.test_account_scope import OPERATIONS
from tests.conftest import POSTGRES_URL, connected, running
from tests.factories import PASSWORD, Factory
from tests.proxy import Proxy, before
from tests.statements import at_most, statements_on

pytestmark = [
    pytest.mark.real_database,
    pytest.mark.skipif(POSTGRES_URL is None, reason="SQLite tells nobody of changes, so nothing is kept"),
]
NEW_PASSWORD = "another horse battery staple"
# Or given to somebody else, as after a restore.
ENDS = ["DELETE FROM sessions", "UPDATE sessions SET key = repeat('0', 32)"]


@dataclass(frozen=True, slots=True)
class Instance:
    client: httpx.AsyncClient
    services: AppServices

    @property
    def cache(self) -> AccountCache:
        return self.services.auth.account_cache

    async def is_warm_for(self, token: str) -> bool:
        """Whether a request is answered without asking the database."""
        with statements_on(self.services.database.engine) as sent:
            assert (await me(self.client, token)).status_code == 200
        return not sent

    async def warm_up(self, *tokens: str) -> None:
        for token in tokens:
            await eventually(partial(self.is_warm_for, token), within=10)


async def eventually(is_so: Callable[[], Awaitable[bool]], within: float = LEASE.total_seconds()) -> float:
    """Ask until it is so; after how many seconds. A question that is asked later than `within` must find it so."""
    start = time.monotonic()
    while True:
        asked = time.monotonic() - start
        if await is_so():
            return asked
        assert asked < within, f"not even {asked:.2f} s later"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def instance(settings: Settings) -> AsyncIterator[Instance]:
    async with running(settings) as (_, manager, services), connected(manager.app) as client:
        yield Instance(client, services)


@pytest.fixture
async def here(real_settings: Settings) -> AsyncIterator[Instance]:
    async with instance(real_settings) as here:
        yield here


@pytest.fixture
async def there(real_settings: Settings) -> AsyncIterator[Instance]:
    async with instance(real_settings) as there:
        yield there


@pytest.fixture
async def proxied(real_url: URL, real_settings: Settings) -> AsyncIterator[tuple[Instance, Proxy]]:
    """An instance whose listener is behind a proxy."""
    async with before(real_url) as (url, proxy):
        address = url.render_as_string(hide_password=False)
        changed = Settings.model_validate(real_settings.model_dump(exclude_none=True) | {"database_url": address})
        async with instance(changed) as found:
            yield found, proxy


@pytest.fixture
async def psql(real_url: URL) -> AsyncIterator[asyncpg.Connection]:
    """Somebody at the database who knows nothing of Strata."""
    url = real_url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


@dataclass(frozen=True, slots=True)
class Scene:
    """Somebody with two devices, and an administrator."""

    here: Instance
    user: User
    device: TokenPair
    other: TokenPair
    admin: dict[str, str]

    async def call(self, method: str, path: str, *, as_admin: bool = False, **options: Any) -> None:
        headers = self.admin if as_admin else bearer(self.other.access_token)
        answer = await self.here.client.request(method, f"/api/v1{path}", headers=headers, **options)
        assert answer.is_success, answer.text


async def log_out(scene: Scene) -> None:
    answer = await scene.here.client.post(f"{AUTH}/logout", json={"refresh_token": scene.device.refresh_token})
    assert answer.status_code == 204


async def log_out_everywhere(scene: Scene) -> None:
    await scene.call("POST", "/auth/logout-all")


async def sign_the_device_out(scene: Scene) -> None:
    claims = scene.here.services.auth.tokens.verify(scene.device.access_token, "access")
    await scene.call("DELETE", f"/auth/sessions/{claims.session_id}")


async def deactivate(scene: Scene) -> None:
    await scene.call("PATCH", f"/users/{scene.user.id}", as_admin=True, json={"is_active": False})


async def delete_by_admin(scene: Scene) -> None:
    await scene.call("DELETE", f"/users/{scene.user.id}", as_admin=True)


async def leave(scene: Scene) -> None:
    await scene.call("DELETE", "/users/me", json={"password": PASSWORD})


async def change_the_password(scene: Scene) -> None:
    await scene.call("PUT", "/users/me/password", json={"current_password": PASSWORD, "new_password": NEW_PASSWORD})


async def use_a_refresh_token_again(scene: Scene) -> None:
    assert (await refresh(scene.here.client, scene.device.refresh_token)).status_code == 200
    with time_machine.travel(utc_now() + timedelta(seconds=30)):
        assert (await refresh(scene.here.client, scene.device.refresh_token)).status_code == 401


REVOCATIONS = [
    *(log_out, log_out_everywhere, sign_the_device_out, deactivate, delete_by_admin, leave, change_the_password),
    use_a_refresh_token_again,
]


async def set_scene(here: Instance, make: Factory | None = None) -> Scene:
    make = make or Factory(here.services)
    user = await make.user()
    device, other = await make.tokens(user), await make.tokens(user)
    return Scene(here, user, device, other, await make.bearer(await make.admin()))


@pytest.mark.parametrize("revoke", REVOCATIONS)
async def test_whoever_is_signed_out_is_so_at_once_here_and_within_a_second_elsewhere(
    here: Instance, there: Instance, revoke: Callable[[Scene], Awaitable[None]]
) -> None:
    scene = await set_scene(here)
    token = scene.device.access_token
    await here.warm_up(token)
    await there.warm_up(token)
    await revoke(scene)
    assert (await me(here.client, token)).status_code == 401

    async def is_refused() -> bool:
        return (await me(there.client, token)).status_code == 401

    await eventually(is_refused)


async def test_a_demotion_is_felt_at_once_here_and_within_a_second_elsewhere(here: Instance, there: Instance) -> None:
    make = Factory(here.services)
    admin, other = await make.admin(), await make.admin()
    token = (await make.tokens(other)).access_token
    await here.warm_up(token)
    await there.warm_up(token)
    path = f"/api/v1/users/{other.id}"
    demoted = await here.client.patch(path, json={"role": "user"}, headers=await make.bearer(admin))
    assert demoted.status_code == 200

    async def is_refused(at: Instance) -> bool:
        return (await at.client.get(path, headers=bearer(token))).status_code == 403

    assert await is_refused(here)
    await eventually(partial(is_refused, there))


async def test_a_new_name_is_seen_at_once_here_and_within_a_second_elsewhere(here: Instance, there: Instance) -> None:
    token = (await Factory(here.services).tokens(await Factory(here.services).user())).access_token
    await here.warm_up(token)
    await there.warm_up(token)
    changed = await here.client.patch("/api/v1/users/me", json={"full_name": "Alice Liddell"}, headers=bearer(token))
    assert changed.status_code == 200

    async def is_seen(at: Instance) -> bool:
        answer = await at.client.get("/api/v1/users/me", headers=bearer(token))
        return bool(answer.json()["full_name"] == "Alice Liddell" and answer.headers["etag"] == changed.headers["etag"])

    assert await is_seen(here)
    await eventually(partial(is_seen, there))


@pytest.mark.parametrize("more", [{}, {"Idempotency-Key": "once"}], ids=["in the statement", "before COMMIT"])
@pytest.mark.parametrize("end", ENDS)
async def test_a_write_asks_the_database_whatever_is_kept(
    there: Instance, psql: asyncpg.Connection, more: dict[str, str], end: str
) -> None:
    """Nobody who is signed out changes anything, not even within that second."""
    make = Factory(there.services)
    token = (await make.tokens(await make.user())).access_token
    await there.warm_up(token)
    # As if the notification were still on its way.
    await psql.execute(f"ALTER TABLE sessions DISABLE TRIGGER USER; {end}")
    offered = await there.client.post("/api/v1/items", json={"title": "Lamp"}, headers=bearer(token) | more)
    assert offered.status_code == 401
    assert await psql.fetchval("SELECT count(*) FROM items") == 0


@pytest.mark.parametrize("end", ENDS)
async def test_a_write_of_several_statements_asks_along_with_its_begin(
    there: Instance, psql: asyncpg.Connection, end: str
) -> None:
    make = Factory(there.services)
    alice = await make.user()
    item = await make.item(alice)
    token = (await make.tokens(alice)).access_token
    await there.warm_up(token)
    await psql.execute(f"ALTER TABLE sessions DISABLE TRIGGER USER; {end}")
    removed = await there.client.delete(f"/api/v1/items/{item.id}", headers=bearer(token))
    assert removed.status_code == 401
    assert await psql.fetchval("SELECT count(*) FROM items") == 1


@pytest.mark.parametrize(("method", "path", "body"), [call for call in OPERATIONS if call[0] != "GET"])
@pytest.mark.parametrize("end", ENDS)
async def test_what_changes_the_account_asks_first(
    there: Instance, psql: asyncpg.Connection, method: str, path: str, body: dict[str, Any] | None, end: str
) -> None:
    """Its services open transactions of their own, which claim nothing of who asks."""
    make = Factory(there.services)
    token = (await make.tokens(await make.user())).access_token
    await there.warm_up(token)
    own = await psql.fetchval("SELECT id FROM sessions")
    await psql.execute(f"ALTER TABLE sessions DISABLE TRIGGER USER; {end}")
    url = "/api/v1" + path.format(session_id=own)
    answer = await there.client.request(method, url, json=body, headers=bearer(token))
    assert answer.status_code == 401
    assert await psql.fetchval("SELECT count(*) FROM users WHERE full_name IS NULL AND version = 1") == 1
    assert await psql.fetchval("SELECT count(*) FROM audit_events") == 0


async def test_a_read_that_writes_something_down_asks_as_well(there: Instance, psql: asyncpg.Connection) -> None:
    make = Factory(there.services)
    token = (await make.tokens(await make.user())).access_token
    await there.warm_up(token)
    await psql.execute("ALTER TABLE sessions DISABLE TRIGGER strata_session_ended; DELETE FROM sessions")
    exported = await there.client.get("/api/v1/users/me/export", headers=bearer(token))
    assert exported.status_code == 401
    assert await psql.fetchval("SELECT count(*) FROM audit_events WHERE action = 'data_exported'") == 0


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM sessions",
        "UPDATE sessions SET expires_at = now() - interval '1 second'",
        "UPDATE sessions SET key = repeat('0', 32)",
        "UPDATE users SET is_active = false",
        "DELETE FROM users",
        "TRUNCATE users CASCADE",
        "TRUNCATE sessions",
        "SET session_replication_role = replica; DELETE FROM sessions",
    ],
)
async def test_what_is_done_with_plain_sql_is_heard(there: Instance, psql: asyncpg.Connection, statement: str) -> None:
    token = (await set_scene(there)).device.access_token
    await there.warm_up(token)
    await psql.execute(statement)

    async def is_refused() -> bool:
        return (await me(there.client, token)).status_code == 401

    await eventually(is_refused)


@pytest.mark.parametrize("kind", ["bulk update", "bulk delete", "text", "row"])
async def test_every_way_to_write_in_this_process_is_noticed_at_its_commit(here: Instance, kind: str) -> None:
    scene = await set_scene(here)
    await here.warm_up(scene.device.access_token)
    async with here.services.database.transaction() as session:
        if kind == "bulk update":
            await session.execute(update(User).values(is_active=False))
        elif kind == "bulk delete":
            await session.execute(delete(DeviceSession))
        elif kind == "text":
            await session.execute(text("DELETE FROM sessions"))
        else:
            for row in await session.scalars(DeviceSession.__table__.select().with_only_columns(DeviceSession.id)):
                found = await session.get_one(DeviceSession, row)
                found.expires_at = utc_now()
    assert (await me(here.client, scene.device.access_token)).status_code == 401


async def test_signing_in_refreshing_and_registering_leave_what_is_kept_alone(
    here: Instance, psql: asyncpg.Connection
) -> None:
    make = Factory(here.services)
    tokens = await make.tokens(await make.user(username="alice"))
    heard: list[str] = []
    await psql.add_listener("strata_accounts", lambda *notification: heard.append(notification[-1]))
    await here.warm_up(tokens.access_token)
    changes = here.cache.changes
    account = {"username": "bob", "email": "bob@example.com", "password": PASSWORD}
    assert (await here.client.post(f"{AUTH}/register", json=account)).status_code == 201
    assert (await login(here.client, "alice")).status_code == 200
    assert (await refresh(here.client, tokens.refresh_token)).status_code == 200
    await psql.execute("SELECT 1")
    await asyncio.sleep(0)
    assert heard == []
    assert here.cache.changes == changes
    assert await here.is_warm_for(tokens.access_token)


async def test_the_others_are_still_known_after_somebody_signs_out(here: Instance, there: Instance) -> None:
    make = Factory(here.services)
    alice, bob = await make.tokens(await make.user()), await make.tokens(await make.user())
    for at in (here, there):
        await at.warm_up(alice.access_token, bob.access_token)
    await here.client.post(f"{AUTH}/logout", json={"refresh_token": alice.refresh_token})
    for at in (here, there):
        await eventually(partial(is_gone, at, alice.access_token))
        # The database may have been asked before this instance has heard.
        await eventually(partial(knows_one, at))
        # As soon as it is confirmed that there is no more to hear, which an answer of the database's takes.
        await eventually(partial(at.is_warm_for, bob.access_token))


async def knows_one(at: Instance) -> bool:
    return at.cache.size == 1


async def is_gone(at: Instance, token: str) -> bool:
    return (await me(at.client, token)).status_code == 401


async def test_a_warm_request_asks_nothing_and_a_cold_one_once(here: Instance) -> None:
    token = (await Factory(here.services).tokens(await Factory(here.services).user())).access_token
    await here.warm_up(token)
    with at_most(0, here.services.database):
        assert (await me(here.client, token)).status_code == 200
    here.cache.clear()
    with at_most(1, here.services.database):
        assert (await me(here.client, token)).status_code == 200


async def test_a_session_that_is_kept_expires_in_time(here: Instance) -> None:
    token = (await Factory(here.services).tokens(await Factory(here.services).user())).access_token
    await here.warm_up(token)
    expires_at = utc_now() + timedelta(minutes=5)
    async with here.services.database.transaction() as session:
        await session.execute(update(DeviceSession).values(expires_at=expires_at))
    await here.warm_up(token)
    with time_machine.travel(expires_at - timedelta(seconds=20)):
        assert await here.is_warm_for(token)
    with time_machine.travel(expires_at + timedelta(seconds=1)):
        assert (await me(here.client, token)).status_code == 401


async def kill_listeners(psql: asyncpg.Connection) -> None:
    """Those of this test's own database."""
    await psql.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'strata listener' AND datname = current_database()"
    )


async def test_a_listener_that_is_killed_leaves_nothing_stale_and_comes_back(
    here: Instance, there: Instance, psql: asyncpg.Connection
) -> None:
    make = Factory(here.services)
    for _ in range(5):
        scene = await set_scene(here, make)
        token = scene.device.access_token
        await there.warm_up(token)
        await kill_listeners(psql)
        await log_out(scene)
        assert (await me(here.client, token)).status_code == 401
        await eventually(partial(is_gone, there, token))
        for _ in range(20):
            assert await is_gone(there, token)
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("more", [timedelta(0), PATIENCE + timedelta(seconds=1)], ids=["briefly", "until given up"])
async def test_a_listener_that_hears_nothing_but_is_connected_is_trusted_for_a_second(
    proxied: tuple[Instance, Proxy], here: Instance, more: timedelta
) -> None:
    there, proxy = proxied
    scene = await set_scene(here)
    token = scene.device.access_token
    await there.warm_up(token)
    proxy.freeze()
    await log_out(scene)
    await eventually(partial(is_gone, there, token))
    assert not await there.is_warm_for(scene.other.access_token)
    await asyncio.sleep(more.total_seconds())
    proxy.thaw()
    await there.warm_up(scene.other.access_token)
    assert await is_gone(there, token)
    assert proxy.listeners == 1 if not more else proxy.listeners > 1


async def test_a_server_that_cannot_listen_serves_on_and_says_so_once(
    proxied: tuple[Instance, Proxy], psql: asyncpg.Connection, logs: Callable[[], list[dict[str, Any]]]
) -> None:
    there, proxy = proxied
    token = (await set_scene(there)).device.access_token
    await there.warm_up(token)
    proxy.refuses = True
    await psql.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'strata listener'"
    )
    await asyncio.sleep(1)
    assert not await there.is_warm_for(token)
    proxy.refuses = False
    await there.warm_up(token)
    told = [(line["level"], line["event"]) for line in logs() if line["event"].startswith("account notifications")]
    assert told == [
        ("warning", "account notifications lost: every request queries the database"),
        ("warning", "account notifications are back"),
    ]


async def test_through_a_pooler_nothing_is_kept(proxied: tuple[Instance, Proxy], psql: asyncpg.Connection) -> None:
    there, proxy = proxied
    token = (await set_scene(there)).device.access_token
    await there.warm_up(token)
    proxy.is_pooler = True
    before_that = proxy.listeners
    await psql.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'strata listener'"
    )

    async def has_tried_twice() -> bool:
        return proxy.listeners >= before_that + 2

    await eventually(has_tried_twice, within=10)
    assert not await there.is_warm_for(token)


@pytest.mark.parametrize("change", ["DISABLE TRIGGER strata_session_ended", "ENABLE TRIGGER strata_session_ended"])
async def test_without_all_its_triggers_the_database_is_asked(
    here: Instance, psql: asyncpg.Connection, change: str
) -> None:
    token = (await set_scene(here)).device.access_token
    await here.warm_up(token)
    await psql.execute(f"ALTER TABLE sessions {change}")

    async def is_cold() -> bool:
        return not await here.is_warm_for(token)

    await eventually(is_cold)
    await psql.execute("ALTER TABLE sessions ENABLE ALWAYS TRIGGER strata_session_ended")
    await here.warm_up(token)


@pytest.mark.parametrize("changes", [{"session_cache": False}, {"db_pgbouncer": True}])
async def test_where_it_is_switched_off_each_request_asks(real_settings: Settings, changes: dict[str, bool]) -> None:
    settings = Settings.model_validate(real_settings.model_dump(exclude_none=True) | changes)
    async with instance(settings) as found:
        token = (await set_scene(found)).device.access_token
        for _ in range(10):
            assert not await found.is_warm_for(token)
            await asyncio.sleep(0.05)
        assert found.cache.size == 0


async def test_what_was_read_before_a_change_is_not_kept_after_it(here: Instance, psql: asyncpg.Connection) -> None:
    """A request that began before the change and ends after it must not bring back what was."""
    scene = await set_scene(here)
    token = scene.device.access_token
    await here.warm_up(token)
    identity = await here.services.auth.identify(here.services.auth.tokens.verify(token, "access"))
    changes = here.cache.changes
    await psql.execute("UPDATE users SET full_name = 'Another' WHERE id = $1", scene.user.id)

    async def has_heard() -> bool:
        return here.cache.changes > changes

    await eventually(has_heard)
    here.cache.store(identity.session_key, identity.user, utc_now() + timedelta(days=1), changes)
    assert here.cache.size == 0
    assert (await me(here.client, token)).json()["full_name"] == "Another"


async def test_an_answer_confirms_that_all_that_was_committed_before_has_been_heard(
    real_settings: Settings, psql: asyncpg.Connection
) -> None:
    database = Database(real_settings)
    audience = Recorder()
    listener = Listener(
        database.engine,
        listener_arguments(real_settings),
        Source("strata_accounts", TABLES, TRIGGERS),
        audience,
        Fallback((), "lost", "found"),
    )
    listener.start()
    try:
        for number in range(300):
            # As many as fill several packets, so that they can be cut anywhere.
            count = 20 * (number % 50)
            await psql.execute(
                f"SELECT pg_notify('strata_accounts', '{number}.' || n) FROM generate_series(0, {count}) AS n"
            )
            committed_at = clock.seconds()
            listener.hurry()
            while audience.confirmed_at <= committed_at:
                audience.is_confirmed.clear()
                await audience.is_confirmed.wait()
            if number:  # of the first it may not have known yet
                assert audience.heard_by_then == f"{number}.{count}"
    finally:
        await listener.close()
        await database.close()


class Recorder:
    """An audience that remembers what it had heard when that was confirmed."""

    def __init__(self) -> None:
        self.is_confirmed = asyncio.Event()
        self.confirmed_at = 0.0
        self.latest = self.heard_by_then = ""

    def gain(self) -> None:
        pass

    def lose(self) -> None:
        pass

    def hear(self, payload: str) -> None:
        self.latest = payload

    def confirm(self, asked_at: float) -> None:
        self.confirmed_at, self.heard_by_then = asked_at, self.latest
        self.is_confirmed.set()


async def test_no_request_that_starts_a_second_after_a_revocation_succeeds(here: Instance, there: Instance) -> None:
    make = Factory(here.services)
    devices = [await make.tokens(await make.user()) for _ in range(40)]
    revoked_at: dict[str, float] = {}
    succeeded: list[tuple[str, float]] = []
    asked = 0
    ends = time.monotonic() + 6

    async def use(at: Instance, seed: int) -> None:
        nonlocal asked
        choose = random.Random(seed)
        while (start := time.monotonic()) < ends:
            token = choose.choice(devices).access_token
            answer = await me(at.client, token)
            asked += 1
            if answer.status_code == 200:
                succeeded.append((token, start))
            await asyncio.sleep(0)

    async def revoke(at: Instance, mine: list[TokenPair]) -> None:
        for tokens in mine:
            await asyncio.sleep(5 / len(mine) * random.uniform(0.5, 1))
            answer = await at.client.post(f"{AUTH}/logout", json={"refresh_token": tokens.refresh_token})
            assert answer.status_code == 204
            revoked_at[tokens.access_token] = time.monotonic()

    with statements_on(here.services.database.engine) as sent:
        await asyncio.gather(
            *(use(at, seed) for seed, at in enumerate([here, there] * 4)),
            *(revoke(here, devices[:12]), revoke(there, devices[12:24])),
        )
    late = [start - revoked_at[token] for token, start in succeeded if start > revoked_at.get(token, ends)]
    assert max(late, default=0) <= LEASE.total_seconds()
    assert len(revoked_at) == 24
    assert len(succeeded) > 100
    checks = [statement for statement, _ in sent if "JOIN sessions" in statement]
    assert len(checks) < asked / 2, "else nothing was kept, and nothing shown"
