"""`/users`: one's own account, and for administrators all of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any

import httpx
import pytest
from passlib.hash import bcrypt
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import AppServices
from app.core.clock import utc_now
from app.crud.one_time_token import one_time_tokens
from app.models.audit import Action, AuditEvent
from app.models.device_session import DeviceSession
from app.models.item import Item
from app.models.one_time_token import OneTimeToken, Purpose
from app.models.user import Role, User
from tests.factories import PASSWORD, PASSWORD_HASH, Factory
from tests.jobs import run_jobs
from tests.server import Server

URL = "/api/v1/users"
ME = f"{URL}/me"
NEW_PASSWORD = "a rather different passphrase"
BOB = {"username": "bob", "email": "bob@example.com", "password": PASSWORD}
IMPORTED_HASH = bcrypt.using(rounds=4).hash(PASSWORD)
OTHER_HASH = PASSWORD_HASH.replace("$vI", "$vJ")  # of a password that nobody knows


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def login(client: httpx.AsyncClient, username: str, password: str = PASSWORD) -> httpx.Response:
    return await client.post("/api/v1/auth/login", data={"username": username, "password": password})


async def count(session: AsyncSession, model: type[Any], **columns: Any) -> int:
    return await session.scalar(select(func.count()).select_from(model).filter_by(**columns)) or 0


async def events(session: AsyncSession, action: Action) -> list[AuditEvent]:
    return list(await session.scalars(select(AuditEvent).where(AuditEvent.action == action).order_by(AuditEvent.id)))


async def mails(services: AppServices) -> list[EmailMessage]:
    await run_jobs(services)
    parser = BytesParser(EmailMessage, policy=policy.default)
    return [parser.parsebytes(file.read_bytes()) for file in sorted(services.settings.data_dir.glob("mail/*.eml"))]


@pytest.fixture
async def admin(make: Factory) -> dict[str, str]:
    """Headers of an administrator; there is another one, so that none is the last."""
    await make.admin()
    return await make.bearer(await make.admin(username="root", email="root@example.com"))


# One's own account


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/me", None),
        ("PATCH", "/me", {"full_name": "x"}),
        ("DELETE", "/me", {"password": PASSWORD}),
        ("PUT", "/me/password", {"current_password": PASSWORD, "new_password": NEW_PASSWORD}),
        ("POST", "/me/email", {"email": "new@example.com", "password": PASSWORD}),
        ("GET", "/me/export", None),
        ("GET", "", None),
        ("POST", "", BOB),
        ("GET", "/1", None),
        ("PATCH", "/1", {"full_name": "x"}),
        ("DELETE", "/1", None),
    ],
)
async def test_anonymous_calls_are_challenged(
    client: httpx.AsyncClient, method: str, path: str, body: dict[str, str] | None
) -> None:
    answer = await client.request(method, URL + path, json=body)
    assert code(answer) == (401, "not_authenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_patch_me_changes_only_what_it_names(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    alice = await make.user(username="alice", full_name="Alice")
    headers = await make.bearer(alice)
    answer = await client.patch(ME, json={"username": "Alice.L", "password": PASSWORD}, headers=headers)
    assert answer.status_code == 200
    assert (answer.json()["username"], answer.json()["full_name"]) == ("Alice.L", "Alice")
    assert answer.json()["updated_at"] > answer.json()["created_at"]
    assert answer.headers["etag"] == '"2"'
    stored = await session.get_one(User, alice.id)
    assert (stored.username, stored.username_key, stored.full_name, stored.version) == (
        "Alice.L",
        "alice.l",
        "Alice",
        2,
    )
    cleared = await client.patch(ME, json={"full_name": None}, headers=headers)
    assert cleared.json()["full_name"] is None
    await session.refresh(stored)
    assert (stored.full_name, stored.version) == (None, 3)
    changes = await events(session, Action.USER_CHANGED)
    assert [(event.actor_id, event.subject_id, event.details) for event in changes] == [
        (alice.id, alice.id, {"changes": {"username": ["alice", "Alice.L"]}}),
        (alice.id, alice.id, {"changes": {"full_name": ["Alice", None]}}),
    ]


async def test_one_may_change_the_letter_case_of_ones_own_name(client: httpx.AsyncClient, make: Factory) -> None:
    headers = await make.bearer(await make.user(username="alice"))
    answer = await client.patch(ME, json={"username": "ALICE", "password": PASSWORD}, headers=headers)
    assert (answer.status_code, answer.json()["username"]) == (200, "ALICE")


@pytest.mark.parametrize("name", ["bob", "BOB", "\uff42ob"])
async def test_a_name_that_is_taken_in_any_spelling_conflicts(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, name: str
) -> None:
    await make.user(username="Bob")
    alice = await make.user(username="alice")
    body = {"username": name, "password": PASSWORD}
    answer = await client.patch(ME, json=body, headers=await make.bearer(alice))
    assert code(answer) == (409, "username_taken")
    assert (await session.get_one(User, alice.id)).username == "alice"
    assert not await events(session, Action.USER_CHANGED)


@pytest.mark.parametrize(
    "change",
    [
        {"email": "new@example.com"},
        {"password": NEW_PASSWORD},
        {"role": "admin"},
        {"is_active": True},
        {"is_verified": True},
        {"id": 1},
        {"hashed_password": "x"},
        {"username": None},
        {"username": "a b c"},
        {"full_name": "x" * 101},
        {"full_name": "nul\0"},
    ],
)
async def test_patch_me_refuses_what_one_may_not_change(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, change: dict[str, Any]
) -> None:
    alice = await make.user()
    answer = await client.patch(ME, json={"full_name": "ok"} | change, headers=await make.bearer(alice))
    assert code(answer) == (422, "validation_error")
    assert [error["loc"] for error in answer.json()["errors"]] == [["body", *change]]
    stored = await session.get_one(User, alice.id)
    assert (stored.full_name, stored.role, stored.version) == (None, Role.USER, 1)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/password", {"current_password": PASSWORD, "new_password": NEW_PASSWORD, "x": 1}),
        ("DELETE", "", {"password": PASSWORD, "x": 1}),
        ("DELETE", "", {}),
        ("POST", "/email", {"email": "new@example.com", "password": PASSWORD, "x": 1}),
    ],
)
async def test_unknown_and_missing_fields_are_invalid(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, method: str, path: str, body: dict[str, Any]
) -> None:
    alice = await make.user()
    answer = await client.request(method, ME + path, json=body, headers=await make.bearer(alice))
    assert code(answer) == (422, "validation_error")
    assert PASSWORD not in answer.text
    stored = await session.get_one(User, alice.id)
    assert (stored.hashed_password, stored.version) == (PASSWORD_HASH, 1)


@pytest.mark.parametrize(("method", "body"), [("PATCH", {"full_name": "newer"}), ("DELETE", {"password": PASSWORD})])
async def test_if_match_protects_a_newer_version_of_ones_account(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, method: str, body: dict[str, str]
) -> None:
    alice = await make.user()
    headers = await make.bearer(alice)
    first = (await client.get(ME, headers=headers)).headers["etag"]
    second = (await client.patch(ME, json={"full_name": "new"}, headers=headers)).headers["etag"]
    stale = await client.request(method, ME, json=body, headers=headers | {"If-Match": first})
    assert code(stale) == (412, "version_mismatch")
    assert (await session.get_one(User, alice.id)).full_name == "new"
    fresh = await client.request(method, ME, json=body, headers=headers | {"If-Match": second})
    assert fresh.status_code == (200 if method == "PATCH" else 204)


async def test_me_is_not_sent_again_to_those_who_have_it(client: httpx.AsyncClient, make: Factory) -> None:
    headers = await make.bearer(await make.user())
    tag = (await client.get(ME, headers=headers)).headers["etag"]
    cached = await client.get(ME, headers=headers | {"If-None-Match": tag})
    assert (cached.status_code, cached.content, cached.headers["etag"]) == (304, b"", tag)
    await client.patch(ME, json={"full_name": "new"}, headers=headers)
    assert (await client.get(ME, headers=headers | {"If-None-Match": tag})).status_code == 200


async def test_a_new_password_ends_the_other_sessions_and_is_told_by_mail(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, services: AppServices
) -> None:
    alice, bob = await make.user(username="alice", email="alice@example.com", is_verified=True), await make.user()
    here, there = await make.bearer(alice), await make.tokens(alice)
    bobs = await make.bearer(bob)
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    answer = await client.put(f"{ME}/password", json=body, headers=here | {"User-Agent": "a laptop"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await client.get(ME, headers=here)).status_code == 200
    assert (await client.get(ME, headers=bobs)).status_code == 200
    gone = await client.get(ME, headers={"Authorization": f"Bearer {there.access_token}"})
    assert code(gone) == (401, "token_revoked")
    refreshed = await client.post("/api/v1/auth/refresh", json={"refresh_token": there.refresh_token})
    assert code(refreshed) == (401, "token_revoked")
    assert await count(session, DeviceSession, user_id=alice.id) == 1
    stored = await session.get_one(User, alice.id)
    assert stored.hashed_password != PASSWORD_HASH
    assert (await session.get_one(User, bob.id)).hashed_password == PASSWORD_HASH
    assert code(await login(client, "alice")) == (401, "invalid_credentials")
    assert (await login(client, "alice", NEW_PASSWORD)).status_code == 200
    [mail] = [mail for mail in await mails(services) if mail["Subject"] == "Your password was changed"]
    assert mail["To"] == "alice@example.com"
    text = mail.get_body(("plain",))
    assert text is not None
    assert "a laptop" in text.get_content()
    assert NEW_PASSWORD not in str(mail)
    assert PASSWORD not in str(mail)


@pytest.mark.parametrize("current", ["", "wrong password", PASSWORD.upper(), "x" * 1024])
async def test_a_wrong_current_password_changes_nothing(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, services: AppServices, current: str
) -> None:
    alice = await make.user()
    here, other = await make.bearer(alice), await make.bearer(alice)
    body = {"current_password": current, "new_password": NEW_PASSWORD}
    answer = await client.put(f"{ME}/password", json=body, headers=here)
    assert code(answer) == (403, "wrong_password")
    assert (await session.get_one(User, alice.id)).hashed_password == PASSWORD_HASH
    assert (await client.get(ME, headers=other)).status_code == 200
    assert not await mails(services)
    assert not await events(session, Action.PASSWORD_CHANGED)


@pytest.mark.parametrize("password", ["password123", "ALICE-IN-WONDERLAND", "alice.liddell@Example.com"])
async def test_a_weak_new_password_is_refused_and_not_echoed(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, password: str
) -> None:
    alice = await make.user(username="alice-in-wonderland", email="alice.liddell@example.com")
    body = {"current_password": PASSWORD, "new_password": password}
    answer = await client.put(f"{ME}/password", json=body, headers=await make.bearer(alice))
    assert code(answer) == (422, "weak_password")
    assert password.casefold() not in answer.text.casefold()
    assert (await session.get_one(User, alice.id)).hashed_password == PASSWORD_HASH


@pytest.mark.parametrize("password", ["short", "x" * 129, "nul\0nul\0nul", None, 12345678])
async def test_an_impossible_new_password_is_invalid(client: httpx.AsyncClient, make: Factory, password: Any) -> None:
    body = {"current_password": PASSWORD, "new_password": password}
    answer = await client.put(f"{ME}/password", json=body, headers=await make.bearer(await make.user()))
    assert code(answer) == (422, "validation_error")
    assert [error["loc"] for error in answer.json()["errors"]] == [["body", "new_password"]]
    assert PASSWORD not in answer.text


async def test_deleting_ones_account_takes_all_of_it_and_nothing_else(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    alice, bob = await make.user(username="alice"), await make.user()
    for owner in (alice, alice, bob):
        await make.item(owner)
    headers, bobs = await make.bearer(alice), await make.bearer(bob)
    answer = await client.request("DELETE", ME, json={"password": PASSWORD}, headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")
    assert code(await client.get(ME, headers=headers)) == (401, "token_revoked")
    assert code(await login(client, "alice")) == (401, "invalid_credentials")
    assert (await client.get(ME, headers=bobs)).status_code == 200
    assert await session.get(User, alice.id) is None
    assert await count(session, Item, owner_id=alice.id) == await count(session, DeviceSession, user_id=alice.id) == 0
    assert await count(session, Item, owner_id=bob.id) == 1
    [event] = await events(session, Action.ACCOUNT_DELETED)
    assert (event.actor_id, event.subject_id) == (alice.id, alice.id)


async def test_deleting_ones_account_wants_the_password(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    alice = await make.user()
    answer = await client.request("DELETE", ME, json={"password": "wrong"}, headers=await make.bearer(alice))
    assert code(answer) == (403, "wrong_password")
    assert await session.get(User, alice.id) is not None


async def test_a_deleted_name_can_be_had_again_under_another_id(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    alice = await make.user(username="alice")
    headers = await make.bearer(alice)
    await client.request("DELETE", ME, json={"password": PASSWORD}, headers=headers)
    again = await make.user(username="alice")
    assert again.id != alice.id, "old tokens and audit events must not come to mean a stranger"
    assert code(await client.get(ME, headers=headers)) == (401, "token_revoked")
    assert await count(session, User, username="alice") == 1


async def test_the_export_has_everything_of_the_user_and_nothing_secret(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    alice = await make.user(username="alice", full_name="Alice Liddell")
    items = [await make.item(alice, title=title, is_done=is_done) for title, is_done in (("a", False), ("b", True))]
    phone = {"User-Agent": "a phone"}
    signed_in = await client.post("/api/v1/auth/login", data={"username": "alice", "password": PASSWORD}, headers=phone)
    laptop = await make.bearer(alice)
    answer = await client.get(f"{ME}/export", headers=laptop)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    export = answer.json()
    assert set(export) == {"exported_at", "user", "sessions", "items", "orders", "audit"}
    assert (export["user"]["username"], export["user"]["full_name"]) == ("alice", "Alice Liddell")
    assert [(item["id"], item["title"]) for item in export["items"]] == [(item.id, item.title) for item in items]
    assert {(row["user_agent"], row["current"]) for row in export["sessions"]} == {("a phone", False), (None, True)}
    assert [(event["action"], event["actor_id"]) for event in export["audit"]] == [
        ("signed_in", alice.id),
        ("data_exported", alice.id),
    ]
    assert export["audit"][0]["user_agent"] == "a phone"
    for secret in ("hash", "argon2", "digest", PASSWORD, signed_in.json()["refresh_token"], "password"):
        assert secret not in answer.text
    [event] = await events(session, Action.DATA_EXPORTED)
    assert (event.actor_id, event.subject_id) == (alice.id, alice.id)


async def test_the_export_tells_nothing_of_other_people(
    client: httpx.AsyncClient, make: Factory, admin: dict[str, str]
) -> None:
    alice, bob = await make.user(username="alice"), await make.user(username="robert", email="robert@example.com")
    await make.item(bob, title="Roberts bicycle")
    await login(client, "robert", "wrong password")
    await login(client, "robert")
    by_admin = admin | {"User-Agent": "the admin's browser", "X-Request-ID": "request-of-the-admin"}
    for change in ({"full_name": "Alice"}, {"is_active": False}, {"is_active": True}):
        assert (await client.patch(f"{URL}/{alice.id}", json=change, headers=by_admin)).status_code == 200
    answer = await client.get(f"{ME}/export", headers=await make.bearer(alice))
    export = answer.json()
    assert [event["action"] for event in export["audit"]] == ["user_changed"] * 3 + ["data_exported"]
    assert all(event["ip"] is None for event in export["audit"][:3]), "where an admin sits is not Alice's data"
    assert export["audit"][3]["ip"] == "127.0.0.1"
    assert {event["subject_id"] for event in export["audit"]} == {alice.id}
    assert export["items"] == []
    assert len(export["sessions"]) == 1
    for foreign in ("robert", "Robert", "bicycle", "root", "browser", "request-of-the-admin"):
        assert foreign not in answer.text


# All accounts


@pytest.mark.parametrize(
    ("method", "path", "body", "scope"),
    [
        ("GET", "", None, "users:read"),
        ("GET", "/1", None, "users:read"),
        ("POST", "", BOB, "users:write"),
        ("PATCH", "/1", {"full_name": "x"}, "users:write"),
        ("DELETE", "/1", None, "users:write"),
    ],
)
async def test_each_call_wants_its_scope_and_an_administrator(
    client: httpx.AsyncClient, make: Factory, method: str, path: str, body: dict[str, str] | None, scope: str
) -> None:
    await make.admin()
    admin = await make.admin()
    url = URL + path.replace("1", str((await make.user()).id))
    other = "users:read" if scope == "users:write" else "users:write"
    refused = [
        await make.bearer(await make.user()),
        await make.bearer(await make.user(), scope=scope),
        await make.bearer(admin, scope=f"{other} admin"),
        await make.bearer(admin, scope="items:read"),
    ]
    for headers in refused:
        answer = await client.request(method, url, json=body, headers=headers)
        assert code(answer) == (403, "insufficient_scope")
        assert answer.headers["www-authenticate"] == f'Bearer error="insufficient_scope", scope="{scope}"'
    allowed = await client.request(method, url, json=body, headers=await make.bearer(admin, scope=scope))
    assert allowed.status_code in {200, 201, 204}


async def names(client: httpx.AsyncClient, headers: dict[str, str], **params: Any) -> list[str]:
    answer = await client.get(URL, params=params, headers=headers)
    assert answer.status_code == 200, answer.text
    return [user["username"] for user in answer.json()["items"]]


async def test_the_list_shows_accounts_without_hashes(client: httpx.AsyncClient, make: Factory) -> None:
    admin = await make.admin(username="root")
    await make.user(username="alice")
    answer = await client.get(URL, headers=await make.bearer(admin))
    page = answer.json()
    assert [user["username"] for user in page["items"]] == ["root", "alice"]
    assert (page["total"], page["skip"], page["limit"], page["next_cursor"]) == (2, 0, 20, None)
    assert set(page["items"][0]) == {
        *("id", "username", "email", "full_name", "role"),
        *("is_active", "is_verified", "created_at", "updated_at"),
    }
    assert "argon2" not in answer.text


async def test_filters_narrow_the_list(client: httpx.AsyncClient, make: Factory) -> None:
    headers = await make.bearer(await make.admin(username="root", email="root@example.org", full_name="100% Root"))
    await make.user(username="alice", email="alice@example.com", full_name="Alice Liddell")
    await make.user(username="snake_case", email="s@example.com", is_active=False)
    await make.admin(username="gone", email="gone@example.com", is_active=False, full_name="LIDDELL too")
    assert await names(client, headers, q="liddell") == ["alice", "gone"]
    assert await names(client, headers, q="ALICE") == ["alice"]
    assert await names(client, headers, q="example.org") == ["root"]
    assert await names(client, headers, q="%") == ["root"]
    assert await names(client, headers, q="_") == ["snake_case"]
    assert await names(client, headers, q="e_c") == ["snake_case"]
    assert await names(client, headers, q="\\") == []
    assert await names(client, headers, q="/") == []
    assert await names(client, headers, role="admin") == ["root", "gone"]
    assert await names(client, headers, role="user") == ["alice", "snake_case"]
    assert await names(client, headers, is_active="true") == ["root", "alice"]
    assert await names(client, headers, is_active="false", role="admin") == ["gone"]
    assert await names(client, headers, q="LIDDELL", is_active="false") == ["gone"]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("id", "b_root c_one a_two"),
        ("-id", "a_two c_one b_root"),
        ("username", "a_two b_root c_one"),
        ("-username", "c_one b_root a_two"),
        ("created_at", "c_one a_two b_root"),
        ("-created_at", "b_root a_two c_one"),
    ],
)
async def test_every_sort_works_by_offset_and_by_cursor(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, sort: str, expected: str
) -> None:
    root = await make.admin(username="b_root")
    rows = [root, await make.user(username="c_one"), await make.user(username="a_two")]
    headers = await make.bearer(root)
    morning = datetime(2026, 11, 1, 8, 0, 0, 123456, tzinfo=UTC)
    for row, hours in zip(rows, (2, 1, 1), strict=True):  # two at the same instant: the id decides
        moved = update(User).where(User.id == row.id).values(created_at=morning + timedelta(hours=hours))
        await session.execute(moved)
    await session.commit()
    assert await names(client, headers, sort=sort) == expected.split()
    pages = [*await names(client, headers, sort=sort, limit=2), *await names(client, headers, sort=sort, skip=2)]
    assert pages == expected.split()
    walked: list[str] = []
    cursor = None
    for _ in rows:
        params = {"sort": sort, "limit": "1"} | ({"cursor": cursor} if cursor else {})
        page = (await client.get(URL, params=params, headers=headers)).json()
        walked += [user["username"] for user in page["items"]]
        assert page["total"] == 3
        cursor = page["next_cursor"]
    assert walked == expected.split()
    assert cursor is None


async def test_a_cursor_works_only_where_it_belongs(
    client: httpx.AsyncClient, make: Factory, admin: dict[str, str]
) -> None:
    await make.user()
    cursor = (await client.get(URL, params={"limit": 1}, headers=admin)).json()["next_cursor"]
    assert len(await names(client, admin, cursor=cursor)) == 2
    wrong: list[dict[str, Any]] = [{"sort": "username"}, {"q": "user"}, {"role": "admin"}, {"skip": 1}]
    for params in wrong:
        answer = await client.get(URL, params={"cursor": cursor} | params, headers=admin)
        assert code(answer) == (422, "invalid_cursor"), params
    items = await client.get("/api/v1/items", params={"cursor": cursor, "sort": "id"}, headers=admin)
    assert code(items) == (422, "invalid_cursor")


@pytest.mark.parametrize(
    "params",
    [
        {"role": "owner"},
        {"role": "ADMIN"},
        {"is_active": "maybe"},
        {"sort": "email"},
        {"sort": "hashed_password"},
        {"q": "x" * 101},
        {"q": "nul\0"},
        {"limit": 101},
    ],
)
async def test_senseless_list_parameters_are_invalid(
    client: httpx.AsyncClient, admin: dict[str, str], params: dict[str, Any]
) -> None:
    answer = await client.get(URL, params=params, headers=admin)
    assert code(answer) == (422, "validation_error")
    assert answer.json()["errors"][0]["loc"][:2] == ["query", *params]


async def test_an_admin_makes_an_account_that_can_sign_in(
    client: httpx.AsyncClient, session: AsyncSession, admin: dict[str, str]
) -> None:
    body = BOB | {"full_name": "Bob", "role": "admin", "is_verified": True}
    answer = await client.post(URL, json=body, headers=admin)
    assert answer.status_code == 201
    user = answer.json()
    assert answer.headers["location"] == f"{URL}/{user['id']}"
    assert answer.headers["etag"] == '"1"'
    assert (user["username"], user["role"], user["is_active"], user["is_verified"]) == ("bob", "admin", True, True)
    assert "password" not in answer.text
    read = await client.get(answer.headers["location"], headers=admin)
    assert (read.json(), read.headers["etag"]) == (user, '"1"')
    stored = await session.get_one(User, user["id"])
    assert (stored.role, stored.full_name) == (Role.ADMIN, "Bob")
    assert stored.hashed_password.startswith("$argon2id$")
    assert "users:write" in (await login(client, "bob")).json()["scope"].split()


async def test_a_made_account_is_an_ordinary_unproven_one_unless_said_otherwise(
    client: httpx.AsyncClient, session: AsyncSession, admin: dict[str, str]
) -> None:
    user = (await client.post(URL, json=BOB, headers=admin)).json()
    stored = await session.get_one(User, user["id"])
    assert (stored.role, stored.is_active, stored.is_verified) == (Role.USER, True, False)
    idle = {"username": "idle", "email": "idle@example.com", "is_active": False}
    assert (await client.post(URL, json=BOB | idle, headers=admin)).status_code == 201
    assert code(await login(client, "idle")) == (403, "inactive_user")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"username": "ROOT"}, (409, "username_taken")),
        ({"email": "Root@Example.com"}, (409, "email_taken")),
        ({"password": "password123"}, (422, "weak_password")),
        ({"username": "bob-the-builder", "password": "Bob-The-Builder"}, (422, "weak_password")),
        ({"password": "sh0rt!"}, (422, "validation_error")),
        ({"role": "owner"}, (422, "validation_error")),
        ({"role": None}, (422, "validation_error")),
        ({"is_active": "yes"}, (422, "validation_error")),
        ({"confirm_password": PASSWORD}, (422, "validation_error")),
        ({"id": 7}, (422, "validation_error")),
        ({"email": None}, (422, "validation_error")),
    ],
)
async def test_an_account_that_cannot_be_is_not_made(
    client: httpx.AsyncClient,
    session: AsyncSession,
    admin: dict[str, str],
    change: dict[str, Any],
    expected: tuple[int, str],
) -> None:
    before = await count(session, User)
    answer = await client.post(URL, json=BOB | change, headers=admin)
    assert code(answer) == expected
    assert str((BOB | change)["password"]).casefold() not in answer.text.casefold()
    assert await count(session, User) == before
    assert not await events(session, Action.USER_CREATED)


async def test_an_account_is_read_and_not_sent_again_to_those_who_have_it(
    client: httpx.AsyncClient, make: Factory, admin: dict[str, str]
) -> None:
    bob = await make.user(username="bob", is_active=False)
    answer = await client.get(f"{URL}/{bob.id}", headers=admin)
    assert (answer.status_code, answer.json()["username"], answer.headers["etag"]) == (200, "bob", '"1"')
    cached = await client.get(f"{URL}/{bob.id}", headers=admin | {"If-None-Match": '"1"'})
    assert (cached.status_code, cached.content) == (304, b"")


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_an_unknown_account_is_not_found(client: httpx.AsyncClient, admin: dict[str, str], method: str) -> None:
    bodies: list[dict[str, Any] | None] = [{"role": "user"}, {"full_name": "x"}] if method == "PATCH" else [None]
    for body in bodies:
        answer = await client.request(method, f"{URL}/{2**63 - 1}", json=body, headers=admin)
        assert code(answer) == (404, "user_not_found")


@pytest.mark.parametrize("user_id", ["0", "-1", "x", str(2**63), "1e3", "ME"])
async def test_an_impossible_id_is_invalid(client: httpx.AsyncClient, admin: dict[str, str], user_id: str) -> None:
    assert code(await client.get(f"{URL}/{user_id}", headers=admin)) == (422, "validation_error")


async def test_a_new_role_counts_at_the_users_next_request(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, admin: dict[str, str]
) -> None:
    bob = await make.user()
    theirs = await make.bearer(bob, scope="items:read users:read")
    assert code(await client.get(URL, headers=theirs)) == (403, "insufficient_scope")
    promoted = await client.patch(f"{URL}/{bob.id}", json={"role": "admin"}, headers=admin)
    assert (promoted.status_code, promoted.json()["role"], promoted.headers["etag"]) == (200, "admin", '"2"')
    assert (await session.get_one(User, bob.id)).role is Role.ADMIN
    as_admin = await make.bearer(await session.get_one(User, bob.id), scope="items:read users:read")
    assert (await client.get(URL, headers=as_admin)).status_code == 200
    assert (await client.patch(f"{URL}/{bob.id}", json={"role": "user"}, headers=admin)).status_code == 200
    assert code(await client.get(URL, headers=as_admin)) == (403, "insufficient_scope")
    changes = await events(session, Action.USER_CHANGED)
    assert [event.details for event in changes] == [
        {"changes": {"role": ["user", "admin"]}},
        {"changes": {"role": ["admin", "user"]}},
    ]


async def test_a_deactivated_users_sessions_end_at_once_and_for_good(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, admin: dict[str, str]
) -> None:
    bob = await make.user(username="bob")
    tokens = await make.tokens(bob)
    theirs = {"Authorization": f"Bearer {tokens.access_token}"}
    other = await make.bearer(await make.user())
    off = await client.patch(f"{URL}/{bob.id}", json={"is_active": False}, headers=admin)
    assert (off.status_code, off.json()["is_active"]) == (200, False)
    assert code(await client.get(ME, headers=theirs)) == (401, "token_revoked")
    assert code(await login(client, "bob")) == (403, "inactive_user")
    assert await count(session, DeviceSession, user_id=bob.id) == 0
    assert (await client.get(ME, headers=other)).status_code == 200
    on = await client.patch(f"{URL}/{bob.id}", json={"is_active": True}, headers=admin)
    assert on.json()["is_active"] is True
    assert code(await client.get(ME, headers=theirs)) == (401, "token_revoked")
    refreshed = await client.post("/api/v1/auth/refresh", json={"refresh_token": tokens.refresh_token})
    assert code(refreshed) == (401, "token_revoked")
    assert (await login(client, "bob")).status_code == 200


async def test_a_change_that_leaves_a_user_active_leaves_them_signed_in(
    client: httpx.AsyncClient, make: Factory, admin: dict[str, str]
) -> None:
    bob = await make.user()
    theirs = await make.bearer(bob)
    body = {"full_name": "Bob", "is_active": True, "is_verified": True}
    assert (await client.patch(f"{URL}/{bob.id}", json=body, headers=admin)).status_code == 200
    assert (await client.get(ME, headers=theirs)).json()["full_name"] == "Bob"


@pytest.mark.parametrize(
    ("change", "is_verified"),
    [
        ({"email": "new@example.com"}, False),
        ({"email": "new@example.com", "is_verified": True}, True),
        ({"email": "Bob@EXAMPLE.com"}, True),
        ({"full_name": "Bob"}, True),
        ({"is_verified": False}, False),
    ],
)
async def test_a_new_address_is_unproven_until_said_otherwise(
    client: httpx.AsyncClient,
    make: Factory,
    session: AsyncSession,
    admin: dict[str, str],
    change: dict[str, Any],
    is_verified: bool,
) -> None:
    bob = await make.user(username="bob", email="bob@example.com", is_verified=True)
    answer = await client.patch(f"{URL}/{bob.id}", json=change, headers=admin)
    assert (answer.status_code, answer.json()["is_verified"]) == (200, is_verified)
    stored = await session.get_one(User, bob.id)
    assert stored.is_verified is is_verified
    assert stored.email.casefold() == change.get("email", "bob@example.com").casefold()


@pytest.mark.parametrize(
    "change",
    [
        *({name: None} for name in ("username", "email", "role", "is_active", "is_verified")),
        {"password": NEW_PASSWORD},
        {"version": 1},
        {"is_active": "false"},
        {"is_active": 0},
        {"email": "nonsense"},
    ],
)
async def test_an_account_is_not_changed_to_what_cannot_be(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, admin: dict[str, str], change: dict[str, Any]
) -> None:
    bob = await make.user(full_name="before")
    answer = await client.patch(f"{URL}/{bob.id}", json={"full_name": "after"} | change, headers=admin)
    assert code(answer) == (422, "validation_error")
    assert [error["loc"] for error in answer.json()["errors"]] == [["body", *change]]
    stored = await session.get_one(User, bob.id)
    assert (stored.full_name, stored.is_active, stored.version) == ("before", True, 1)


@pytest.mark.parametrize(
    ("change", "expected"),
    [({"username": "ROOT"}, "username_taken"), ({"email": "ROOT@example.com"}, "email_taken")],
)
async def test_a_name_or_address_of_another_conflicts(
    client: httpx.AsyncClient,
    make: Factory,
    session: AsyncSession,
    admin: dict[str, str],
    change: dict[str, str],
    expected: str,
) -> None:
    bob = await make.user(username="bob")
    answer = await client.patch(f"{URL}/{bob.id}", json=change, headers=admin)
    assert code(answer) == (409, expected)
    assert (await session.get_one(User, bob.id)).username == "bob"


@pytest.mark.parametrize(
    ("method", "change"), [("PATCH", {"role": "admin"}), ("PATCH", {"is_active": False}), ("DELETE", None)]
)
async def test_if_match_protects_a_newer_version_of_an_account(
    client: httpx.AsyncClient,
    make: Factory,
    session: AsyncSession,
    admin: dict[str, str],
    method: str,
    change: dict[str, Any] | None,
) -> None:
    bob = await make.user()
    theirs = await make.bearer(bob)
    url = f"{URL}/{bob.id}"
    await client.patch(url, json={"full_name": "newer"}, headers=admin)
    stale = await client.request(method, url, json=change, headers=admin | {"If-Match": '"1"'})
    assert code(stale) == (412, "version_mismatch")
    stored = await session.get_one(User, bob.id)
    assert (stored.role, stored.is_active, stored.version) == (Role.USER, True, 2)
    assert (await client.get(ME, headers=theirs)).status_code == 200
    fresh = await client.request(method, url, json=change, headers=admin | {"If-Match": '"2"'})
    assert fresh.status_code in {200, 204}


async def test_a_deleted_account_takes_its_items_and_sessions_and_leaves_its_history(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, admin: dict[str, str]
) -> None:
    bob = await make.user(username="bob")
    await make.item(bob)
    await login(client, "bob")
    theirs = await make.bearer(bob)
    answer = await client.delete(f"{URL}/{bob.id}", headers=admin)
    assert (answer.status_code, answer.content) == (204, b"")
    assert code(await client.get(ME, headers=theirs)) == (401, "token_revoked")
    assert code(await client.get(f"{URL}/{bob.id}", headers=admin)) == (404, "user_not_found")
    assert code(await client.delete(f"{URL}/{bob.id}", headers=admin)) == (404, "user_not_found")
    assert await session.get(User, bob.id) is None
    assert await count(session, Item, owner_id=bob.id) == await count(session, DeviceSession, user_id=bob.id) == 0
    history = await client.get("/api/v1/admin/audit", params={"subject_id": bob.id}, headers=admin)
    assert [event["action"] for event in history.json()["items"]] == ["user_deleted", "signed_in"]


# At the same moment


@asynccontextmanager
async def sign_ins_under_way(
    server: Server, client: httpx.AsyncClient, count: int
) -> AsyncIterator[list[asyncio.Task[httpx.Response]]]:
    """Bob's, whose account has been read; their password is hashed once the block is left."""
    limiter = server.services.hasher.limiter
    blockers = [object() for _ in range(int(limiter.total_tokens))]
    for blocker in blockers:
        limiter.acquire_on_behalf_of_nowait(blocker)
    under_way = [asyncio.create_task(login(client, "bob")) for _ in range(count)]
    while limiter.statistics().tasks_waiting < count:  # noqa: ASYNC110 - the limiter has no event for it
        await asyncio.sleep(0.01)
    try:
        yield under_way
    finally:
        for blocker in blockers:
            limiter.release_on_behalf_of(blocker)


