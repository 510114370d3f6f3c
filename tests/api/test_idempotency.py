"""`Idempotency-Key`: whoever asks twice gets one thing done, and the same answer."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
import time_machine
from sqlalchemy import func, select, text, update
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import AppServices
from app.core.clock import utc_now
from app.models.base import Base
from app.models.idempotency import IdempotencyKey
from app.models.item import Item
from app.models.order import Order
from app.models.user import User
from app.services.purge import purge_expired
from tests.api.calls import code
from tests.api.test_orders import basket
from tests.conftest import connected, running, settings_for
from tests.factories import PASSWORD, Factory
from tests.key_files import SECRETS
from tests.server import Server

ITEMS = "/api/v1/items"
ORDERS = "/api/v1/orders"
USERS = "/api/v1/users"
REPLAYED = "idempotency-replayed"
KEY = "7f4c2f9a-1d1c-4a57-9c1e-0c8f6d1b2a33"
ACCOUNT = {"username": "carol", "email": "carol@example.com", "password": PASSWORD}

type Headers = dict[str, str]


def once(headers: Headers, key: str = KEY) -> Headers:
    return headers | {"Idempotency-Key": key}


async def count(session: AsyncSession, model: type[Base]) -> int:
    return await session.scalar(select(func.count()).select_from(model)) or 0


def assert_replay(again: httpx.Response, first: httpx.Response) -> None:
    assert REPLAYED not in first.headers
    assert again.headers[REPLAYED] == "true"
    assert (again.status_code, again.content) == (first.status_code, first.content)
    for name in ("content-type", "location", "etag", "retry-after"):
        assert again.headers.get(name) == first.headers.get(name)


# The same answer


async def test_an_order_that_is_sent_again_is_answered_again_and_placed_once(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    item = await make.item(await make.user(), stock=9)
    headers = once(await make.bearer(await make.user()))
    first = await client.post(ORDERS, json=basket((item.id, 2)), headers=headers)
    assert first.status_code == 201
    assert first.headers["location"]
    assert first.headers["etag"] == '"1"'
    for _ in range(3):
        assert_replay(await client.post(ORDERS, json=basket((item.id, 2)), headers=headers), first)
    assert await count(session, Order) == 1
    assert await session.scalar(select(Item.stock)) == 7


@pytest.mark.parametrize(
    ("url", "body", "model"),
    [
        (ITEMS, {"title": "Lamp", "sku": "L-1"}, Item),
        (f"{ITEMS}/bulk", {"items": [{"title": "Lamp", "sku": "L-1"}, {"title": "Ünïcode \u2028 ☃"}]}, Item),
        (USERS, ACCOUNT, User),
    ],
)
async def test_every_creation_is_made_once(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, url: str, body: dict[str, Any], model: type[Base]
) -> None:
    headers = once(await make.bearer(await make.admin()))
    before = await count(session, model)
    first = await client.post(url, json=body, headers=headers)
    assert first.status_code == 201, first.text
    made = await count(session, model) - before
    assert made == len(body.get("items", [1]))
    assert_replay(await client.post(url, json=body, headers=headers), first)
    assert_replay(await client.post(f"{url}/", json=body, headers=headers), first)
    assert await count(session, model) == before + made


async def test_a_replay_shows_what_was_answered_and_not_what_has_become_of_it(
    client: httpx.AsyncClient, make: Factory
) -> None:
    headers = await make.bearer(await make.user())
    first = await client.post(ITEMS, json={"title": "Lamp"}, headers=once(headers))
    await client.patch(first.headers["location"], json={"title": "Chandelier"}, headers=headers)
    assert_replay(await client.post(ITEMS, json={"title": "Lamp"}, headers=once(headers)), first)
    await client.delete(first.headers["location"], headers=headers)
    assert_replay(await client.post(ITEMS, json={"title": "Lamp"}, headers=once(headers)), first)


async def test_without_a_key_each_request_counts(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    headers = await make.bearer(await make.user())
    for _ in range(2):
        answer = await client.post(ITEMS, json={"title": "Lamp"}, headers=headers)
        assert (answer.status_code, REPLAYED in answer.headers) == (201, False)
    assert (await count(session, Item), await count(session, IdempotencyKey)) == (2, 0)


async def test_a_replay_has_a_request_id_and_a_security_header_of_its_own(
    client: httpx.AsyncClient, make: Factory
) -> None:
    headers = once(await make.bearer(await make.user()))
    first = await client.post(ITEMS, json={"title": "Lamp"}, headers=headers)
    again = await client.post(ITEMS, json={"title": "Lamp"}, headers=headers)
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert again.headers["cache-control"] == first.headers["cache-control"]


# What a key belongs to


async def test_a_key_with_another_body_is_refused_and_nothing_is_made(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    headers = once(await make.bearer(await make.user()))
    first = await client.post(ITEMS, json={"title": "Lamp"}, headers=headers)
    for other in ({"title": "lamp"}, {"title": "Lamp", "stock": 1}):
        assert code(await client.post(ITEMS, json=other, headers=headers)) == (422, "idempotency_key_reused")
    assert await count(session, Item) == 1
    assert_replay(await client.post(ITEMS, json={"title": "Lamp"}, headers=headers), first)


async def test_each_user_each_path_and_each_spelling_has_keys_of_its_own(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    alice, bob = await make.bearer(await make.user()), await make.bearer(await make.user())
    body = {"items": [{"title": "Lamp"}]}
    answers = [
        await client.post(ITEMS, json={"title": "Lamp"}, headers=once(alice)),
        await client.post(ITEMS, json={"title": "Lamp"}, headers=once(bob)),
        await client.post(ITEMS, json={"title": "Lamp"}, headers=once(alice, KEY.upper())),
        await client.post(f"{ITEMS}/bulk", json=body, headers=once(alice)),
    ]
    assert [(answer.status_code, REPLAYED in answer.headers) for answer in answers] == [(201, False)] * 4
    assert len({answer.content for answer in answers}) == 4
    assert (await count(session, Item), await count(session, IdempotencyKey)) == (4, 4)


@pytest.mark.parametrize("key", ["x", "!", "~" * 255, "a/b?c=d&e", "0" * 255, '"quoted"'])
async def test_any_visible_ascii_is_a_key(client: httpx.AsyncClient, make: Factory, key: str) -> None:
    headers = once(await make.bearer(await make.user()), key)
    first = await client.post(ITEMS, json={"title": "Lamp"}, headers=headers)
    assert first.status_code == 201
    assert_replay(await client.post(ITEMS, json={"title": "Lamp"}, headers=headers), first)


@pytest.mark.parametrize("key", [b"", b"a b", b"a" * 256, b"a\tb", "ü".encode(), b"\xff", b"a\x7f"])
async def test_a_key_of_another_form_is_invalid(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, key: bytes
) -> None:
    headers = {name.encode(): value.encode() for name, value in (await make.bearer(await make.user())).items()}
    answer = await client.post(ITEMS, json={"title": "Lamp"}, headers=headers | {b"Idempotency-Key": key})
    assert code(answer) == (422, "validation_error")
    assert answer.json()["errors"][0]["loc"] == ["header", "Idempotency-Key"]
    assert (await count(session, Item), await count(session, IdempotencyKey)) == (0, 0)


# What is kept


async def test_a_refusal_of_the_business_is_kept_whatever_has_changed_since(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    item = await make.item(await make.user(), stock=0)
    headers = await make.bearer(await make.user())
    first = await client.post(ORDERS, json=basket((item.id, 1)), headers=once(headers))
    assert code(first) == (409, "insufficient_stock")
    await session.execute(update(Item).values(stock=9))
    await session.commit()
    again = await client.post(ORDERS, json=basket((item.id, 1)), headers=once(headers))
    assert_replay(again, first)
    assert await count(session, Order) == 0
    assert (await client.post(ORDERS, json=basket((item.id, 1)), headers=once(headers, "new"))).status_code == 201


@pytest.mark.parametrize(
    ("url", "body", "expected"),
    [
        (ITEMS, {"title": "Lamp", "sku": "TAKEN"}, (409, "sku_taken")),
        (f"{ITEMS}/bulk", {"items": [{"title": "Lamp"}, {"title": "Lamp", "sku": "TAKEN"}]}, (409, "sku_taken")),
        (ORDERS, basket((2**53 - 1, 1)), (404, "item_not_found")),
        (USERS, ACCOUNT | {"username": "TAKEN"}, (409, "username_taken")),
        (USERS, ACCOUNT | {"password": "password1234"}, (422, "weak_password")),
    ],
)
async def test_whatever_is_refused_is_kept_and_leaves_nothing_else(
    client: httpx.AsyncClient,
    make: Factory,
    session: AsyncSession,
    url: str,
    body: dict[str, Any],
    expected: tuple[int, str],
) -> None:
    admin = await make.admin(username="taken")
    await make.item(admin, sku="TAKEN")
    headers = once(await make.bearer(admin))
    first = await client.post(url, json=body, headers=headers)
    assert code(first) == expected
    assert_replay(await client.post(url, json=body, headers=headers), first)
    assert [await count(session, model) for model in (Item, Order, User, IdempotencyKey)] == [1, 0, 1, 1]


async def test_an_invalid_request_keeps_no_answer(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    headers = once(await make.bearer(await make.user()))
    bodies: list[Any] = [{"title": ""}, {}, []]
    for body in bodies:
        answer = await client.post(ITEMS, json=body, headers=headers)
        assert code(answer) == (422, "validation_error")
    broken = await client.post(ITEMS, content=b'{"title": ', headers=headers | {"Content-Type": "application/json"})
    assert code(broken) == (422, "validation_error")
    assert await count(session, IdempotencyKey) == 0
    assert (await client.post(ITEMS, json={"title": "mended"}, headers=headers)).status_code == 201


async def test_who_may_not_ask_keeps_no_answer(client: httpx.AsyncClient, make: Factory, session: AsyncSession) -> None:
    alice = await make.user()
    body = {"title": "Lamp"}
    assert code(await client.post(ITEMS, json=body, headers=once({}))) == (401, "not_authenticated")
    wrong = once({"Authorization": "Bearer nonsense"})
    assert code(await client.post(ITEMS, json=body, headers=wrong)) == (401, "invalid_token")
    reader = once(await make.bearer(alice, scope="items:read"))
    assert code(await client.post(ITEMS, json=body, headers=reader)) == (403, "insufficient_scope")
    assert await count(session, IdempotencyKey) == 0
    first = await client.post(ITEMS, json=body, headers=once(await make.bearer(alice)))
    assert first.status_code == 201
    assert code(await client.post(ITEMS, json=body, headers=reader)) == (403, "insufficient_scope"), "nor is it shown"


async def test_who_asks_too_often_keeps_no_answer(migrated_url: URL, tmp_path: Path) -> None:
    settings = settings_for(migrated_url, tmp_path, rate_limit_enabled=True, rate_limit_default="1/minute")
    async with running(settings) as (_, manager, services), connected(manager.app) as client:
        make = Factory(services)
        alice = await make.user()
        try:
            headers = await make.bearer(alice)
            with time_machine.travel(utc_now(), tick=False) as clock:
                first = await client.post(ITEMS, json={"title": "Lamp"}, headers=once(headers))
                limited = await client.post(ITEMS, json={"title": "Lamp"}, headers=once(headers, "other"))
                assert code(limited) == (429, "rate_limited")
                replay_limited = await client.post(ITEMS, json={"title": "Lamp"}, headers=once(headers))
                assert code(replay_limited) == (429, "rate_limited"), "a replay counts as any request"
                clock.shift(61)
                other = await client.post(ITEMS, json={"title": "Lamp"}, headers=once(headers, "other"))
                assert (other.status_code, REPLAYED in other.headers) == (201, False)
                clock.shift(61)
                assert_replay(await client.post(ITEMS, json={"title": "Lamp"}, headers=once(headers)), first)
        finally:
            async with services.database.transaction() as session:
                await session.delete(await session.get_one(User, alice.id))


@pytest.mark.real_database
async def test_a_failure_of_ours_keeps_no_answer(server: Server) -> None:
    make = Factory(server.services)
    headers = once(await make.bearer(await make.user()))
    database = server.services.database
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        for broken, mended in (
            ("ALTER TABLE items RENAME TO hidden", "ALTER TABLE hidden RENAME TO items"),
            ("ALTER TABLE idempotency_keys RENAME TO hidden", "ALTER TABLE hidden RENAME TO idempotency_keys"),
        ):
            async with database.transaction() as session:
                await session.execute(text(broken))
            assert (await client.post(ITEMS, json={"title": "Lamp"}, headers=headers)).status_code == 500
            async with database.transaction() as session:
                await session.execute(text(mended))
        async with database.primary() as session:
            assert (await count(session, Item), await count(session, IdempotencyKey)) == (0, 0)
        first = await client.post(ITEMS, json={"title": "Lamp"}, headers=headers)
        assert (first.status_code, REPLAYED in first.headers) == (201, False)


async def test_what_is_stored_tells_no_password_and_no_body(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    headers = once(await make.bearer(await make.admin()))
    body = json.dumps(ACCOUNT).encode()
    answer = await client.post(USERS, content=body, headers=headers | {"Content-Type": "application/json"})
    assert answer.status_code == 201
    row = (await session.execute(text("SELECT * FROM idempotency_keys"))).mappings().one()
    stored = " ".join(str(value) for value in row.values())
    assert PASSWORD not in stored
    assert "argon2" not in stored
    for digest in (sha256(body).hexdigest(), sha256(json.dumps(ACCOUNT, sort_keys=True).encode()).hexdigest()):
        assert digest not in stored, "who knows all but the password could try them out"
    assert len(row["fingerprint"]) == 64
    assert (row["operation"], row["key"], row["status"]) == (f"POST {USERS}", KEY, 201)


async def test_the_fingerprint_of_a_body_depends_on_the_key_of_the_server(real_url: URL, tmp_path: Path) -> None:
    prints: set[str] = set()
    for secret in SECRETS:
        settings = settings_for(real_url, tmp_path, jwt_secret_key=secret)
        async with running(settings) as (_, manager, services), connected(manager.app) as client:
            name = f"user-{len(prints)}"
            user = await Factory(services).user(username=name, email=f"{name}@example.com")
            headers = once(await Factory(services).bearer(user))
            assert (await client.post(ITEMS, json={"title": "Lamp"}, headers=headers)).status_code == 201
            async with services.database.primary() as session:
                prints |= set(await session.scalars(select(IdempotencyKey.fingerprint)))
    assert len(prints) == 2


async def test_a_rotation_of_the_signing_key_forgets_no_request(real_url: URL, tmp_path: Path) -> None:
    old, new = SECRETS

    @asynccontextmanager
    async def served(key: str, previous: str = "") -> AsyncIterator[tuple[httpx.AsyncClient, AppServices]]:
        settings = settings_for(real_url, tmp_path, jwt_secret_key=key, jwt_previous_keys=previous)
        async with running(settings) as (_, manager, services), connected(manager.app) as client:
            yield client, services

    async with served(old) as (client, services):
        alice = await Factory(services).user()
        headers = once(await Factory(services).bearer(alice))
        first = await client.post(ITEMS, json={"title": "Lamp"}, headers=headers)
    async with served(new, old) as (client, _):
        assert_replay(await client.post(ITEMS, json={"title": "Lamp"}, headers=headers), first)
        other = await client.post(ITEMS, json={"title": "other"}, headers=headers)
        assert code(other) == (422, "idempotency_key_reused")
    async with served(new) as (client, services):
        headers = once(await Factory(services).bearer(alice))
        answer = await client.post(ITEMS, json={"title": "Lamp"}, headers=headers)
        assert code(answer) == (422, "idempotency_key_reused"), "better than to run it again"


# How long


async def test_a_key_lives_for_a_day_and_then_runs_again(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    alice = await make.user()
    with time_machine.travel(utc_now(), tick=False) as clock:
        first = await client.post(ITEMS, json={"title": "Lamp"}, headers=once(await make.bearer(alice)))
        clock.shift(timedelta(hours=23, minutes=59, seconds=59))
        headers = once(await make.bearer(alice))
        assert_replay(await client.post(ITEMS, json={"title": "Lamp"}, headers=headers), first)
        clock.shift(1)
        second = await client.post(ITEMS, json={"title": "another body"}, headers=headers)
        assert (second.status_code, REPLAYED in second.headers) == (201, False)
        clock.shift(timedelta(hours=23))
        headers = once(await make.bearer(alice))
        assert_replay(await client.post(ITEMS, json={"title": "another body"}, headers=headers), second)
        used = await client.post(ITEMS, json={"title": "Lamp"}, headers=headers)
        assert code(used) == (422, "idempotency_key_reused")
    assert (await count(session, Item), await count(session, IdempotencyKey)) == (2, 1)


async def test_an_expired_key_whose_second_request_is_refused_keeps_that_refusal(
    client: httpx.AsyncClient, make: Factory
) -> None:
    seller, buyer = await make.user(), await make.user()
    item = await make.item(seller, stock=1)
    with time_machine.travel(utc_now(), tick=False) as clock:
        headers = once(await make.bearer(buyer))
        assert (await client.post(ORDERS, json=basket((item.id, 1)), headers=headers)).status_code == 201
        clock.shift(timedelta(hours=24))
        headers = once(await make.bearer(buyer))
        refused = await client.post(ORDERS, json=basket((item.id, 1)), headers=headers)
        assert code(refused) == (409, "insufficient_stock")
        assert_replay(await client.post(ORDERS, json=basket((item.id, 1)), headers=headers), refused)


async def test_expired_keys_are_thrown_away_and_live_ones_stay(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, services: AppServices
) -> None:
    alice = await make.user()
    with time_machine.travel(utc_now(), tick=False) as clock:
        await client.post(ITEMS, json={"title": "Lamp"}, headers=once(await make.bearer(alice), "old"))
        clock.shift(timedelta(hours=12))
        await client.post(ITEMS, json={"title": "Lamp"}, headers=once(await make.bearer(alice), "new"))
        clock.shift(timedelta(hours=12, seconds=-1))
        assert await purge_expired(services.database) == 0
        clock.shift(1)
        assert await purge_expired(services.database) == 1
    assert [row.key for row in await session.scalars(select(IdempotencyKey))] == ["new"]


async def test_keys_go_with_the_account(client: httpx.AsyncClient, make: Factory, session: AsyncSession) -> None:
    headers = await make.bearer(await make.user())
    await client.post(ITEMS, json={"title": "Lamp"}, headers=once(headers))
    answer = await client.request("DELETE", f"{USERS}/me", json={"password": PASSWORD}, headers=headers)
    assert answer.status_code == 204
    assert await count(session, IdempotencyKey) == 0


# Many at once


@pytest.mark.real_database
async def test_of_twenty_with_one_key_at_once_one_places_an_order_and_all_are_told_of_it(server: Server) -> None:
    make = Factory(server.services)
    item = await make.item(await make.user(), stock=50)
    headers = once(await make.bearer(await make.user()))
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        answers = await asyncio.gather(
            *(client.post(ORDERS, json=basket((item.id, 1)), headers=headers) for _ in range(20))
        )
    created = [answer for answer in answers if answer.status_code == 201]
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {"idempotency_in_progress"}
    assert len({answer.content for answer in created}) == 1
    assert sum(REPLAYED not in answer.headers for answer in created) == 1
    async with server.services.database.primary() as session:
        assert (await count(session, Order), await session.scalar(select(Item.stock))) == (1, 49)


@pytest.mark.real_database
async def test_of_twenty_with_one_key_that_is_refused_all_are_refused_alike(server: Server) -> None:
    make = Factory(server.services)
    item = await make.item(await make.user(), stock=0)
    headers = once(await make.bearer(await make.user()))
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        answers = await asyncio.gather(
            *(client.post(ORDERS, json=basket((item.id, 1)), headers=headers) for _ in range(20))
        )
    assert {code(answer) for answer in answers} == {(409, "insufficient_stock")}
    assert len({answer.content for answer in answers}) == 1


@pytest.fixture
def postgresql(server: Server) -> Server:
    if server.services.database.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has one writer at a time, which all others wait for")
    return server


@pytest.mark.real_database
@pytest.mark.parametrize("state", ["new", "answered", "expired"])
async def test_a_key_that_is_held_for_more_than_two_seconds_is_in_progress(postgresql: Server, state: str) -> None:
    database = postgresql.services.database
    make = Factory(postgresql.services)
    alice = await make.user()
    headers = once(await make.bearer(alice))
    body = {"title": "Lamp"}
    async with httpx.AsyncClient(base_url=postgresql.url, timeout=30) as client:
        if state != "new":
            assert (await client.post(ITEMS, json=body, headers=headers)).status_code == 201
        if state == "expired":
            async with database.transaction() as session:
                await session.execute(update(IdempotencyKey).values(expires_at=utc_now()))
        async with database.write() as holder:
            # What a request does that runs for long: it makes the row, or locks the one there is.
            if state == "new":
                row = IdempotencyKey(
                    user_id=alice.id,
                    operation=f"POST {ITEMS}",
                    key=KEY,
                    fingerprint="0" * 64,
                    expires_at=utc_now() + timedelta(hours=1),
                )
                holder.add(row)
                await holder.flush()
            else:
                await holder.execute(select(IdempotencyKey).with_for_update())
            loop = asyncio.get_running_loop()
            started = loop.time()
            answer = await client.post(ITEMS, json=body, headers=headers)
            waited = loop.time() - started
            other = await client.post(ITEMS, json=body, headers=once(headers, "other"))
            assert other.status_code == 201, "nobody else waits"
            await holder.rollback()
        assert code(answer) == (409, "idempotency_in_progress")
        assert answer.headers["retry-after"] == "1"
        assert 1.9 < waited < 8
        again = await client.post(ITEMS, json=body, headers=headers)
        assert (again.status_code, REPLAYED in again.headers) == (201, state == "answered")


@pytest.mark.real_database
async def test_what_comes_while_the_first_still_runs_waits_a_little_and_is_answered_alike(postgresql: Server) -> None:
    """The first waits for an item that somebody else holds; the second for the first."""
    database = postgresql.services.database
    make = Factory(postgresql.services)
    item = await make.item(await make.user(), stock=5)
    headers = once(await make.bearer(await make.user()))
    async with httpx.AsyncClient(base_url=postgresql.url, timeout=30) as client:
        async with database.write() as holder:
            await holder.execute(select(Item).with_for_update())
            requests = [
                asyncio.create_task(client.post(ORDERS, json=basket((item.id, 1)), headers=headers)) for _ in range(3)
            ]
            await asyncio.sleep(0.5)
            assert not any(request.done() for request in requests)
            await holder.rollback()
        answers = await asyncio.gather(*requests)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum(REPLAYED in answer.headers for answer in answers) == 2


@pytest.mark.real_database
async def test_an_expired_key_that_is_cleaned_away_while_it_comes_again_runs_again(postgresql: Server) -> None:
    database = postgresql.services.database
    make = Factory(postgresql.services)
    headers = once(await make.bearer(await make.user()))
    async with httpx.AsyncClient(base_url=postgresql.url, timeout=30) as client:
        await client.post(ITEMS, json={"title": "Lamp"}, headers=headers)
        async with database.transaction() as session:
            await session.execute(update(IdempotencyKey).values(expires_at=utc_now()))
        async with database.write.begin() as cleaner:
            await cleaner.execute(text("DELETE FROM idempotency_keys"))
            request = asyncio.create_task(client.post(ITEMS, json={"title": "Lamp"}, headers=headers))
            await asyncio.sleep(0.3)
        answer = await request
    assert (answer.status_code, REPLAYED in answer.headers) == (201, False)
