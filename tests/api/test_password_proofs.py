"""Asking for the password again: who guesses at sign-ins, or has another device, is in nobody's way."""

from typing import Any

import httpx
import pytest

from app.services.auth.auth import TokenPair
from tests.api.calls import bearer, code
from tests.api.test_rate_limits import Limited, Limiting, guess, limiting
from tests.factories import PASSWORD

__all__ = ["limiting"]
NEW_PASSWORD = "another horse entirely"
PROOFS: list[tuple[str, str, dict[str, Any], str]] = [
    ("PUT", "/password", {"new_password": NEW_PASSWORD}, "current_password"),
    ("POST", "/email", {"email": "new@example.com"}, "password"),
    ("DELETE", "", {}, "password"),
]


async def prove(app: Limited, tokens: TokenPair, password: str, proof: Any = PROOFS[1]) -> httpx.Response:
    method, path, body, field = proof
    async with app.at("192.0.2.1") as client:
        return await client.request(
            method, f"/api/v1/users/me{path}", json={**body, field: password}, headers=bearer(tokens.access_token)
        )


@pytest.mark.parametrize("proof", PROOFS)
async def test_strangers_who_guess_keep_no_signed_in_owner_from_what_is_theirs(limiting: Limiting, proof: Any) -> None:
    async with limiting(rate_limit_login="2/minute") as app:
        user = await app.make.user()
        tokens = await app.make.tokens(user)
        assert await guess(app, user.username, 0, 3) == [401, 401, 429]
        answer = await prove(app, tokens, PASSWORD, proof)
        assert answer.is_success, answer.text


@pytest.mark.parametrize("proof", PROOFS)
async def test_who_found_a_device_does_not_guess_for_long(limiting: Limiting, proof: Any) -> None:
    async with limiting(rate_limit_login="2/minute") as app:
        found = await app.make.tokens(await app.make.user())
        answers = [await prove(app, found, "wrong password", proof) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [403, 403, 429]
        assert code(answers[-1]) == (429, "rate_limited")
        assert code(await prove(app, found, PASSWORD, proof)) == (429, "rate_limited"), "not with the right one either"


async def test_all_kinds_of_proofs_on_a_device_count_together(limiting: Limiting) -> None:
    async with limiting(rate_limit_login="3/minute") as app:
        found = await app.make.tokens(await app.make.user())
        answers = [await prove(app, found, "wrong password", proof) for proof in (*PROOFS, *PROOFS)]
        assert [answer.status_code for answer in answers] == [403] * 3 + [429] * 3


async def test_another_device_is_not_in_the_owners_way(limiting: Limiting) -> None:
    async with limiting(rate_limit_login="2/minute") as app:
        user = await app.make.user()
        lost, kept = await app.make.tokens(user), await app.make.tokens(user)
        for _ in range(3):
            await prove(app, lost, "wrong password")
        assert code(await prove(app, lost, "wrong password")) == (429, "rate_limited")
        assert (await prove(app, kept, PASSWORD)).status_code == 202


async def test_a_refresh_gives_no_new_guesses(limiting: Limiting) -> None:
    async with limiting(rate_limit_login="2/minute") as app:
        found = await app.make.tokens(await app.make.user())
        assert [(await prove(app, found, "wrong password")).status_code for _ in range(2)] == [403, 403]
        async with app.at() as client:
            body = {"refresh_token": found.refresh_token}
            renewed = (await client.post("/api/v1/auth/refresh", json=body)).json()
        again = TokenPair(renewed["access_token"], renewed["refresh_token"], 0, "")
        assert code(await prove(app, again, "wrong password")) == (429, "rate_limited")


async def test_a_proof_forgets_no_strangers_guesses_and_a_sign_in_no_devices(limiting: Limiting) -> None:
    async with limiting(rate_limit_login="3/minute") as app:
        user = await app.make.user()
        tokens = await app.make.tokens(user)
        assert await guess(app, user.username, 0, 2) == [401, 401]
        assert (await prove(app, tokens, PASSWORD)).status_code == 202
        assert await guess(app, user.username, 10, 2) == [401, 429], "they go on where they were"
        other = await app.make.user()
        found = await app.make.tokens(other)
        assert [(await prove(app, found, "wrong password")).status_code for _ in range(2)] == [403, 403]
        assert (await app.login(other.username)).status_code == 200
        assert [(await prove(app, found, "wrong password")).status_code for _ in range(2)] == [403, 429]


async def test_a_proof_that_succeeds_forgets_the_slips_before_it(limiting: Limiting) -> None:
    async with limiting(rate_limit_login="3/minute") as app:
        tokens = await app.make.tokens(await app.make.user())
        for _ in range(2):
            answers = [await prove(app, tokens, password) for password in ("slip", "slop", PASSWORD)]
            assert [answer.status_code for answer in answers] == [403, 403, 202]
