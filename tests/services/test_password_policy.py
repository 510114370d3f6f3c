"""What a password may not be, and that every way to set one asks."""

import re
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import AppServices
from app.cli.admin import create_admin
from app.core.clock import utc_now
from app.core.config.settings import Settings
from app.crud.one_time_token import one_time_tokens
from app.models.one_time_token import OneTimeToken, Purpose
from app.models.user import User
from app.services.accounts.password_policy import WeakPasswordError, check_password
from tests.conftest import connected, in_one_transaction, running
from tests.factories import PASSWORD, PASSWORD_HASH, Factory
from tests.jobs import run_jobs

ALICE = {"username": "alice-in-wonderland", "email": "Alice.Liddell@Example.com"}


async def check(password: str, settings: Settings, **changes: Any) -> None:
    await check_password(password, settings.model_copy(update=changes), **ALICE)


@pytest.mark.parametrize(
    "password",
    [
        "alice-in-wonderland",
        "ALICE-IN-WONDERLAND",
        "alice.liddell@example.com",
        "Alice.Liddell@EXAMPLE.COM",
        "alice.liddell",
        "ALICE.Liddell",
    ],
)
async def test_the_name_and_the_address_are_no_passwords(settings: Settings, password: str) -> None:
    with pytest.raises(WeakPasswordError) as caught:
        await check(password, settings)
    assert caught.value.detail == "The password must not be the name or the address."
    assert (caught.value.status, caught.value.code) == (422, "weak_password")


@pytest.mark.parametrize("password", ["password", "PassWord", "12345678", "QWERTYUIOP", "iloveyou", "password123"])
async def test_common_passwords_are_refused_in_any_case(settings: Settings, password: str) -> None:
    with pytest.raises(WeakPasswordError) as caught:
        await check(password, settings)
    assert "most common passwords" in caught.value.detail
    assert password.casefold() not in caught.value.detail.casefold().split()


@pytest.mark.parametrize(
    "password", [PASSWORD, "alice-in-wonderland!", "alice.liddell@", "пароль пароль", "        ", "🦜" * 8]
)
async def test_any_other_password_will_do(settings: Settings, password: str) -> None:
    await check(password, settings)


async def test_an_empty_local_part_or_an_odd_address_is_no_trap(settings: Settings) -> None:
    await check_password(PASSWORD, settings, username="bob", email='"a@b"@example.com')
    with pytest.raises(WeakPasswordError):
        await check_password("STRASSENBAHN", settings, username="straßenbahn", email="x@example.com")


FLAGS = {
    "password_require_lower": ("UPPER 1234 !", "a lower-case letter", "UPPEr 1234 !"),
    "password_require_upper": ("lower 1234 !", "an upper-case letter", "loweR 1234 !"),
    "password_require_digit": ("no digits at all!", "a digit", "no digits at a11!"),
    "password_require_symbol": ("noSymbol1234ü", "a symbol", "noSymbol1234ü."),
}


@pytest.mark.parametrize("flag", FLAGS)
async def test_each_flag_asks_for_its_kind_of_character(settings: Settings, flag: str) -> None:
    without, name, with_it = FLAGS[flag]
    await check(without, settings)
    with pytest.raises(WeakPasswordError) as caught:
        await check(without, settings, **{flag: True})
    assert caught.value.detail == f"The password must contain {name}."
    await check(with_it, settings, **{flag: True})


async def test_all_that_is_missing_is_said_at_once_and_never_the_password(settings: Settings) -> None:
    with pytest.raises(WeakPasswordError) as caught:
        await check("лллллллл", settings, **dict.fromkeys(FLAGS, True))
    assert caught.value.detail == "The password must contain an upper-case letter, a digit, a symbol."
    await check("Лл1 Лл1 Лл1", settings, **dict.fromkeys(FLAGS, True))


async def test_nothing_is_asked_for_by_default(settings: Settings) -> None:
    assert not any(getattr(settings, flag) for flag in FLAGS)


WEAK = "trustno1trustno1"  # fits every flag but the symbol


async def ask(client: httpx.AsyncClient, make: Factory, way: str, password: str) -> httpx.Response:
    """Set a password for Bob, in one of the ways there are."""
    if way == "register":
        body = {"username": "bob", "email": "bob@example.com", "password": password}
        return await client.post("/api/v1/auth/register", json=body)
    if way == "create":
        body = {"username": "bob", "email": "bob@example.com", "password": password}
        return await client.post("/api/v1/users", json=body, headers=await make.bearer(await make.admin()))
    bob = await make.user(username="bob", email="bob@example.com")
    if way == "change":
        body = {"current_password": PASSWORD, "new_password": password}
        return await client.put("/api/v1/users/me/password", json=body, headers=await make.bearer(bob))
    async with make.services.database.transaction() as session:
        token = await one_time_tokens.issue(
            session, bob, Purpose.RESET_PASSWORD, expires_at=utc_now() + timedelta(minutes=5)
        )
    return await client.post("/api/v1/auth/reset-password", json={"token": token, "new_password": password})


@pytest.mark.parametrize("way", ["register", "create", "change", "reset"])
@pytest.mark.parametrize("password", ["Password123", "BOB@example.com", WEAK])
async def test_every_way_to_set_a_password_asks(settings: Settings, way: str, password: str) -> None:
    strict = settings.model_copy(update={"password_require_symbol": True})
    async with running(strict) as (_, manager, services), in_one_transaction(services) as session:
        make = Factory(services)
        async with connected(manager.app) as client:
            answer = await ask(client, make, way, password)
            assert (answer.status_code, answer.json()["code"]) == (422, "weak_password")
            assert password.casefold() not in answer.text.casefold()
            stored = await session.scalar(select(User).where(User.username == "bob"))
            assert stored is None or stored.hashed_password == PASSWORD_HASH


@pytest.mark.parametrize("way", ["register", "create", "change", "reset"])
async def test_every_way_takes_a_good_password(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, way: str
) -> None:
    answer = await ask(client, make, way, WEAK)
    assert answer.status_code in {201, 204}
    stored = await session.scalar(select(User).where(User.username == "bob"))
    assert stored is not None
    assert stored.hashed_password.startswith("$argon2id$")
    assert stored.hashed_password != PASSWORD_HASH


async def test_a_reset_link_survives_a_weak_password(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, services: AppServices
) -> None:
    await make.user(username="bob", email="bob@example.com")
    await client.post("/api/v1/auth/forgot-password", json={"email": "bob@example.com"})
    await run_jobs(services)
    [mail] = services.settings.data_dir.glob("mail/*.eml")
    found = re.search(r"#token=([\w-]+)", mail.read_text())
    assert found is not None
    body = {"token": found[1], "new_password": "bob@EXAMPLE.com"}
    assert (await client.post("/api/v1/auth/reset-password", json=body)).json()["code"] == "weak_password"
    assert await session.scalar(select(func.count()).select_from(OneTimeToken)) == 1
    body["new_password"] = "a rather different passphrase"
    assert (await client.post("/api/v1/auth/reset-password", json=body)).status_code == 204


@pytest.mark.parametrize("password", ["password123", "root-admin", "ROOT@example.com"])
async def test_the_command_that_makes_administrators_asks_too(
    real_settings: Settings, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    url = real_settings.database_url
    assert url is not None
    monkeypatch.setenv("DATABASE_URL", url.get_secret_value())
    monkeypatch.setenv("DATA_DIR", str(real_settings.data_dir))
    with pytest.raises(WeakPasswordError):
        await create_admin("root-admin", "root@example.com", password)
    assert await create_admin("root-admin", "root@example.com", PASSWORD) == "root-admin"
