"""A token whose session has ended proves nothing: it counts for the address, and leaves its owner's requests alone."""

from collections.abc import Awaitable, Callable

import httpx
import pytest
from sqlalchemy import delete

from app.models.device_session import DeviceSession
from app.services.auth.auth import TokenPair
from app.services.auth.ended_sessions import EndedSessions
from tests.api.calls import URL, bearer
from tests.api.test_rate_limits import ME, Limited, Limiting, limit_headers, limiting

__all__ = ["limiting"]

type End = Callable[[httpx.AsyncClient, TokenPair], Awaitable[None]]


async def sign_out(client: httpx.AsyncClient, old: TokenPair) -> None:
    await client.post(f"{URL}/logout", json={"refresh_token": old.refresh_token})


async def sign_itself_out(client: httpx.AsyncClient, old: TokenPair) -> None:
    for device in (await client.get(f"{URL}/sessions", headers=bearer(old.access_token))).json():
        if device["current"]:
            await client.delete(f"{URL}/sessions/{device['id']}", headers=bearer(old.access_token))


async def use_an_older_refresh_token(client: httpx.AsyncClient, old: TokenPair) -> None:
    first = {"refresh_token": old.refresh_token}
    second = {"refresh_token": (await client.post(f"{URL}/refresh", json=first)).json()["refresh_token"]}
    await client.post(f"{URL}/refresh", json=second)
    assert (await client.post(f"{URL}/refresh", json=first)).json()["code"] == "token_reused"


async def left(app: Limited, token: str, address: str) -> tuple[int, int]:
    """The status, and what is left of the limit that counted."""
    answer = await app.get(ME, address, bearer(token))
    return answer.status_code, limit_headers(answer)[1]


@pytest.mark.parametrize("end", [sign_out, sign_itself_out, use_an_older_refresh_token])
async def test_a_token_that_was_signed_out_here_uses_up_nothing_of_its_owners(limiting: Limiting, end: End) -> None:
    async with limiting(rate_limit_default="50/minute") as app:
        user = await app.make.user()
        old, kept = await app.make.tokens(user), await app.make.tokens(user)
        async with app.at("192.0.2.9") as client:
            await end(client, old)
        before = (await left(app, kept.access_token, "192.0.2.1"))[1]
        answers = [await left(app, old.access_token, "198.51.100.1") for _ in range(3)]
        assert answers == [(401, 49), (401, 48), (401, 47)]
        assert await left(app, kept.access_token, "192.0.2.1") == (200, before - 1)


async def test_one_that_was_ended_elsewhere_counts_once(limiting: Limiting) -> None:
    async with limiting(rate_limit_default="5/minute") as app:
        user = await app.make.user()
        old = await app.make.tokens(user)
        async with app.services.database.transaction() as session:
            await session.execute(delete(DeviceSession))
        kept = await app.make.tokens(user)
        for number in range(10):
            assert (await app.get(ME, f"198.51.100.{number}", bearer(old.access_token))).status_code == 401
        assert await left(app, kept.access_token, "192.0.2.1") == (200, 3)


async def test_signing_out_everywhere_ends_the_count_of_every_device(limiting: Limiting) -> None:
    async with limiting(rate_limit_default="5/minute") as app:
        user = await app.make.user()
        old = [await app.make.tokens(user) for _ in range(3)]
        async with app.at() as client:
            headers = bearer(old[0].access_token)
            assert (await client.post(f"{URL}/logout-all", headers=headers)).status_code == 204
        kept = await app.make.tokens(user)
        for tokens in old:
            assert (await app.get(ME, "198.51.100.1", bearer(tokens.access_token))).status_code == 401
        assert await left(app, kept.access_token, "192.0.2.1") == (200, 3)


async def test_who_sends_an_ended_token_again_and_again_is_stopped_at_their_address(limiting: Limiting) -> None:
    async with limiting(rate_limit_default="2/minute") as app:
        old = await app.make.tokens(await app.make.user())
        async with app.at("192.0.2.9") as client:
            await client.post(f"{URL}/logout", json={"refresh_token": old.refresh_token})
        answers = [await app.get(ME, headers=bearer(old.access_token)) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [401, 401, 429]


def test_of_too_many_ended_sessions_the_oldest_are_forgotten() -> None:
    ended = EndedSessions(max_entries=3)
    ended.add(*"abcd")
    ended.add("d")
    assert [key in ended.known for key in "abcd"] == [False, True, True, True]
