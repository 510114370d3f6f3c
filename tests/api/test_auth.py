"""`/auth`: registering, signing in, staying signed in, signing out."""

import asyncio
import re
import string
from datetime import timedelta
from typing import Any

import argon2
import httpx
import pytest
import time_machine
from passlib.hash import bcrypt
from sqlalchemy import event, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import AppServices
from app.core.clock import utc_now
from app.core.config.settings import Settings
from app.main import registered_scopes
from app.models.audit import AuditEvent
from app.models.device_session import DeviceSession
from app.models.user import Role, User
from tests.api.calls import URL, code, login, me, refresh
from tests.conftest import connected, in_one_transaction, running
from tests.factories import PASSWORD, Factory
from tests.mailbox import Mailbox
from tests.server import Server

ALICE = {"username": "alice", "email": "alice@example.com", "password": PASSWORD}
USER_SCOPES = [scope.name for scope in registered_scopes().by_name.values() if not scope.admin_only]


async def test_a_new_account_is_answered_without_its_hash_and_stored_with_it(
    client: httpx.AsyncClient, session: AsyncSession
) -> None:
    body = ALICE | {"full_name": " Alice Liddell ", "confirm_password": PASSWORD}
    answer = await client.post(f"{URL}/register", json=body)
    assert answer.status_code == 201
    assert answer.headers["location"] == "/api/v1/users/me"
    assert answer.headers["cache-control"] == "private, no-cache"
    user = answer.json()
    assert user.pop("created_at") == user.pop("updated_at")
    assert user.pop("id") >= 1
    assert user == {
        "username": "alice",
        "email": "alice@example.com",
        "full_name": "Alice Liddell",
        "role": "user",
        "is_active": True,
        "is_verified": False,
    }
    stored = await session.scalar(select(User))
    assert stored is not None
    assert stored.hashed_password.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"username": "ALICE", "email": "other@example.com"}, "username_taken"),
        ({"username": "\uff41lice", "email": "other@example.com"}, "username_taken"),  # fullwidth a
        ({"username": "bob", "email": "Alice@EXAMPLE.com"}, "email_taken"),
    ],
)
async def test_names_and_addresses_are_unique_in_any_spelling(
    client: httpx.AsyncClient, session: AsyncSession, change: dict[str, str], expected: str
) -> None:
    assert (await client.post(f"{URL}/register", json=ALICE)).status_code == 201
    answer = await client.post(f"{URL}/register", json=ALICE | change)
    assert code(answer) == (409, expected)
    assert await session.scalar(select(func.count()).select_from(User)) == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"username": "al"}, "username"),
        ({"username": "a" * 51}, "username"),
        ({"username": "al ice"}, "username"),
        ({"username": "al@ice"}, "username"),
        ({"username": "ali\nce"}, "username"),
        ({"email": "nonsense"}, "email"),
        ({"email": "a@" + "b" * 300 + ".com"}, "email"),
        ({"password": "short"}, "password"),
        ({"password": "x" * 129}, "password"),
        ({"password": "eight\0chars"}, "password"),
        ({"password": "eight\tchars"}, "password"),
        ({"password": "se\u0301ve\u0301n7"}, "password"),
        ({"password": None}, "password"),
        ({"full_name": "x" * 101}, "full_name"),
        ({"role": "admin"}, "role"),
        ({"is_active": True}, "is_active"),
    ],
)
async def test_a_senseless_account_is_refused_without_echoing_the_password(
    client: httpx.AsyncClient, change: dict[str, Any], field: str
) -> None:
    answer = await client.post(f"{URL}/register", json=ALICE | change)
    assert code(answer) == (422, "validation_error")
    assert [error["loc"] for error in answer.json()["errors"]] == [["body", field]]
    assert PASSWORD not in answer.text
    assert "eight" not in answer.text


