"""Whoever types the same gets in: spaces that keyboards add, letter case, and two ways to write a letter."""

import unicodedata
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import AppServices
from app.core.config.settings import Settings
from app.core.errors import RateLimitedError
from app.models.user import User
from tests.api.calls import URL, code, login
from tests.conftest import running
from tests.factories import PASSWORD, Factory
from tests.mailbox import Mailbox

USERS = "/api/v1/users"
NFC = unicodedata.normalize("NFC", "Möhre über Café")
NFD = unicodedata.normalize("NFD", NFC)
NAMES = ["alice ", " alice", "Alice\u00a0", "\u200balice\ufeff", "ALICE\t", "\uff41\uff4c\uff49\uff43\uff45 "]
UNICODE, ASCII = "alice@bücher.example", "alice@xn--bcher-kva.example"


@pytest.mark.parametrize("name", [*NAMES, "Alice@Example.com ", "\u200ealice@example.com\n"], ids=ascii)
@pytest.mark.parametrize("path", ["login", "token"])
async def test_a_space_or_a_capital_does_not_keep_anybody_out(
    client: httpx.AsyncClient, make: Factory, path: str, name: str
) -> None:
    await make.user(username="alice", email="alice@example.com")
    form = {"grant_type": "password", "username": name, "password": PASSWORD}
    assert (await client.post(f"{URL}/{path}", data=form)).status_code == 200


@pytest.mark.parametrize(
    ("name", "typed"), [("irem", "\u0130rem"), ("irem", "Irem"), ("\u0131rmak", "Irmak"), ("ali", "AL\u0130")]
)
async def test_a_capital_of_a_turkish_keyboard_is_the_letter_that_was_meant(
    client: httpx.AsyncClient, make: Factory, name: str, typed: str
) -> None:
    await make.user(username=name, email=f"{name}@example.com")
    assert (await login(client, typed)).status_code == 200
    assert (await login(client, f"{typed}@example.com")).status_code == 200


async def test_of_two_names_the_one_that_is_spelled_so_is_meant(client: httpx.AsyncClient, make: Factory) -> None:
    await make.user(username="\u0131rmak", hashed_password="!")
    await make.user(username="irmak")
    assert (await login(client, "Irmak")).status_code == 200


@pytest.mark.parametrize(
    ("username", "names"),
    [
        ("alice", NAMES),
        ("\u0131l\u0131k", ["\u0131l\u0131k", "Il\u0131k", "\u0131lIk", "ILIK", "\u0130lik", "i\u0307lik"]),
    ],
    ids=["blanks", "Turkish"],
)
async def test_a_failure_counts_for_the_name_however_it_was_typed(
    settings: Settings, username: str, names: list[str]
) -> None:
    limits = {"rate_limit_enabled": True, "rate_limit_login": f"{len(names)}/hour"}
    # Past HTTP, where the limit of the one address would be reached as well.
    async with running(settings.model_copy(update=limits)) as (_, _, services):
        for name in names:
            await services.auth.attempts.spend(name)
        with pytest.raises(RateLimitedError):
            await services.auth.attempts.spend(username)


async def test_a_space_is_no_part_of_a_name_or_an_address_wherever_they_are_given(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, services: AppServices
) -> None:
    spaced: dict[str, Any] = {"username": " bob\u00a0", "email": "\u200bbob@example.com ", "password": PASSWORD}
    answer = await client.post(f"{URL}/register", json=spaced)
    assert (answer.json()["username"], answer.json()["email"]) == ("bob", "bob@example.com")
    admin = await make.bearer(await make.admin())
    answer = await client.post(USERS, json=spaced | {"username": "eve ", "email": "eve@example.com\t"}, headers=admin)
    assert (answer.json()["username"], answer.json()["email"]) == ("eve", "eve@example.com")
    url = f"{USERS}/{answer.json()['id']}"
    answer = await client.patch(url, json={"username": "eva ", "email": " eva@example.com"}, headers=admin)
    assert (answer.json()["username"], answer.json()["email"]) == ("eva", "eva@example.com")
    own = await make.bearer((await session.scalars(select(User).where(User.username == "bob"))).one())
    answer = await client.patch(f"{USERS}/me", json={"username": "rob ", "password": PASSWORD}, headers=own)
    assert answer.json()["username"] == "rob"
    body = {"email": "rob@example.com\u00a0", "password": PASSWORD}
    assert (await client.post(f"{USERS}/me/email", json=body, headers=own)).status_code == 202
    assert await Mailbox(services).token("rob@example.com")
    assert (await client.post(f"{URL}/forgot-password", json={"email": " eva@example.com "})).status_code == 200
    assert await Mailbox(services).token("eva@example.com")


