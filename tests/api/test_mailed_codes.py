"""Codes in mails: what a link does, for people who cannot follow it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import time_machine
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import AppServices
from app.core.clock import utc_now
from app.core.config.settings import Settings
from app.crud.one_time_token import MAX_WRONG_CODES, sha256
from app.models.base import Base
from app.models.one_time_token import OneTimeToken
from app.models.user import User
from tests.api.calls import URL, code, login
from tests.conftest import connected, running
from tests.factories import PASSWORD, PASSWORD_HASH, Factory
from tests.mailbox import Mailbox, code_in, token_in

ADDRESS, NEW_ADDRESS, NOBODY = "alice@example.com", "alice@new.example", "nobody@example.com"
NEW_PASSWORD = "another horse battery staple"
WRONG = "BBBB-BBBB"
INVALID = (400, "invalid_token")


@pytest.fixture
def mailbox(services: AppServices) -> Mailbox:
    return Mailbox(services)


@pytest.fixture
async def alice(make: Factory) -> User:
    return await make.user(username="alice", email=ADDRESS)


async def ask_to_verify(client: httpx.AsyncClient, headers: dict[str, str], mailbox: Mailbox) -> str:
    assert (await client.post(f"{URL}/verify-email/request", headers=headers)).status_code == 202
    return await mailbox.code(ADDRESS)


async def ask_to_reset(client: httpx.AsyncClient, mailbox: Mailbox) -> str:
    assert (await client.post(f"{URL}/forgot-password", json={"email": ADDRESS})).status_code == 200
    return await mailbox.code(ADDRESS)


async def ask_to_change(client: httpx.AsyncClient, headers: dict[str, str], mailbox: Mailbox) -> str:
    body = {"email": NEW_ADDRESS, "password": PASSWORD}
    assert (await client.post("/api/v1/users/me/email", json=body, headers=headers)).status_code == 202
    return await mailbox.code(NEW_ADDRESS)


async def verify(client: httpx.AsyncClient, code: str, email: str = ADDRESS) -> httpx.Response:
    return await client.post(f"{URL}/verify-email", json={"email": email, "code": code})


async def reset(
    client: httpx.AsyncClient, code: str, email: str = ADDRESS, password: str = NEW_PASSWORD
) -> httpx.Response:
    body = {"email": email, "code": code, "new_password": password}
    return await client.post(f"{URL}/reset-password", json=body)


async def reset_by_link(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.post(f"{URL}/reset-password", json={"token": token, "new_password": NEW_PASSWORD})


async def stored(session: AsyncSession, user: User) -> User:
    return await session.get_one(User, user.id, populate_existing=True)


async def wrong_codes(session: AsyncSession) -> list[int]:
    return list(await session.scalars(select(OneTimeToken.wrong_codes).order_by(OneTimeToken.id)))


def told(answer: httpx.Response) -> dict[str, Any]:
    return {name: value for name, value in answer.json().items() if name != "request_id"}


async def test_a_code_verifies_an_address_once(
    client: httpx.AsyncClient, make: Factory, alice: User, mailbox: Mailbox, session: AsyncSession
) -> None:
    mailed = await ask_to_verify(client, await make.bearer(alice), mailbox)
    token = await mailbox.token(ADDRESS)
    answer = await verify(client, mailed)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await stored(session, alice)).is_verified is True
    assert code(await verify(client, mailed)) == INVALID
    assert code(await client.post(f"{URL}/verify-email", json={"token": token})) == INVALID, "the link went with it"


async def test_a_code_sets_a_new_password_once(client: httpx.AsyncClient, alice: User, mailbox: Mailbox) -> None:
    mailed = await ask_to_reset(client, mailbox)
    answer = await reset(client, mailed)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await login(client, alice.username, NEW_PASSWORD)).status_code == 200
    assert code(await reset(client, mailed)) == INVALID


async def test_a_code_moves_an_account_to_the_address_it_was_mailed_to(
    client: httpx.AsyncClient, make: Factory, alice: User, mailbox: Mailbox, session: AsyncSession
) -> None:
    mailed = await ask_to_change(client, await make.bearer(alice), mailbox)
    assert code(await verify(client, mailed, ADDRESS)) == INVALID, "this is not where the mail went"
    assert (await verify(client, mailed, NEW_ADDRESS.upper())).status_code == 204
    assert (await stored(session, alice)).email == NEW_ADDRESS


async def test_of_two_who_want_an_address_the_code_says_whose_it_becomes(
    client: httpx.AsyncClient, make: Factory, alice: User, mailbox: Mailbox, session: AsyncSession
) -> None:
    mallory = await make.user(username="mallory")
    await ask_to_change(client, await make.bearer(mallory), mailbox)
    mailed = await ask_to_change(client, await make.bearer(alice), mailbox)
    assert code(await verify(client, WRONG, NEW_ADDRESS)) == INVALID
    assert await wrong_codes(session) == [1, 1], "it was tried for both"
    assert (await verify(client, mailed, NEW_ADDRESS)).status_code == 204
    assert (await stored(session, alice)).email == NEW_ADDRESS
    assert (await stored(session, mallory)).email != NEW_ADDRESS


@pytest.mark.usefixtures("alice")
@pytest.mark.parametrize(
    "spelling",
    [str.lower, lambda text: text.replace("-", ""), lambda text: f" {text.title()}\n"],
    ids=["lower case", "no hyphen", "blanks"],
)
async def test_a_code_may_be_typed_as_people_type(client: httpx.AsyncClient, mailbox: Mailbox, spelling: Any) -> None:
    mailed = await ask_to_reset(client, mailbox)
    assert (await reset(client, spelling(mailed), " ALICE@Example.com ")).status_code == 204


async def test_a_weak_password_leaves_the_code_usable_and_does_not_count(
    client: httpx.AsyncClient, alice: User, mailbox: Mailbox, session: AsyncSession
) -> None:
    mailed = await ask_to_reset(client, mailbox)
    for _ in range(MAX_WRONG_CODES):
        assert code(await reset(client, mailed, password="password1")) == (422, "weak_password")
    assert await wrong_codes(session) == [0]
    assert (await stored(session, alice)).hashed_password == PASSWORD_HASH
    assert (await reset(client, mailed)).status_code == 204


@pytest.mark.parametrize("path", ["verify-email", "reset-password"])
async def test_a_wrong_code_is_answered_as_an_unknown_address(
    client: httpx.AsyncClient, make: Factory, alice: User, mailbox: Mailbox, session: AsyncSession, path: str
) -> None:
    await ask_to_verify(client, await make.bearer(alice), mailbox)
    await ask_to_reset(client, mailbox)
    await make.user(email="idle@example.com")
    password = {"new_password": NEW_PASSWORD} if path == "reset-password" else {}
    answers = [
        await client.post(f"{URL}/{path}", json={"email": email, "code": WRONG} | password)
        for email in (ADDRESS, NOBODY, "idle@example.com")
    ]
    assert [answer.status_code for answer in answers] == [400] * 3
    assert told(answers[0]) == told(answers[1]) == told(answers[2])
    assert answers[0].headers.keys() == answers[1].headers.keys()
    assert sorted(await wrong_codes(session)) == [0, 1]


@pytest.mark.parametrize("wrong", ["x", "\0", "é", "BBBB", "B" * 20, "WDJB-MJH1"])
async def test_what_is_no_code_is_a_wrong_one(client: httpx.AsyncClient, alice: User, wrong: str) -> None:
    assert code(await verify(client, wrong, alice.email)) == INVALID


@pytest.mark.parametrize("path", ["verify-email", "reset-password"])
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"token": "x", "email": ADDRESS, "code": WRONG},
        {"token": "x", "code": WRONG},
        {"token": "x", "email": ADDRESS},
        {"email": ADDRESS},
        {"code": WRONG},
    ],
)
async def test_a_proof_is_a_token_or_an_address_with_its_code(
    client: httpx.AsyncClient, path: str, body: dict[str, str]
) -> None:
    password = {"new_password": NEW_PASSWORD} if path == "reset-password" else {}
    answer = await client.post(f"{URL}/{path}", json=body | password)
    assert code(answer) == (422, "validation_error")
    (fault,) = answer.json()["errors"]
    assert fault == {
        "loc": ["body"],
        "msg": "Must have either `token`, or `email` and `code`",
        "type": "mail_proof",
    }


@pytest.mark.parametrize("wrong", ["", "B" * 21, None, 5])
async def test_what_cannot_be_a_code_is_refused_without_an_echo(client: httpx.AsyncClient, wrong: Any) -> None:
    answer = await client.post(f"{URL}/verify-email", json={"email": ADDRESS, "code": wrong})
    assert code(answer) == (422, "validation_error")
    assert "BBB" not in answer.text


@pytest.mark.usefixtures("alice")
async def test_ten_wrong_codes_void_code_and_link(
    client: httpx.AsyncClient, mailbox: Mailbox, session: AsyncSession
) -> None:
    mailed = await ask_to_reset(client, mailbox)
    token = await mailbox.token(ADDRESS)
    for number in range(1, MAX_WRONG_CODES + 1):
        assert code(await reset(client, WRONG)) == INVALID
        assert await wrong_codes(session) == [number], "the refusal has not taken it back"
    wrong = await reset(client, WRONG)
    right = await reset(client, mailed)
    assert code(right) == INVALID
    assert told(right) == told(wrong)
    assert code(await reset_by_link(client, token)) == INVALID
    newer = await ask_to_reset(client, mailbox)
    assert await wrong_codes(session) == [0]
    assert (await reset(client, newer)).status_code == 204


async def test_ten_wrong_codes_for_an_address_void_the_mails_to_it_and_no_other(
    client: httpx.AsyncClient, make: Factory, alice: User, mailbox: Mailbox
) -> None:
    mailed = await ask_to_verify(client, await make.bearer(alice), mailbox)
    token = await mailbox.token(ADDRESS)
    to_reset = await ask_to_reset(client, mailbox)
    for _ in range(MAX_WRONG_CODES):
        assert code(await verify(client, WRONG)) == INVALID
    assert code(await verify(client, mailed)) == INVALID
    assert code(await client.post(f"{URL}/verify-email", json={"token": token})) == INVALID
    assert (await reset(client, to_reset)).status_code == 204


@pytest.mark.usefixtures("alice")
async def test_nine_wrong_codes_leave_the_right_one(client: httpx.AsyncClient, mailbox: Mailbox) -> None:
    mailed = await ask_to_reset(client, mailbox)
    for _ in range(MAX_WRONG_CODES - 1):
        assert code(await reset(client, WRONG)) == INVALID
    assert (await reset(client, mailed)).status_code == 204


async def test_a_code_expires_with_its_link(
    client: httpx.AsyncClient, make: Factory, alice: User, mailbox: Mailbox
) -> None:
    to_verify = await ask_to_verify(client, await make.bearer(alice), mailbox)
    to_reset = await ask_to_reset(client, mailbox)
    with time_machine.travel(utc_now() + timedelta(minutes=30, seconds=1)):
        assert code(await reset(client, to_reset)) == INVALID
    with time_machine.travel(utc_now() + timedelta(hours=24, seconds=1)):
        assert code(await verify(client, to_verify)) == INVALID
    with time_machine.travel(utc_now() + timedelta(minutes=29)):
        assert (await reset(client, to_reset)).status_code == 204


@pytest.mark.usefixtures("alice")
async def test_a_newer_mail_replaces_the_code(client: httpx.AsyncClient, mailbox: Mailbox) -> None:
    older = await ask_to_reset(client, mailbox)
    newer = await ask_to_reset(client, mailbox)
    assert code(await reset(client, older)) == INVALID
    assert (await reset(client, newer)).status_code == 204


async def test_a_code_serves_only_its_purpose(
    client: httpx.AsyncClient, make: Factory, alice: User, mailbox: Mailbox, session: AsyncSession
) -> None:
    headers = await make.bearer(alice)
    to_verify = await ask_to_verify(client, headers, mailbox)
    to_change = await ask_to_change(client, headers, mailbox)
    to_reset = await ask_to_reset(client, mailbox)
    assert code(await verify(client, to_reset)) == INVALID
    assert code(await reset(client, to_verify)) == INVALID
    assert code(await reset(client, to_change, NEW_ADDRESS)) == INVALID
    user = await stored(session, alice)
    assert (user.email, user.is_verified, user.hashed_password) == (ADDRESS, False, PASSWORD_HASH)


async def test_a_code_of_one_account_is_wrong_for_another(
    client: httpx.AsyncClient, make: Factory, alice: User, mailbox: Mailbox, session: AsyncSession
) -> None:
    await make.user(email="mallory@example.com")
    await client.post(f"{URL}/forgot-password", json={"email": "mallory@example.com"})
    await ask_to_reset(client, mailbox)
    assert code(await reset(client, await mailbox.code("mallory@example.com"))) == INVALID
    assert (await stored(session, alice)).hashed_password == PASSWORD_HASH


async def test_a_code_is_bound_to_the_account_as_its_link_is(
    client: httpx.AsyncClient, alice: User, mailbox: Mailbox, session: AsyncSession
) -> None:
    mailed = await ask_to_reset(client, mailbox)
    await session.execute(update(User).where(User.id == alice.id).values(is_active=False))
    await session.commit()
    assert code(await reset(client, mailed)) == INVALID


@pytest.mark.usefixtures("alice")
async def test_a_code_is_stored_only_by_a_keyed_digest(
    client: httpx.AsyncClient, mailbox: Mailbox, session: AsyncSession, services: AppServices
) -> None:
    mailed = await ask_to_reset(client, mailbox)
    rows = [(await session.execute(select(table))).all() for table in Base.metadata.sorted_tables]
    letters = mailed.replace("-", "")
    for guess in (mailed, letters, mailed.lower(), letters.lower()):
        assert guess not in repr(rows)
        assert sha256(guess) not in repr(rows)
    row = (await session.scalars(select(OneTimeToken))).one()
    assert row.code_digest == services.delivery.codes.digest(mailed, "reset_password", row.user_id)


async def test_a_link_mailed_before_there_were_codes_works_and_has_none(
    client: httpx.AsyncClient, mailbox: Mailbox, session: AsyncSession, alice: User
) -> None:
    mailed = await ask_to_reset(client, mailbox)
    await session.execute(update(OneTimeToken).values(code_digest=None, address_key=None))
    await session.commit()
    assert code(await reset(client, mailed)) == INVALID
    assert (await reset_by_link(client, await mailbox.token(ADDRESS))).status_code == 204
    assert (await stored(session, alice)).hashed_password != PASSWORD_HASH


# At the same moment


@pytest.fixture
async def real(real_settings: Settings) -> AsyncIterator[tuple[AppServices, httpx.AsyncClient]]:
    async with running(real_settings) as (_, manager, services), connected(manager.app) as client:
        await Factory(services).user(username="alice", email=ADDRESS)
        yield services, client


@pytest.mark.real_database
async def test_of_those_who_redeem_a_code_at_once_one_wins(real: tuple[AppServices, httpx.AsyncClient]) -> None:
    services, client = real
    mailed = await ask_to_reset(client, Mailbox(services))
    passwords = [f"{NEW_PASSWORD} {number}" for number in range(4)]
    answers = await asyncio.gather(*(reset(client, mailed, password=password) for password in passwords))
    assert sorted(answer.status_code for answer in answers) == [204, 400, 400, 400]
    assert {code(answer) for answer in answers if answer.status_code == 400} == {INVALID}


@pytest.mark.real_database
async def test_link_and_code_at_once_are_one(real: tuple[AppServices, httpx.AsyncClient]) -> None:
    services, client = real
    mailbox = Mailbox(services)
    mailed = await ask_to_reset(client, mailbox)
    token = await mailbox.token(ADDRESS)
    answers = await asyncio.gather(reset(client, mailed), reset_by_link(client, token))
    assert sorted(answer.status_code for answer in answers) == [204, 400]


@pytest.mark.real_database
async def test_of_wrong_codes_sent_at_once_none_is_lost_and_ten_are_tried(
    real: tuple[AppServices, httpx.AsyncClient],
) -> None:
    services, client = real
    mailed = await ask_to_reset(client, Mailbox(services))
    answers = await asyncio.gather(*(reset(client, WRONG) for _ in range(MAX_WRONG_CODES + 5)))
    assert {code(answer) for answer in answers} == {INVALID}
    async with services.database.primary() as session:
        assert await wrong_codes(session) == [MAX_WRONG_CODES]
    assert code(await reset(client, mailed)) == INVALID


async def test_every_mail_with_a_link_has_a_code_of_its_own(
    client: httpx.AsyncClient, make: Factory, alice: User, mailbox: Mailbox
) -> None:
    headers = await make.bearer(alice)
    await ask_to_verify(client, headers, mailbox)
    await ask_to_change(client, headers, mailbox)
    await ask_to_reset(client, mailbox)
    messages = await mailbox.messages()
    assert len({code_in(message) for message in messages}) == len({token_in(message) for message in messages}) == 3