@pytest.mark.parametrize("hashed", [PASSWORD_HASH, IMPORTED_HASH], ids=["argon2", "bcrypt"])
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"is_active": False}, (403, "inactive_user")),
        ({"hashed_password": OTHER_HASH}, (401, "invalid_credentials")),
        (None, (401, "invalid_credentials")),
    ],
    ids=["deactivated", "new password", "deleted"],
)
async def test_a_sign_in_under_way_does_not_outlive_what_ends_all_sessions(
    server: Server, change: dict[str, Any] | None, expected: tuple[int, str], hashed: str
) -> None:
    bob = await Factory(server.services).user(username="bob", hashed_password=hashed)
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        async with (
            sign_ins_under_way(server, client, 1) as (under_way,),
            server.services.database.transaction() as session,
        ):
            row = await session.get_one(User, bob.id)
            if change is None:
                await session.delete(row)
            for name, value in (change or {}).items():
                setattr(row, name, value)
        assert code(await under_way) == expected
    async with server.services.database.read() as session:
        assert await count(session, DeviceSession) == 0
        if change is not None:
            stored = await session.get_one(User, bob.id)
            assert stored.hashed_password == change.get("hashed_password", hashed)


async def test_sign_ins_of_an_imported_account_at_once_all_succeed(server: Server) -> None:
    bob = await Factory(server.services).user(username="bob", hashed_password=IMPORTED_HASH)
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        async with sign_ins_under_way(server, client, 3) as under_way:
            pass
        answers = await asyncio.gather(*under_way)
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    async with server.services.database.read() as session:
        assert (await session.get_one(User, bob.id)).hashed_password.startswith("$argon2id$")
        assert await count(session, DeviceSession, user_id=bob.id) == 3
        assert await events(session, Action.SIGN_IN_FAILED) == []


async def test_an_account_that_is_deleted_while_its_address_is_proven_blocks_nobody(server: Server) -> None:
    make = Factory(server.services)
    await make.admin()
    admin = await make.bearer(await make.admin())
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        for _ in range(25):
            bob = await make.user()
            async with server.services.database.transaction() as session:
                token = await one_time_tokens.issue(
                    session, bob, Purpose.VERIFY_EMAIL, expires_at=utc_now() + timedelta(minutes=5)
                )
            deleted, proven = await asyncio.gather(
                client.delete(f"{URL}/{bob.id}", headers=admin),
                client.post("/api/v1/auth/verify-email", json={"token": token}),
            )
            assert deleted.status_code == 204, deleted.text
            assert proven.status_code in {204, 400}, proven.text
    async with server.services.database.read() as session:
        assert await count(session, User) == 2
        assert await count(session, OneTimeToken) == 0
