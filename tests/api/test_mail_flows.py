"""Whatever takes a mail: proving an address, a forgotten password, another address, and what users are told of."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest
import time_machine
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import AppServices
from app.core.clock import utc_now
from app.crud.one_time_token import sha256
from app.models.audit import Action, AuditEvent
from app.models.base import Base
from app.models.device_session import DeviceSession
from app.models.one_time_token import OneTimeToken, Purpose
from app.models.user import User
from tests.api.calls import URL, code, login, me, refresh
from tests.factories import PASSWORD, PASSWORD_HASH, Factory
from tests.mailbox import Mailbox, text_of, token_in
from tests.server import Server

ADDRESS, NEW_ADDRESS = "alice@example.com", "alice@new.example"
ALICE = {"username": "alice", "email": ADDRESS, "password": PASSWORD}
NEW_PASSWORD = "another horse battery staple"
VERIFY = "Confirm your e-mail address"
RESET = "Choose a new password"
CHANGE = "Confirm your new e-mail address"
CHANGED = "Your e-mail address was changed"
NEW_DEVICE = "New sign-in to your account"
NEW_PASSWORD_SET = "Your password was changed"


@pytest.fixture
def mailbox(services: AppServices) -> Mailbox:
    return Mailbox(services)


@pytest.fixture
async def alice(make: Factory) -> User:
    return await make.user(username="alice", email=ADDRESS)


async def verify(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.post(f"{URL}/verify-email", json={"token": token})


async def forgot(client: httpx.AsyncClient, email: str = ADDRESS) -> httpx.Response:
    return await client.post(f"{URL}/forgot-password", json={"email": email})


async def reset(client: httpx.AsyncClient, token: str, password: str = NEW_PASSWORD) -> httpx.Response:
    return await client.post(f"{URL}/reset-password", json={"token": token, "new_password": password})


async def change_address(
    client: httpx.AsyncClient, headers: dict[str, str], email: str = NEW_ADDRESS, password: str = PASSWORD
) -> httpx.Response:
    return await client.post("/api/v1/users/me/email", json={"email": email, "password": password}, headers=headers)


async def stored(session: AsyncSession, user: User) -> User:
    return await session.get_one(User, user.id, populate_existing=True)


async def actions(session: AsyncSession) -> list[Action]:
    return list(await session.scalars(select(AuditEvent.action).order_by(AuditEvent.id)))


async def everything_in(session: AsyncSession) -> str:
    """Every cell of every table."""
    rows = [(await session.execute(select(table))).all() for table in Base.metadata.sorted_tables]
    return repr(rows)


async def prove(session: AsyncSession, user: User) -> None:
    await session.execute(update(User).where(User.id == user.id).values(is_verified=True))
    await session.commit()


async def set_hash(session: AsyncSession, user: User, hashed: str = PASSWORD_HASH[:-1] + "9") -> None:
    """As if the password had been changed, without the cost of hashing one."""
    await session.execute(update(User).where(User.id == user.id).values(hashed_password=hashed))
    await session.commit()


async def test_a_new_account_proves_its_address_with_the_token_of_a_mail_once(
    client: httpx.AsyncClient, mailbox: Mailbox, session: AsyncSession
) -> None:
    user = (await client.post(f"{URL}/register", json=ALICE)).json()
    assert user["is_verified"] is False
    (message,) = await mailbox.messages()
    assert (message["To"], message["Subject"]) == (ADDRESS, VERIFY)
    assert "/verify-email#token=" in text_of(message)
    row = await session.scalar(select(OneTimeToken))
    assert row is not None
    assert (row.purpose, row.user_id) == (Purpose.VERIFY_EMAIL, user["id"])
    answer = await verify(client, token_in(message))
    assert (answer.status_code, answer.content) == (204, b"")
    tokens = (await login(client, "alice")).json()
    assert (await me(client, tokens["access_token"])).json()["is_verified"] is True
    assert await session.scalar(select(func.count()).select_from(OneTimeToken)) == 0
    assert await actions(session) == [Action.REGISTERED, Action.EMAIL_VERIFIED, Action.SIGNED_IN]
    assert code(await verify(client, token_in(message))) == (400, "invalid_token")


async def test_a_registration_that_fails_sends_no_mail(client: httpx.AsyncClient, mailbox: Mailbox) -> None:
    assert (await client.post(f"{URL}/register", json=ALICE)).status_code == 201
    taken = await client.post(f"{URL}/register", json=ALICE | {"email": "other@example.com"})
    assert code(taken) == (409, "username_taken")
    assert await mailbox.subjects() == [VERIFY]


async def test_a_token_for_an_address_expires_after_a_day(
    client: httpx.AsyncClient, make: Factory, mailbox: Mailbox, session: AsyncSession
) -> None:
    alice = await make.user(email=ADDRESS)
    headers = await make.bearer(alice)
    assert (await client.post(f"{URL}/verify-email/request", headers=headers)).status_code == 202
    token = await mailbox.token(ADDRESS)
    with time_machine.travel(utc_now() + timedelta(hours=24, seconds=1)):
        assert code(await verify(client, token)) == (400, "invalid_token")
    assert (await stored(session, alice)).is_verified is False
    with time_machine.travel(utc_now() + timedelta(hours=23, minutes=59)):
        assert (await verify(client, token)).status_code == 204
    assert (await stored(session, alice)).is_verified is True


async def test_asking_again_replaces_the_token(
    client: httpx.AsyncClient, make: Factory, alice: User, mailbox: Mailbox, session: AsyncSession
) -> None:
    headers = await make.bearer(alice)
    for _ in range(2):
        answer = await client.post(f"{URL}/verify-email/request", headers=headers)
        assert (answer.status_code, list(answer.json())) == (202, ["message"])
        await mailbox.messages()
    older, newer = [token_in(message) for message in await mailbox.messages(ADDRESS)]
    assert older != newer
    assert code(await verify(client, older)) == (400, "invalid_token")
    assert (await stored(session, alice)).is_verified is False
    assert (await verify(client, newer)).status_code == 204


async def test_who_is_verified_gets_the_same_answer_and_no_mail(
    client: httpx.AsyncClient, make: Factory, alice: User, mailbox: Mailbox, session: AsyncSession
) -> None:
    unverified = await client.post(f"{URL}/verify-email/request", headers=await make.bearer(alice))
    verified = await make.user(is_verified=True)
    answer = await client.post(f"{URL}/verify-email/request", headers=await make.bearer(verified))
    assert (answer.status_code, answer.json()) == (202, unverified.json())
    assert [message["To"] for message in await mailbox.messages()] == [ADDRESS]
    assert await session.scalar(select(func.count()).select_from(OneTimeToken)) == 1


async def test_asking_for_the_mail_needs_a_sign_in(client: httpx.AsyncClient) -> None:
    assert code(await client.post(f"{URL}/verify-email/request")) == (401, "not_authenticated")


async def test_a_token_for_an_address_is_void_once_the_address_is_another(
    client: httpx.AsyncClient, make: Factory, alice: User, mailbox: Mailbox, session: AsyncSession
) -> None:
    await client.post(f"{URL}/verify-email/request", headers=await make.bearer(alice))
    token = await mailbox.token(ADDRESS)
    changed = await client.patch(
        f"/api/v1/users/{alice.id}", json={"email": NEW_ADDRESS}, headers=await make.bearer(await make.admin())
    )
    assert changed.status_code == 200
    assert code(await verify(client, token)) == (400, "invalid_token")
    assert (await stored(session, alice)).is_verified is False


@pytest.mark.parametrize("token", ["nonsense", "x" * 200, "\0", "é"])
async def test_a_made_up_token_is_invalid(client: httpx.AsyncClient, token: str) -> None:
    assert code(await verify(client, token)) == (400, "invalid_token")
    answer = await reset(client, token)
    assert code(answer) == (400, "invalid_token")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("token", ["", "x" * 201, None, 5])
async def test_what_cannot_be_a_token_is_refused_without_an_echo(client: httpx.AsyncClient, token: Any) -> None:
    for path, body in (("verify-email", {"token": token}), ("reset-password", {"token": token, "new_password": "x"})):
        answer = await client.post(f"{URL}/{path}", json=body)
        assert code(answer) == (422, "validation_error")
        assert "xxx" not in answer.text


async def test_whoever_forgot_their_password_gets_the_same_answer_and_only_the_known_get_mail(
    client: httpx.AsyncClient, make: Factory, alice: User, mailbox: Mailbox, session: AsyncSession
) -> None:
    await make.user(email="inactive@example.com", is_active=False)
    answers = []
    for email in (ADDRESS, "nobody@example.com", "inactive@example.com", "ALICE@Example.com"):
        answers.append(await forgot(client, email))
        await mailbox.messages()  # the jobs of this test share one connection: one after the other
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert list(answers[0].json()) == ["message"]
    messages = await mailbox.messages()
    assert [(message["To"], message["Subject"]) for message in messages] == [(ADDRESS, RESET)] * 2
    assert "/reset-password#token=" in text_of(messages[0])
    assert list(await session.scalars(select(OneTimeToken.digest))) == [sha256(token_in(messages[-1]))]
    assert set(await session.scalars(select(OneTimeToken.user_id))) == {alice.id}
    assert set(await actions(session)) == {Action.PASSWORD_RESET_REQUESTED}


async def test_a_reset_sets_the_password_and_ends_every_session(
    client: httpx.AsyncClient, make: Factory, alice: User, mailbox: Mailbox, session: AsyncSession
) -> None:
    phone, other = await make.tokens(alice), await make.tokens(await make.user())
    await forgot(client)
    token = await mailbox.token(ADDRESS)
    answer = await reset(client, token)
    assert (answer.status_code, answer.content) == (204, b"")
    assert code(await me(client, phone.access_token)) == (401, "token_revoked")
    assert code(await refresh(client, phone.refresh_token)) == (401, "token_revoked")
    assert (await me(client, other.access_token)).status_code == 200
    assert code(await login(client, "alice")) == (401, "invalid_credentials")
    assert (await login(client, "alice", NEW_PASSWORD)).status_code == 200
    assert code(await reset(client, token)) == (400, "invalid_token")
    assert await mailbox.subjects(ADDRESS) == [RESET, NEW_PASSWORD_SET]
    assert Action.PASSWORD_RESET in await actions(session)
    assert (
        await session.scalar(select(func.count()).select_from(DeviceSession).where(DeviceSession.user_id == alice.id))
        == 1
    )


@pytest.mark.parametrize("weak", ["password1", "alice@example.com"])
async def test_a_weak_password_leaves_the_token_usable(
    client: httpx.AsyncClient, alice: User, mailbox: Mailbox, session: AsyncSession, weak: str
) -> None:
    await forgot(client)
    token = await mailbox.token(ADDRESS)
    refused = await reset(client, token, weak)
    assert code(refused) == (422, "weak_password")
    assert weak not in refused.text
    assert code(await reset(client, token, "short")) == (422, "validation_error")
    assert (await stored(session, alice)).hashed_password == PASSWORD_HASH
    assert (await reset(client, token)).status_code == 204


@pytest.mark.usefixtures("alice")
async def test_a_reset_token_expires_after_half_an_hour(client: httpx.AsyncClient, mailbox: Mailbox) -> None:
    await forgot(client)
    token = await mailbox.token(ADDRESS)
    with time_machine.travel(utc_now() + timedelta(minutes=30, seconds=1)):
        assert code(await reset(client, token)) == (400, "invalid_token")
    with time_machine.travel(utc_now() + timedelta(minutes=29)):
        assert (await reset(client, token)).status_code == 204


@pytest.mark.usefixtures("alice")
async def test_a_newer_reset_mail_replaces_the_older(client: httpx.AsyncClient, mailbox: Mailbox) -> None:
    for _ in range(2):
        await forgot(client)
        await mailbox.messages()
    older, newer = [token_in(message) for message in await mailbox.messages(ADDRESS)]
    assert code(await reset(client, older)) == (400, "invalid_token")
    assert (await reset(client, newer)).status_code == 204


async def test_a_reset_token_is_void_once_the_password_is_another(
    client: httpx.AsyncClient, alice: User, mailbox: Mailbox, session: AsyncSession
) -> None:
    await forgot(client)
    token = await mailbox.token(ADDRESS)
    await set_hash(session, alice)
    assert code(await reset(client, token)) == (400, "invalid_token")
    assert (await stored(session, alice)).hashed_password != PASSWORD_HASH
    assert await session.scalar(select(func.count()).select_from(OneTimeToken)) == 1, "nothing was changed"


async def test_who_is_deactivated_meanwhile_resets_nothing(
    client: httpx.AsyncClient, alice: User, mailbox: Mailbox, session: AsyncSession
) -> None:
    await forgot(client)
    token = await mailbox.token(ADDRESS)
    await session.execute(update(User).where(User.id == alice.id).values(is_active=False))
    await session.commit()
    assert code(await reset(client, token)) == (400, "invalid_token")
    assert (await stored(session, alice)).hashed_password == PASSWORD_HASH


async def test_ten_resets_at_once_with_one_token_change_the_password_once(server: Server) -> None:
    alice = await Factory(server.services).user(username="alice", email=ADDRESS)
    mailbox = Mailbox(server.services)
    passwords = [f"{NEW_PASSWORD} {number}" for number in range(10)]
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        await forgot(client)
        token = await mailbox.token(ADDRESS)
        answers = await asyncio.gather(*(reset(client, token, password) for password in passwords))
        assert sorted(answer.status_code for answer in answers) == [204] + [400] * 9
        winner = next(number for number, answer in enumerate(answers) if answer.status_code == 204)
        assert {answer.json()["code"] for answer in answers if answer.status_code == 400} == {"invalid_token"}
        assert (await login(client, "alice", passwords[winner])).status_code == 200
    assert await mailbox.subjects(ADDRESS) == [RESET, NEW_PASSWORD_SET]
    async with server.services.database.primary() as session:
        assert (await stored(session, alice)).version == 2
        assert (await actions(session)).count(Action.PASSWORD_RESET) == 1


async def test_mailed_tokens_are_stored_only_hashed(
    client: httpx.AsyncClient, make: Factory, alice: User, mailbox: Mailbox, session: AsyncSession
) -> None:
    headers = await make.bearer(alice)
    await client.post(f"{URL}/verify-email/request", headers=headers)
    await change_address(client, headers)
    await forgot(client)
    tokens = [token_in(message) for message in await mailbox.messages()]
    assert len(tokens) == 3
    everything = await everything_in(session)
    assert alice.username in everything
    for token in tokens:
        assert len(token) >= 43, "256 bits"
        assert token not in everything
        assert sha256(token) in everything


async def test_a_token_serves_only_its_purpose(
    client: httpx.AsyncClient, make: Factory, alice: User, mailbox: Mailbox, session: AsyncSession
) -> None:
    headers = await make.bearer(alice)
    await client.post(f"{URL}/verify-email/request", headers=headers)
    verify_token = await mailbox.token(ADDRESS)
    await change_address(client, headers)
    change_token = await mailbox.token(NEW_ADDRESS)
    await forgot(client)
    reset_token = await mailbox.token(ADDRESS)
    assert code(await verify(client, reset_token)) == (400, "invalid_token")
    assert code(await reset(client, verify_token)) == (400, "invalid_token")
    assert code(await reset(client, change_token)) == (400, "invalid_token")
    assert await session.scalar(select(func.count()).select_from(OneTimeToken)) == 3, "none was used up"
    user = await stored(session, alice)
    assert (user.email, user.is_verified, user.hashed_password) == (ADDRESS, False, PASSWORD_HASH)


async def test_the_address_changes_once_the_new_one_is_proven(
    client: httpx.AsyncClient, make: Factory, alice: User, mailbox: Mailbox, session: AsyncSession
) -> None:
    await prove(session, alice)
    headers = await make.bearer(alice)
    answer = await change_address(client, headers)
    assert (answer.status_code, list(answer.json())) == (202, ["message"])
    (message,) = await mailbox.messages()
    assert (message["To"], message["Subject"]) == (NEW_ADDRESS, CHANGE)
    assert (await client.get("/api/v1/users/me", headers=headers)).json()["email"] == ADDRESS
    assert (await verify(client, token_in(message))).status_code == 204
    user = await stored(session, alice)
    assert (user.email, user.email_key, user.is_verified) == (NEW_ADDRESS, NEW_ADDRESS, True)
    assert (await client.get("/api/v1/users/me", headers=headers)).json()["email"] == NEW_ADDRESS
    (notice,) = await mailbox.messages(ADDRESS)
    assert notice["Subject"] == CHANGED
    assert "alice@new[.]example" in text_of(notice)
    assert "#token=" not in text_of(notice)
    assert await actions(session) == [Action.EMAIL_CHANGED]
    assert code(await verify(client, token_in(message))) == (400, "invalid_token")
    assert (await login(client, NEW_ADDRESS)).status_code == 200
    assert code(await login(client, ADDRESS)) == (401, "invalid_credentials")


async def test_another_address_wants_the_password_and_must_be_free(
    client: httpx.AsyncClient, make: Factory, alice: User, mailbox: Mailbox, session: AsyncSession
) -> None:
    headers = await make.bearer(alice)
    await make.user(email="bob@example.com")
    assert code(await change_address(client, headers, password="wrong password")) == (403, "wrong_password")
    assert code(await change_address(client, headers, "BOB@example.com")) == (409, "email_taken")
    assert code(await change_address(client, headers, "nonsense")) == (422, "validation_error")
    anonymous = await client.post("/api/v1/users/me/email", json={"email": NEW_ADDRESS, "password": PASSWORD})
    assert code(anonymous) == (401, "not_authenticated")
    assert await mailbox.messages() == []
    assert await session.scalar(select(func.count()).select_from(OneTimeToken)) == 0
    assert (await stored(session, alice)).email == ADDRESS


async def test_an_address_that_is_taken_meanwhile_is_refused_and_nobody_is_told_of_a_change(
    client: httpx.AsyncClient, make: Factory, alice: User, mailbox: Mailbox, session: AsyncSession
) -> None:
    await change_address(client, await make.bearer(alice))
    token = await mailbox.token(NEW_ADDRESS)
    bob = await make.user(email=NEW_ADDRESS.upper())
    assert code(await verify(client, token)) == (409, "email_taken")
    assert (await stored(session, alice)).email == ADDRESS
    assert await mailbox.messages(ADDRESS) == []
    assert await actions(session) == []
    await session.delete(await session.get_one(User, bob.id))
    await session.commit()
    assert (await verify(client, token)).status_code == 204, "the token was not used up"
    assert await mailbox.subjects(ADDRESS) == [CHANGED]


async def test_a_change_of_address_is_void_after_a_new_password_and_after_an_hour(
    client: httpx.AsyncClient, make: Factory, alice: User, mailbox: Mailbox, session: AsyncSession
) -> None:
    await change_address(client, await make.bearer(alice))
    token = await mailbox.token(NEW_ADDRESS)
    with time_machine.travel(utc_now() + timedelta(hours=1, seconds=1)):
        assert code(await verify(client, token)) == (400, "invalid_token")
    await set_hash(session, alice)
    assert code(await verify(client, token)) == (400, "invalid_token")
    assert (await stored(session, alice)).email == ADDRESS
    assert await mailbox.messages(ADDRESS) == []


async def test_a_second_change_of_address_replaces_the_first(
    client: httpx.AsyncClient, make: Factory, alice: User, mailbox: Mailbox, session: AsyncSession
) -> None:
    headers = await make.bearer(alice)
    await change_address(client, headers, "typo@example.com")
    await change_address(client, headers)
    assert code(await verify(client, await mailbox.token("typo@example.com"))) == (400, "invalid_token")
    assert (await verify(client, await mailbox.token(NEW_ADDRESS))).status_code == 204
    assert (await stored(session, alice)).email == NEW_ADDRESS


async def test_users_are_told_of_a_sign_in_from_a_device_not_seen_before(
    client: httpx.AsyncClient, alice: User, mailbox: Mailbox, session: AsyncSession
) -> None:
    await prove(session, alice)

    async def sign_in(agent: str | None, password: str = PASSWORD) -> int:
        headers = {"User-Agent": agent or ""}
        answer = await login(client, "alice", password, headers=headers)
        await mailbox.messages()
        return answer.status_code

    assert await sign_in("a phone") == 200
    assert await mailbox.messages() == [], "the very first sign-in is no news"
    assert await sign_in("a phone") == 200
    assert await mailbox.messages() == [], "a device that is known"
    assert await sign_in("a laptop", "wrong password") == 401
    assert await mailbox.messages() == [], "nobody has signed in"
    assert await sign_in("a laptop") == 200
    (message,) = await mailbox.messages(ADDRESS)
    assert message["Subject"] == NEW_DEVICE
    assert "a laptop" in text_of(message)
    assert "127.0.0.1" in text_of(message)
    assert await sign_in(None) == 200
    for known in ("a phone", "a laptop", None):
        assert await sign_in(known) == 200
    assert await mailbox.subjects() == [NEW_DEVICE] * 2


async def test_what_others_do_makes_no_device_known(client: httpx.AsyncClient, make: Factory, mailbox: Mailbox) -> None:
    await make.user(username="alice", email=ADDRESS)
    await make.user(username="mallory")
    for agent in ("a phone", "a laptop"):
        await login(client, "mallory", headers={"User-Agent": agent})
    await mailbox.messages()
    await login(client, "alice", headers={"User-Agent": "a phone"})
    await login(client, "alice", headers={"User-Agent": "a laptop"})
    assert await mailbox.subjects(ADDRESS) == [NEW_DEVICE]