PASSWORDS = [(NFC, NFD), (NFD, NFC), (NFC, NFC.replace(" ", "\u00a0"))]


@pytest.mark.parametrize(("chosen", "typed"), PASSWORDS, ids=["to a Mac", "from a Mac", "no-break spaces"])
async def test_a_password_is_the_same_on_another_machine(client: httpx.AsyncClient, chosen: str, typed: str) -> None:
    body = {"username": "bob", "email": "bob@example.com", "password": chosen, "confirm_password": typed}
    assert (await client.post(f"{URL}/register", json=body)).status_code == 201
    answer = await login(client, "bob", typed)
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    change = {"current_password": typed, "new_password": f"{chosen}2"}
    assert (await client.put(f"{USERS}/me/password", json=change, headers=headers)).status_code == 204
    left = await client.request("DELETE", f"{USERS}/me", json={"password": f"{typed}2"}, headers=headers)
    assert left.status_code == 204


async def test_a_password_is_never_stripped(client: httpx.AsyncClient) -> None:
    body = {"username": "bob", "email": "bob@example.com", "password": f" {PASSWORD} "}
    assert (await client.post(f"{URL}/register", json=body)).status_code == 201
    assert code(await login(client, "bob")) == (401, "invalid_credentials")
    assert (await login(client, "bob", f" {PASSWORD} ")).status_code == 200


async def test_a_hash_of_the_text_as_it_was_typed_is_replaced_at_the_sign_in(
    client: httpx.AsyncClient, make: Factory, services: AppServices
) -> None:
    await make.user(username="mac", hashed_password=services.hasher.context.hash(NFD))
    assert code(await login(client, "mac", NFC)) == (401, "invalid_credentials")
    assert (await login(client, "mac", NFD)).status_code == 200
    assert (await login(client, "mac", NFC)).status_code == 200


async def test_a_common_password_is_one_in_every_spelling(client: httpx.AsyncClient) -> None:
    body = {"username": "bob", "email": "bob@example.com"}
    for password in ("BO\u0308B@example.com", "bo\u0308b@example.com"):
        taken = body | {"email": "b\u00f6b@example.com", "password": password}
        assert code(await client.post(f"{URL}/register", json=taken)) == (422, "weak_password")


@pytest.mark.parametrize(("stored", "typed"), [(UNICODE, ASCII), (ASCII, UNICODE), (UNICODE, UNICODE.upper())])
async def test_a_domain_in_either_form_is_the_same_address(
    client: httpx.AsyncClient, make: Factory, stored: str, typed: str
) -> None:
    body = {"username": "alice", "email": stored, "password": PASSWORD}
    answer = await client.post(f"{URL}/register", json=body)
    assert answer.json()["email"] == UNICODE
    assert (await login(client, typed)).status_code == 200
    again = await client.post(f"{URL}/register", json=body | {"username": "other", "email": typed})
    assert code(again) == (409, "email_taken")
    headers = await make.bearer(await make.user())
    change = {"email": typed, "password": PASSWORD}
    assert code(await client.post(f"{USERS}/me/email", json=change, headers=headers)) == (409, "email_taken")