async def test_passwords_that_differ_are_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"{URL}/register", json=ALICE | {"confirm_password": "another password"})
    assert code(answer) == (422, "validation_error")
    assert "confirm_password must equal password" in answer.json()["errors"][0]["msg"]
    assert "another password" not in answer.text


async def test_twenty_registrations_of_one_name_make_one_account(server: Server) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        answers = await asyncio.gather(*(client.post(f"{URL}/register", json=ALICE) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19


@pytest.mark.parametrize("name", ["alice", "ALICE", "alice@example.com", "Alice@Example.COM"])
async def test_login_takes_the_name_or_the_address_in_any_case(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, name: str
) -> None:
    user = await make.user(username="alice", email="alice@example.com")
    answer = await client.post(
        f"{URL}/login", data={"username": name, "password": PASSWORD}, headers={"User-Agent": "a phone"}
    )
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    tokens = answer.json()
    assert (tokens["token_type"], tokens["expires_in"]) == ("bearer", 1800)
    assert tokens["scope"].split() == USER_SCOPES
    assert (await me(client, tokens["access_token"])).json()["id"] == user.id
    row = await session.scalar(select(DeviceSession))
    assert row is not None
    assert (row.user_id, row.ip, row.user_agent) == (user.id, "127.0.0.1", "a phone")
    assert row.expires_at - row.created_at > timedelta(days=6, hours=23)


async def test_an_unknown_user_and_a_wrong_password_get_the_same_answer(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    await make.user(username="alice")
    wrong, unknown = await login(client, "alice", "wrong password"), await login(client, "nobody", "wrong password")
    assert code(wrong) == code(unknown) == (401, "invalid_credentials")
    assert wrong.headers["www-authenticate"] == "Bearer"
    bodies = [answer.json() | {"request_id": ""} for answer in (wrong, unknown)]
    assert bodies[0] == bodies[1]
    assert await session.scalar(select(func.count()).select_from(DeviceSession)) == 0


async def test_an_unknown_user_costs_the_same_work_as_a_wrong_password(
    client: httpx.AsyncClient, make: Factory, services: AppServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the time tells nothing either; `benchmarks/login_timing.py` measures it."""
    await make.user(username="alice")
    await login(client, "alice", "wrong password")  # finds out, for a minute, that there are no imported accounts
    work: list[str] = []
    verify = argon2.low_level.verify_secret

    def spy(hashed: bytes, secret: bytes, kind: argon2.Type) -> bool:
        work.append(str(argon2.extract_parameters(hashed.decode())))
        return verify(hashed, secret, kind)

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        work.append(statement)

    monkeypatch.setattr(argon2.low_level, "verify_secret", spy)
    event.listen(services.database.engine.sync_engine, "before_cursor_execute", note)
    done = []
    for name in ("alice", "nobody", "alice@example.com", "nobody@example.com"):
        work.clear()
        assert code(await login(client, name, "wrong password")) == (401, "invalid_credentials")
        done.append([re.sub(r"savepoint_\d+", "", step.replace("email_key", "username_key")) for step in work])
    assert done[0] == done[1] == done[2] == done[3]
    # Savepoints stand for the transactions that this would have outside of a test.
    steps = [step.split()[0] for step in done[0] if "sa_" not in step]
    assert steps == ["SELECT", "Parameters(type=<Type.ID:", "INSERT"]


async def test_a_deactivated_user_is_told_so_only_with_the_right_password(
    client: httpx.AsyncClient, make: Factory
) -> None:
    await make.user(username="alice", is_active=False)
    assert code(await login(client, "alice")) == (403, "inactive_user")
    assert code(await login(client, "alice", "wrong password")) == (401, "invalid_credentials")


@pytest.mark.parametrize("form", [{}, {"username": "alice"}, {"username": "a", "password": "p", "grant_type": "x"}])
async def test_an_incomplete_login_is_invalid(client: httpx.AsyncClient, form: dict[str, str]) -> None:
    assert code(await client.post(f"{URL}/login", data=form)) == (422, "validation_error")


async def test_strange_names_and_passwords_fail_like_wrong_ones(client: httpx.AsyncClient, make: Factory) -> None:
    await make.user(username="alice", hashed_password=bcrypt.using(rounds=4).hash(PASSWORD))
    for name, password in (("nul\0", "x"), ("alice", "nul\0"), ("alice", "é" * 200), ("x" * 254, "y" * 1024)):
        assert code(await login(client, name, password)) == (401, "invalid_credentials")


async def test_a_bcrypt_hash_is_verified_and_replaced(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    user = await make.user(username="alice", hashed_password=bcrypt.using(rounds=4).hash(PASSWORD))
    assert (await login(client, "alice")).status_code == 200
    stored = await session.get_one(User, user.id)
    assert stored.hashed_password.startswith("$argon2id$")
    assert (await login(client, "alice")).status_code == 200


async def test_scope_narrows_the_token_and_its_successors(client: httpx.AsyncClient, make: Factory) -> None:
    await make.user(username="alice")
    answer = await login(client, "alice", scope="items:read admin nonsense")
    assert answer.json()["scope"] == "items:read"
    again = (await refresh(client, answer.json()["refresh_token"])).json()
    assert again["scope"] == "items:read"
    denied = await client.post(
        "/api/v1/items", json={"title": "x"}, headers={"Authorization": f"Bearer {again['access_token']}"}
    )
    assert code(denied) == (403, "insufficient_scope")
    assert code(await login(client, "alice", scope="admin")) == (422, "invalid_scope")


async def test_a_demotion_takes_effect_at_the_next_request(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    owner, admin = await make.user(), await make.admin()
    item, headers = await make.item(owner), await make.bearer(admin)
    url, change = f"/api/v1/items/{item.id}", {"stock": 1}
    assert (await client.patch(url, json=change, headers=headers)).status_code == 200
    await session.execute(update(User).where(User.id == admin.id).values(role=Role.USER))
    await session.commit()
    assert code(await client.patch(url, json=change, headers=headers)) == (403, "not_owner")


async def test_a_refresh_gives_a_new_pair_and_keeps_the_session(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    tokens = await make.tokens(await make.user())
    answer = await refresh(client, tokens.refresh_token)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["refresh_token"] != tokens.refresh_token
    assert (await me(client, answer.json()["access_token"])).status_code == 200
    assert (await me(client, tokens.access_token)).status_code == 200
    assert await session.scalar(select(func.count()).select_from(DeviceSession)) == 1


async def test_a_token_used_twice_within_the_grace_time_gets_the_same_successor(
    client: httpx.AsyncClient, make: Factory
) -> None:
    tokens = await make.tokens(await make.user())
    first = (await refresh(client, tokens.refresh_token)).json()
    second = (await refresh(client, tokens.refresh_token)).json()
    assert second["refresh_token"] == first["refresh_token"]
    assert second["access_token"] != first["access_token"]
    assert (await refresh(client, second["refresh_token"])).status_code == 200


async def test_a_token_used_again_later_ends_the_session_for_good(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    tokens = await make.tokens(await make.user())
    with time_machine.travel(utc_now(), tick=False) as clock:
        newer = (await refresh(client, tokens.refresh_token)).json()
        clock.shift(11)
        assert code(await refresh(client, tokens.refresh_token)) == (401, "token_reused")
        assert await session.scalar(select(func.count()).select_from(DeviceSession)) == 0
        assert code(await refresh(client, newer["refresh_token"])) == (401, "token_revoked")
        assert code(await me(client, newer["access_token"])) == (401, "token_revoked")


async def test_a_token_older_than_the_last_ends_the_session_even_at_once(
    client: httpx.AsyncClient, make: Factory
) -> None:
    first = await make.tokens(await make.user())
    second = (await refresh(client, first.refresh_token)).json()
    assert (await refresh(client, second["refresh_token"])).status_code == 200
    assert code(await refresh(client, first.refresh_token)) == (401, "token_reused")


async def test_tokens_expire(client: httpx.AsyncClient, make: Factory) -> None:
    tokens = await make.tokens(await make.user())
    with time_machine.travel(utc_now() + timedelta(minutes=31)):
        answer = await me(client, tokens.access_token)
        assert code(answer) == (401, "token_expired")
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    with time_machine.travel(utc_now() + timedelta(days=8)):
        assert code(await refresh(client, tokens.refresh_token)) == (401, "token_expired")


async def test_a_token_has_one_spelling(client: httpx.AsyncClient, make: Factory) -> None:
    token = (await make.tokens(await make.user())).access_token
    for letter in string.ascii_letters + string.digits + "-_":
        if letter != token[-1]:
            assert code(await me(client, token[:-1] + letter)) == (401, "invalid_token")
    assert (await me(client, token)).status_code == 200


async def test_each_token_serves_only_its_purpose(client: httpx.AsyncClient, make: Factory) -> None:
    tokens = await make.tokens(await make.user())
    assert code(await me(client, tokens.refresh_token)) == (401, "invalid_token")
    assert code(await refresh(client, tokens.access_token)) == (401, "invalid_token")
    assert code(await refresh(client, "nonsense")) == (401, "invalid_token")


async def test_logout_ends_access_and_refresh_at_once(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    user = await make.user()
    phone, laptop = await make.tokens(user), await make.tokens(user)
    answer = await client.post(f"{URL}/logout", json={"refresh_token": phone.refresh_token})
    assert (answer.status_code, answer.content) == (204, b"")
    assert code(await me(client, phone.access_token)) == (401, "token_revoked")
    assert code(await refresh(client, phone.refresh_token)) == (401, "token_revoked")
    assert (await me(client, laptop.access_token)).status_code == 200
    again = await client.post(f"{URL}/logout", json={"refresh_token": phone.refresh_token})
    assert again.status_code == 204
    assert await session.scalar(select(func.count()).select_from(DeviceSession)) == 1


async def test_logout_refuses_what_is_no_refresh_token(client: httpx.AsyncClient, make: Factory) -> None:
    tokens = await make.tokens(await make.user())
    answer = await client.post(f"{URL}/logout", json={"refresh_token": tokens.access_token})
    assert code(answer) == (401, "invalid_token")
    assert (await me(client, tokens.access_token)).status_code == 200


@pytest.mark.parametrize("change", [{"is_active": False}, None])
async def test_a_deactivated_or_deleted_users_tokens_stop_at_once(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, change: dict[str, Any] | None
) -> None:
    user = await make.user()
    tokens = await make.tokens(user)
    if change is None:
        await session.delete(await session.get_one(User, user.id))
    else:
        await session.execute(update(User).where(User.id == user.id).values(**change))
    await session.commit()
    assert code(await me(client, tokens.access_token)) == (401, "token_revoked")
    assert code(await refresh(client, tokens.refresh_token)) == (401, "token_revoked")


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic dTpw", "Bearer a b", "Bearer nonsense", "bearer x.y.z", "Token abc", "Bearer é"],
)
async def test_a_bad_authorization_header_is_a_401(client: httpx.AsyncClient, header: str) -> None:
    answer = await client.get("/api/v1/users/me", headers={b"Authorization": header.encode()})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_read_me_shows_the_account_and_its_version(client: httpx.AsyncClient, make: Factory) -> None:
    user = await make.user(username="alice", full_name="Alice")
    headers = await make.bearer(user)
    answer = await client.get("/api/v1/users/me", headers=headers)
    assert answer.status_code == 200
    assert (answer.json()["username"], answer.json()["full_name"]) == ("alice", "Alice")
    assert not any("password" in name or "hash" in name for name in answer.json())
    cached = await client.get("/api/v1/users/me", headers=headers | {"If-None-Match": answer.headers["etag"]})
    assert cached.status_code == 304


async def test_no_connection_waits_for_a_password(server: Server) -> None:
    """Logins queue for the hasher; if each held a connection meanwhile, a login storm would starve the pool."""
    make = Factory(server.services)
    await make.user(username="alice")
    limiter = server.services.hasher.limiter
    blockers = [object() for _ in range(int(limiter.total_tokens))]
    for blocker in blockers:
        limiter.acquire_on_behalf_of_nowait(blocker)
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        logins = [asyncio.create_task(login(client, "alice")) for _ in range(5)]
        while limiter.statistics().tasks_waiting < len(logins):  # noqa: ASYNC110 - the limiter has no event for it
            await asyncio.sleep(0.01)
        assert server.services.database.engine.pool.checkedout() == 0  # type: ignore[attr-defined] # a QueuePool
        for blocker in blockers:
            limiter.release_on_behalf_of(blocker)
        answers = await asyncio.gather(*logins)
    assert {answer.status_code for answer in answers} == {200}


async def test_logins_beyond_a_full_queue_are_turned_away_at_once_whoever_they_are(
    client: httpx.AsyncClient, make: Factory, services: AppServices, session: AsyncSession
) -> None:
    await make.user(username="alice")
    services.hasher.most_waiting = 0
    known, unknown = await login(client, "alice"), await login(client, "nobody")
    for answer in (known, unknown):
        assert code(answer) == (503, "overloaded")
        assert answer.headers["retry-after"] == "3"
    assert {**known.json(), "request_id": ""} == {**unknown.json(), "request_id": ""}
    assert await session.scalar(select(func.count()).select_from(AuditEvent)) == 0
    token = await client.post(f"{URL}/token", data={"grant_type": "password", "username": "alice", "password": "x"})
    assert (token.status_code, token.json()["error"]) == (503, "temporarily_unavailable")
    services.hasher.most_waiting = 1
    assert (await login(client, "alice")).status_code == 200


async def test_every_way_to_a_password_is_turned_away_while_the_queue_is_full(
    client: httpx.AsyncClient, make: Factory, services: AppServices, session: AsyncSession
) -> None:
    alice = await make.user(username="alice", email="alice@example.com")
    headers, new = await make.bearer(alice), {"new_password": "an even more correct horse"}
    await client.post(f"{URL}/forgot-password", json={"email": "alice@example.com"})
    reset = new | {"token": await Mailbox(services).token("alice@example.com")}
    change, bob = new | {"current_password": PASSWORD}, ALICE | {"username": "bob", "email": "bob@example.com"}
    services.hasher.most_waiting = 0
    for answer in (
        await client.post(f"{URL}/register", json=bob),
        await client.post(f"{URL}/reset-password", json=reset),
        await client.put("/api/v1/users/me/password", json=change, headers=headers),
        await client.request("DELETE", "/api/v1/users/me", json={"password": PASSWORD}, headers=headers),
    ):
        assert code(answer) == (503, "overloaded")
    assert list(await session.scalars(select(User.hashed_password))) == [alice.hashed_password]
    services.hasher.most_waiting = 1
    assert (await client.post(f"{URL}/reset-password", json=reset)).status_code == 204, "the link still works"


async def test_being_turned_away_is_no_failed_sign_in(settings: Settings) -> None:
    limited = settings.model_copy(update={"rate_limit_enabled": True, "rate_limit_login": "20/minute"})
    async with (
        running(limited) as (_, manager, services),
        in_one_transaction(services),
        connected(manager.app) as client,
    ):
        await Factory(services).user(username="alice")
        services.hasher.most_waiting = 0
        assert {code(await login(client, "alice")) for _ in range(10)} == {(503, "overloaded")}
        limiter = services.auth.attempts.limiter
        assert limiter is not None
        verdict = await limiter.hit(services.auth.attempts.rate, "sign-in", "alice")
        assert verdict.remaining == 19
