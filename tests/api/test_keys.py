"""Signing keys as clients meet them: rotation, forged tokens, and the published keys."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from sqlalchemy.engine import URL

from app.core.security.keys import Algorithm
from app.core.security.pem import KeyPairAlgorithm
from tests.conftest import connected, running, settings_for
from tests.factories import Factory
from tests.forgery import Forger, claims_of
from tests.key_files import KeyFiles, public_half

ME = "/api/v1/users/me"
ITEMS = "/api/v1/items"
JWKS = "/.well-known/jwks.json"

all_algorithms = pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES256"])
key_pairs = pytest.mark.parametrize("algorithm", ["RS256", "ES256"])


type Serve = Callable[..., AbstractAsyncContextManager[tuple[httpx.AsyncClient, Factory]]]


@pytest.fixture
def serve_with(real_url: URL, tmp_path: Path) -> Serve:
    """A server with the given keys; all of a test's have one database, as before and after a restart."""

    @asynccontextmanager
    async def serve(algorithm: Algorithm, *keys: str) -> AsyncIterator[tuple[httpx.AsyncClient, Factory]]:
        named = {"jwt_algorithm": algorithm, "jwt_secret_key": keys[0], "jwt_previous_keys": ",".join(keys[1:])}
        settings = settings_for(real_url, tmp_path, **named)
        async with running(settings) as (_, manager, services), connected(manager.app) as client:
            yield client, Factory(services)

    return serve


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def status_of(client: httpx.AsyncClient, token: str) -> tuple[int, str | None]:
    answer = await client.get(ME, headers=bearer(token))
    return answer.status_code, answer.json().get("code")


async def refresh(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.post("/api/v1/auth/refresh", json={"refresh_token": token})


@all_algorithms
async def test_a_rotation_signs_nobody_out_and_the_removal_of_the_key_does(
    serve_with: Serve, key_files: KeyFiles, algorithm: Algorithm
) -> None:
    old, new = key_files.two(algorithm)
    async with serve_with(algorithm, old) as (client, make):
        user = await make.user()
        for _ in range(3):
            await make.item(user)
        tokens = await make.tokens(user)
        answer = await client.get(ITEMS, params={"limit": 1}, headers=bearer(tokens.access_token))
        cursor = {"limit": 1, "cursor": answer.json()["next_cursor"]}
    async with serve_with(algorithm, new, old) as (client, _):
        assert await status_of(client, tokens.access_token) == (200, None)
        assert (await client.get(ITEMS, params=cursor, headers=bearer(tokens.access_token))).status_code == 200
        rotated = (await refresh(client, tokens.refresh_token)).json()
    async with serve_with(algorithm, new) as (client, _):
        assert await status_of(client, tokens.access_token) == (401, "invalid_token")
        assert await status_of(client, rotated["access_token"]) == (200, None)
        again = await refresh(client, tokens.refresh_token)
        assert (again.status_code, again.json()["code"]) == (401, "invalid_token")
        answer = await client.get(ITEMS, params=cursor, headers=bearer(rotated["access_token"]))
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor")
        assert (await refresh(client, rotated["refresh_token"])).status_code == 200


@key_pairs
async def test_a_refresh_token_used_twice_within_the_grace_time_gets_the_same_successor(
    serve_with: Serve, key_files: KeyFiles, algorithm: KeyPairAlgorithm
) -> None:
    async with serve_with(algorithm, *key_files.two(algorithm)) as (client, make):
        tokens = await make.tokens(await make.user())
        first = (await refresh(client, tokens.refresh_token)).json()
        second = (await refresh(client, tokens.refresh_token)).json()
        assert first["refresh_token"] == second["refresh_token"]
        assert (await refresh(client, second["refresh_token"])).status_code == 200


@key_pairs
async def test_every_forged_token_is_a_401(serve_with: Serve, key_files: KeyFiles, algorithm: KeyPairAlgorithm) -> None:
    old, new = key_files.two(algorithm)
    previous, current = key_files.keys(algorithm)
    async with serve_with(algorithm, new, old) as (client, make):
        token = (await make.tokens(await make.user())).access_token
        forger = Forger(algorithm, current, previous, claims_of(token))
        assert await status_of(client, forger.good()) == (200, None), "else the others were refused for nothing"
        answers = {name: await status_of(client, forged) for name, forged in forger.all().items()}
    assert answers == dict.fromkeys(answers, (401, "invalid_token"))


@key_pairs
async def test_another_library_verifies_tokens_with_the_published_keys(
    serve_with: Serve, key_files: KeyFiles, algorithm: KeyPairAlgorithm
) -> None:
    old, new = key_files.two(algorithm)
    async with serve_with(algorithm, new, public_half(old)) as (client, make):
        user = await make.user()
        token = (await make.tokens(user)).access_token
        answer = await client.get(JWKS)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert len(answer.json()["keys"]) == 2
    assert jwt.decode(token, KeySet.import_key_set(answer.json()), [algorithm]).claims["sub"] == str(user.id)


async def test_secrets_publish_nothing(client: httpx.AsyncClient) -> None:
    for path in (JWKS, f"{JWKS}/"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()) == (200, {"keys": []})
        assert answer.headers["cache-control"] == "public, max-age=300"
