"""`/admin`: the audit trail, the dashboard, and the last administrator, who cannot go."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest
import time_machine
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import AppServices
from app.core.clock import utc_now
from app.models.audit import Action, AuditEvent
from app.models.base import Base
from app.models.device_session import DeviceSession
from app.models.item import Item
from app.models.user import Role, User
from app.services.audit import Device, record
from tests.factories import PASSWORD, Factory
from tests.jobs import run_jobs
from tests.server import Server

AUDIT = "/api/v1/admin/audit"
DASHBOARD = "/api/v1/admin/dashboard"
AUTH = "/api/v1/auth"
USERS = "/api/v1/users"
NEW_PASSWORD = "a rather different passphrase"
DEVICE = {"User-Agent": "a phone", "X-Request-ID": "request-7"}


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def login(client: httpx.AsyncClient, username: str, password: str = PASSWORD) -> httpx.Response:
    return await client.post(f"{AUTH}/login", data={"username": username, "password": password}, headers=DEVICE)


async def all_events(session: AsyncSession) -> list[AuditEvent]:
    return list(await session.scalars(select(AuditEvent).order_by(AuditEvent.id)))


async def only_event(session: AsyncSession, action: Action) -> AuditEvent:
    """The one event of a kind, which must tell where it came from."""
    [event] = await session.scalars(select(AuditEvent).where(AuditEvent.action == action))
    assert (event.ip, event.user_agent, event.request_id) == ("127.0.0.1", "a phone", "request-7")
    assert abs(event.at - utc_now()) < timedelta(minutes=1)
    return event


# Who may look


@pytest.mark.parametrize("url", [AUDIT, DASHBOARD])
async def test_only_the_admin_scope_opens_the_admin_pages(client: httpx.AsyncClient, make: Factory, url: str) -> None:
    assert code(await client.get(url)) == (401, "not_authenticated")
    admin = await make.admin()
    for headers in (
        await make.bearer(await make.user()),
        await make.bearer(await make.user(), scope="admin"),
        await make.bearer(admin, scope="users:read users:write items:read"),
    ):
        answer = await client.get(url, headers=headers)
        assert code(answer) == (403, "insufficient_scope")
        assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="admin"'
    assert (await client.get(url, headers=await make.bearer(admin, scope="admin"))).status_code == 200


# What is written down


async def test_registering_signing_in_and_out_are_written_down(
    client: httpx.AsyncClient, session: AsyncSession
) -> None:
    body = {"username": "alice", "email": "alice@example.com", "password": PASSWORD}
    alice = (await client.post(f"{AUTH}/register", json=body, headers=DEVICE)).json()["id"]
    tokens = (await login(client, "Alice@Example.com")).json()
    await client.post(f"{AUTH}/logout", json={"refresh_token": tokens["refresh_token"]}, headers=DEVICE)
    for action in (Action.REGISTERED, Action.SIGNED_IN, Action.SIGNED_OUT):
        event = await only_event(session, action)
        assert (event.actor_id, event.subject_id) == (alice, alice)
    assert set((await only_event(session, Action.SIGNED_IN)).details) == {"session_id"}
    assert len(await all_events(session)) == 3


@pytest.mark.parametrize("name", ["alice", "ALICE@example.com"])
async def test_a_failed_sign_in_names_the_account_and_nobody_as_actor(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, name: str
) -> None:
    alice = await make.user(username="alice", email="alice@example.com")
    await login(client, name, "wrong password")
    event = await only_event(session, Action.SIGN_IN_FAILED)
    assert (event.actor_id, event.subject_id, event.details) == (None, alice.id, {})


async def test_a_failed_sign_in_of_nobody_does_not_keep_what_was_typed(
    client: httpx.AsyncClient, session: AsyncSession
) -> None:
    """People type their password where the name belongs."""
    assert (await login(client, "my-secret-password", "x")).status_code == 401
    event = await only_event(session, Action.SIGN_IN_FAILED)
    assert (event.actor_id, event.subject_id, event.details) == (None, None, {})
    everything = (await session.execute(text("SELECT * FROM audit_events"))).all()
    assert "my-secret-password" not in str(everything)


async def test_a_refused_registration_leaves_no_event(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    await make.user(username="alice")
    body = {"username": "alice", "email": "other@example.com", "password": PASSWORD}
    assert (await client.post(f"{AUTH}/register", json=body)).status_code == 409
    assert await all_events(session) == []


async def test_a_copied_refresh_token_is_written_down_although_the_answer_is_an_error(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    alice = await make.user()
    tokens = await make.tokens(alice)
    with time_machine.travel(utc_now(), tick=False) as clock:
        await client.post(f"{AUTH}/refresh", json={"refresh_token": tokens.refresh_token})
        clock.shift(60)
        copied = await client.post(f"{AUTH}/refresh", json={"refresh_token": tokens.refresh_token}, headers=DEVICE)
        assert code(copied) == (401, "token_reused")
        event = await only_event(session, Action.REFRESH_REUSED)
    assert (event.actor_id, event.subject_id) == (None, alice.id)
    assert list(event.details) == ["session_id"]


async def test_password_changes_and_resets_are_written_down(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, services: AppServices
) -> None:
    alice = await make.user(email="alice@example.com")
    headers = await make.bearer(alice) | DEVICE
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert (await client.put(f"{USERS}/me/password", json=body, headers=headers)).status_code == 204
    event = await only_event(session, Action.PASSWORD_CHANGED)
    assert (event.actor_id, event.subject_id) == (alice.id, alice.id)
    await client.post(f"{AUTH}/forgot-password", json={"email": "alice@example.com"}, headers=DEVICE)
    await run_jobs(services)
    event = await only_event(session, Action.PASSWORD_RESET_REQUESTED)
    assert (event.actor_id, event.subject_id) == (None, alice.id)
    newest = max(services.settings.data_dir.glob("mail/*.eml")).read_text()
    token = newest.partition("#token=")[2].split()[0]
    answer = await client.post(
        f"{AUTH}/reset-password", json={"token": token, "new_password": PASSWORD}, headers=DEVICE
    )
    assert answer.status_code == 204
    assert (await only_event(session, Action.PASSWORD_RESET)).subject_id == alice.id
    for event in await all_events(session):
        assert not any(secret in str(event.details) for secret in (PASSWORD, NEW_PASSWORD, token))


async def test_a_reset_for_an_unknown_address_leaves_no_event(
    client: httpx.AsyncClient, session: AsyncSession, services: AppServices
) -> None:
    await client.post(f"{AUTH}/forgot-password", json={"email": "nobody@example.com"})
    await run_jobs(services)
    assert await all_events(session) == []


async def test_what_administrators_do_is_written_down_with_both_sides(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    await make.admin()
    admin = await make.admin()
    headers = await make.bearer(admin) | DEVICE
    body = {"username": "bob", "email": "bob@example.com", "password": PASSWORD}
    bob = (await client.post(USERS, json=body, headers=headers)).json()["id"]
    change = {"role": "admin", "email": "robert@example.com"}
    assert (await client.patch(f"{USERS}/{bob}", json=change, headers=headers)).status_code == 200
    assert (await client.delete(f"{USERS}/{bob}", headers=headers)).status_code == 204
    expected: dict[Action, dict[str, Any]] = {
        Action.USER_CREATED: {"role": "user"},
        Action.USER_CHANGED: {
            "changes": {"email": ["bob@example.com", "robert@example.com"], "role": ["user", "admin"]}
        },
        Action.USER_DELETED: {},
    }
    for action, details in expected.items():
        event = await only_event(session, action)
        assert (event.actor_id, event.subject_id, event.details) == (admin.id, bob, details)
    assert len(await all_events(session)) == 3


async def test_deleting_and_exporting_oneself_is_written_down(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    alice = await make.user()
    headers = await make.bearer(alice) | DEVICE
    await client.get(f"{USERS}/me/export", headers=headers)
    await client.request("DELETE", f"{USERS}/me", json={"password": PASSWORD}, headers=headers)
    for action in (Action.DATA_EXPORTED, Action.ACCOUNT_DELETED):
        event = await only_event(session, action)
        assert (event.actor_id, event.subject_id, event.details) == (alice.id, alice.id, {})


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_what_was_refused_leaves_no_event(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, method: str
) -> None:
    headers, bob = await make.bearer(await make.admin()), await make.user()
    body = {"role": "admin"} if method == "PATCH" else None
    answer = await client.request(method, f"{USERS}/{bob.id}", json=body, headers=headers | {"If-Match": '"9"'})
    assert answer.status_code == 412
    assert await all_events(session) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_events SET actor_id = NULL",
        "UPDATE audit_events SET details = '{}' WHERE id = (SELECT min(id) FROM audit_events)",
        "DELETE FROM audit_events",
        "DELETE FROM audit_events WHERE id = (SELECT max(id) FROM audit_events)",
    ],
)
async def test_the_database_itself_refuses_to_rewrite_history(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, statement: str
) -> None:
    await make.user(username="alice")
    await login(client, "alice")
    before = [(event.id, event.actor_id, event.details) for event in await all_events(session)]
    with pytest.raises(DBAPIError, match="audit_events is append-only"):
        async with session.begin_nested():
            await session.execute(text(statement))
    session.expire_all()
    assert [(event.id, event.actor_id, event.details) for event in await all_events(session)] == before
    assert before


async def test_history_cannot_be_truncated_either(
    make: Factory, services: AppServices, session: AsyncSession, is_postgresql: bool
) -> None:
    if not is_postgresql:
        pytest.skip("SQLite has no TRUNCATE")
    await add_events(services, await make.user(), 1)
    with pytest.raises(DBAPIError, match="audit_events is append-only"):
        async with session.begin_nested():
            await session.execute(text("TRUNCATE audit_events"))
    assert len(await all_events(session)) == 1


# Reading it


async def add_events(services: AppServices, user: User, number: int) -> None:
    async with services.database.transaction() as session:
        for _ in range(number):
            await record(session, Action.SIGNED_IN, Device("192.0.2.1", "a phone", "r"), actor_id=user.id, session_id=1)


async def audit_ids(client: httpx.AsyncClient, headers: dict[str, str], **params: Any) -> list[int]:
    answer = await client.get(AUDIT, params=params, headers=headers)
    assert answer.status_code == 200, answer.text
    return [event["id"] for event in answer.json()["items"]]


async def test_an_event_is_shown_whole(client: httpx.AsyncClient, make: Factory, services: AppServices) -> None:
    alice = await make.user()
    await add_events(services, alice, 1)
    page = (await client.get(AUDIT, headers=await make.bearer(await make.admin()))).json()
    [event] = page["items"]
    assert (page["total"], page["next_cursor"]) == (1, None)
    at = datetime.fromisoformat(event.pop("at"))
    assert abs(at - utc_now()) < timedelta(minutes=1)
    assert event.pop("id") > 0
    assert event == {
        "action": "signed_in",
        "actor_id": alice.id,
        "subject_id": alice.id,
        "ip": "192.0.2.1",
        "user_agent": "a phone",
        "request_id": "r",
        "details": {"session_id": 1},
    }


async def test_the_newest_come_first_by_offset_and_by_cursor(
    client: httpx.AsyncClient, make: Factory, services: AppServices, session: AsyncSession
) -> None:
    alice = await make.user()
    await add_events(services, alice, 5)
    headers = await make.bearer(await make.admin())
    newest_first = [event.id for event in await all_events(session)][::-1]
    assert await audit_ids(client, headers) == newest_first
    assert await audit_ids(client, headers, sort="id") == newest_first[::-1]
    assert await audit_ids(client, headers, skip=3) == newest_first[3:]
    first = (await client.get(AUDIT, params={"limit": 2}, headers=headers)).json()
    assert first["total"] == 5
    await add_events(services, alice, 1)  # must not move what follows
    second = (await client.get(AUDIT, params={"limit": 2, "cursor": first["next_cursor"]}, headers=headers)).json()
    last = (await client.get(AUDIT, params={"limit": 2, "cursor": second["next_cursor"]}, headers=headers)).json()
    walked = [event["id"] for page in (first, second, last) for event in page["items"]]
    assert walked == newest_first
    assert last["next_cursor"] is None
    foreign = await client.get(AUDIT, params={"cursor": first["next_cursor"], "action": "signed_in"}, headers=headers)
    assert code(foreign) == (422, "invalid_cursor")


async def test_filters_narrow_the_trail(
    client: httpx.AsyncClient, make: Factory, services: AppServices, session: AsyncSession
) -> None:
    admin, alice, bob = await make.admin(), await make.user(), await make.user()
    noon = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
    device = Device(None, None)
    facts: list[tuple[Action, int | None, int | None]] = [
        (Action.SIGNED_IN, alice.id, None),
        (Action.SIGN_IN_FAILED, None, alice.id),
        (Action.USER_CHANGED, admin.id, bob.id),
        (Action.SIGN_IN_FAILED, None, None),
    ]
    for hours, (action, actor_id, subject_id) in enumerate(facts):
        with time_machine.travel(noon + timedelta(hours=hours), tick=False):
            async with services.database.transaction() as writing:
                await record(writing, action, device, actor_id=actor_id, subject_id=subject_id)
    first, second, third, fourth = [event.id for event in await all_events(session)]
    headers = await make.bearer(admin)

    async def found(**params: Any) -> list[int]:
        return sorted(await audit_ids(client, headers, **params))

    assert await found() == [first, second, third, fourth]
    assert await found(action="sign_in_failed") == [second, fourth]
    assert await found(actor_id=alice.id) == [first]
    assert await found(actor_id=admin.id) == [third]
    assert await found(subject_id=alice.id) == [first, second]
    assert await found(subject_id=bob.id, action="user_changed") == [third]
    assert await found(subject_id=2**63 - 1) == []
    assert await found(since="2026-11-20T13:00:00Z") == [second, third, fourth], "from that instant on"
    assert await found(until="2026-11-20T13:00:00Z") == [first], "before that instant"
    assert await found(since="2026-11-20T14:00:00+01:00", until="2026-11-20T16:00:00+01:00") == [second, third]
    assert await found(since="2026-11-20T12:00:00.000001Z", actor_id=alice.id) == []
    assert await found(since="0001-01-01T00:00:00Z", until="9999-12-31T23:59:59Z") == [first, second, third, fourth]


@pytest.mark.parametrize(
    "params",
    [
        {"action": "nonsense"},
        {"action": "SIGNED_IN"},
        {"actor_id": 0},
        {"actor_id": 2**63},
        {"subject_id": "alice"},
        {"since": "yesterday"},
        {"since": "2026-11-20T12:00:00"},  # of which place?
        {"until": "2026-11-31T00:00:00Z"},
        {"since": "0001-01-01T00:00:00+14:00"},
        {"until": "9999-12-31T23:59:59-12:00"},
        {"sort": "action"},
        {"limit": 0},
    ],
)
async def test_senseless_filters_are_invalid(client: httpx.AsyncClient, make: Factory, params: dict[str, Any]) -> None:
    answer = await client.get(AUDIT, params=params, headers=await make.bearer(await make.admin()))
    assert code(answer) == (422, "validation_error")
    assert answer.json()["errors"][0]["loc"][:2] == ["query", *params]


# The dashboard


async def created(session: AsyncSession, model: type[Base], id_: int, at: datetime) -> None:
    await session.execute(update(model).where(model.id == id_).values(created_at=at))
    await session.commit()


async def test_the_dashboard_counts_what_there_is(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    admin = await make.admin(is_verified=True)
    alice = await make.user(is_verified=True)
    await make.user(is_active=False)
    await make.admin(is_active=False)
    for is_done in (False, False, True):
        await make.item(alice, is_done=is_done)
    await make.tokens(alice)
    await session.execute(update(DeviceSession).values(expires_at=utc_now() - timedelta(seconds=1)))
    await session.commit()
    await make.tokens(alice)
    answer = await client.get(DASHBOARD, headers=await make.bearer(admin))
    assert answer.status_code == 200
    board = answer.json()
    assert board["users"] == {"total": 4, "active": 2, "verified": 2, "admins": 2}
    assert board["items"] == {"total": 3, "open": 2}
    assert board["sessions"] == 2
    assert board["orders"] == {"total": 0, "placed": 0, "paid": 0, "cancelled": 0}
    assert board["revenue"] == "0.00"
    assert set(board) == {"users", "items", "orders", "revenue", "sessions", "days"}
    assert board["days"][-1] == {"day": utc_now().date().isoformat(), "users": 4, "items": 3, "orders": 0}
    assert sum(day["users"] + day["items"] + day["orders"] for day in board["days"][:-1]) == 0


async def test_the_dashboard_has_thirty_days_none_left_out(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    admin = await make.admin()
    now = utc_now()
    await created(session, User, admin.id, now - timedelta(days=400))
    with time_machine.travel(now, tick=False):
        days = (await client.get(DASHBOARD, headers=await make.bearer(admin))).json()["days"]
    expected = [(now.date() - timedelta(days=number)).isoformat() for number in range(29, -1, -1)]
    assert days == [{"day": day, "users": 0, "items": 0, "orders": 0} for day in expected]


@pytest.mark.parametrize(
    "now", ["2026-11-22T00:00:00+00:00", "2026-11-22T12:00:00+00:00", "2026-11-22T23:59:59.999999+00:00"]
)
async def test_days_begin_at_midnight_in_utc(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, now: str
) -> None:
    moment = datetime.fromisoformat(now)
    with time_machine.travel(moment, tick=False):
        admin = await make.admin()
        headers = await make.bearer(admin)
        await created(session, User, admin.id, datetime(2026, 10, 23, 23, 59, 59, 999_999, tzinfo=UTC))  # just too old
        instants = [
            datetime(2026, 10, 24, 0, 0, 0, tzinfo=UTC),
            datetime(2026, 10, 24, 23, 59, 59, 999_999, tzinfo=UTC),
            datetime(2026, 10, 25, 0, 0, 0, tzinfo=UTC),
            datetime(2026, 11, 20, 23, 59, 59, 999_999, tzinfo=UTC),
            datetime(2026, 11, 21, 0, 0, 0, tzinfo=UTC),
            datetime(2026, 11, 22, 0, 0, 0, tzinfo=UTC),
        ]
        for instant in instants:
            user = await make.user()
            await created(session, User, user.id, instant)
            await created(session, Item, (await make.item(user)).id, instant)
        days = (await client.get(DASHBOARD, headers=headers)).json()["days"]
    assert (days[0]["day"], days[-1]["day"], len(days)) == ("2026-10-24", "2026-11-22", 30)
    counts = {day["day"]: day["users"] for day in days if day["users"]}
    assert counts == {"2026-10-24": 2, "2026-10-25": 1, "2026-11-20": 1, "2026-11-21": 1, "2026-11-22": 1}
    assert counts == {day["day"]: day["items"] for day in days if day["items"]}


async def test_days_are_utc_also_where_the_database_server_sits_elsewhere(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, is_postgresql: bool
) -> None:
    admin = await make.admin()
    headers = await make.bearer(admin)
    midnight = datetime.combine(utc_now().date() - timedelta(days=2), datetime.min.time(), UTC)
    await created(session, User, admin.id, midnight)
    if is_postgresql:  # SQLite knows no zone
        await session.execute(text("SET LOCAL TIME ZONE 'America/Los_Angeles'"))
    days = (await client.get(DASHBOARD, headers=headers)).json()["days"]
    assert [date.fromisoformat(day["day"]) for day in days if day["users"]] == [midnight.date()]


# The last administrator


REMOVALS: list[tuple[str, dict[str, Any] | None]] = [
    ("DELETE", None),
    ("PATCH", {"role": "user"}),
    ("PATCH", {"is_active": False}),
    ("PATCH", {"role": "user", "is_active": False, "full_name": "x"}),
]


@pytest.mark.parametrize(("method", "body"), REMOVALS)
async def test_the_last_active_admin_stays(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, method: str, body: dict[str, Any] | None
) -> None:
    admin = await make.admin()
    await make.admin(is_active=False)  # does not count
    await make.user()
    headers = await make.bearer(admin)
    answer = await client.request(method, f"{USERS}/{admin.id}", json=body, headers=headers)
    assert code(answer) == (409, "last_admin")
    stored = await session.get_one(User, admin.id)
    assert (stored.role, stored.is_active, stored.full_name, stored.version) == (Role.ADMIN, True, None, 1)
    assert (await client.get(f"{USERS}/me", headers=headers)).status_code == 200
    assert await all_events(session) == []


async def test_the_last_active_admin_cannot_leave_by_themselves(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    admin = await make.admin()
    await make.admin(is_active=False)
    headers = await make.bearer(admin)
    answer = await client.request("DELETE", f"{USERS}/me", json={"password": PASSWORD}, headers=headers)
    assert code(answer) == (409, "last_admin")
    assert await session.get(User, admin.id) is not None
    await make.admin()
    answer = await client.request("DELETE", f"{USERS}/me", json={"password": PASSWORD}, headers=headers)
    assert answer.status_code == 204


@pytest.mark.parametrize(("method", "body"), REMOVALS)
async def test_one_of_two_admins_may_go_also_by_their_own_hand(
    client: httpx.AsyncClient, make: Factory, method: str, body: dict[str, Any] | None
) -> None:
    leaving, staying = await make.admin(), await make.admin()
    answer = await client.request(method, f"{USERS}/{leaving.id}", json=body, headers=await make.bearer(leaving))
    assert answer.status_code in {200, 204}
    headers = await make.bearer(staying)
    last = await client.request(method, f"{USERS}/{staying.id}", json=body, headers=headers)
    assert code(last) == (409, "last_admin")


@pytest.mark.parametrize(("method", "body"), REMOVALS)
async def test_an_inactive_admin_may_go_while_one_is_active(
    client: httpx.AsyncClient, make: Factory, method: str, body: dict[str, Any] | None
) -> None:
    headers, idle = await make.bearer(await make.admin()), await make.admin(is_active=False)
    answer = await client.request(method, f"{USERS}/{idle.id}", json=body, headers=headers)
    assert answer.status_code in {200, 204}


async def test_the_last_admin_may_change_what_leaves_them_one(client: httpx.AsyncClient, make: Factory) -> None:
    admin = await make.admin()
    body = {"role": "admin", "is_active": True, "full_name": "Still here", "email": "root@example.com"}
    answer = await client.patch(f"{USERS}/{admin.id}", json=body, headers=await make.bearer(admin))
    assert (answer.status_code, answer.json()["full_name"]) == (200, "Still here")


ROUNDS = 12


@pytest.mark.parametrize(("method", "body"), REMOVALS[:3])
async def test_two_admins_who_remove_each_other_at_once_leave_one(
    server: Server, method: str, body: dict[str, Any] | None
) -> None:
    make = Factory(server.services)
    database = server.services.database
    pair = [await make.admin(), await make.admin()]
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        for _ in range(ROUNDS):
            headers = [await make.bearer(admin) for admin in pair]
            answers = await asyncio.gather(
                *(
                    client.request(method, f"{USERS}/{victim.id}", json=body, headers=own)
                    for victim, own in zip(pair[::-1], headers, strict=True)
                )
            )
            statuses = sorted(answer.status_code for answer in answers)
            # The slower one is told that nobody else is left, or finds that they themselves are gone.
            assert statuses[0] in {200, 204}, statuses
            assert statuses[1] in {401, 403, 409}, statuses
            async with database.read() as session:
                active = select(User).where(User.role == Role.ADMIN, User.is_active)
                [left] = await session.scalars(active)
            pair = [left, await make.admin()]


async def test_admins_who_leave_all_at_once_leave_one(server: Server) -> None:
    make = Factory(server.services)
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        for _ in range(3):
            admins = [await make.admin() for _ in range(5)]
            headers = [await make.bearer(admin) for admin in admins]
            bystander = await make.user()
            ways: list[tuple[str, str, dict[str, Any] | None]] = [
                ("DELETE", f"{USERS}/me", {"password": PASSWORD}),
                ("PATCH", f"{USERS}/{admins[1].id}", {"role": "user"}),
                ("PATCH", f"{USERS}/{admins[2].id}", {"is_active": False}),
                ("DELETE", f"{USERS}/{admins[3].id}", None),
                ("DELETE", f"{USERS}/me", {"password": PASSWORD}),
            ]
            sent = [
                client.request(method, url, json=body, headers=own)
                for (method, url, body), own in zip(ways, headers, strict=True)
            ]
            sent.append(client.delete(f"{USERS}/{bystander.id}", headers=headers[0]))
            answers = await asyncio.gather(*sent)
            assert all(answer.status_code < 500 for answer in answers), [answer.text for answer in answers]
            async with server.services.database.transaction() as session:
                active = select(User).where(User.role == Role.ADMIN, User.is_active)
                [left] = await session.scalars(active)
                # The next round's administrators are to be the only ones.
                left.role = Role.USER
            assert sum(answer.status_code == 409 for answer in answers) == 1


async def test_twenty_deletions_of_one_account_delete_it_once(server: Server) -> None:
    make = Factory(server.services)
    headers, bob = await make.bearer(await make.admin()), await make.user()
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        answers = await asyncio.gather(*(client.delete(f"{USERS}/{bob.id}", headers=headers) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [204] + [404] * 19
    async with server.services.database.read() as session:
        deletions = select(func.count()).where(AuditEvent.action == Action.USER_DELETED)
        assert await session.scalar(deletions) == 1
