"""The refresh token in a cookie: where it is put, what reads it, and which sites may use it."""

from collections.abc import Callable
from http.cookies import SimpleCookie
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.config.settings import Settings
from app.models.device_session import DeviceSession
from app.models.user import User
from tests.api.calls import URL, bearer, code, login, me
from tests.conftest import connected, in_one_transaction, running
from tests.factories import PASSWORD, Factory

FRONT_END = "https://app.example.com"
EVIL = "https://evil.example"
ORIGIN = {"Origin": FRONT_END}
# What browsers send of a request from another site, from a sandboxed frame, and what they would not send at all.
FOREIGN = [
    {"Origin": EVIL},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "*"},
    {"Origin": f"{FRONT_END}.evil.example"},
    {"Origin": "http://app.example.com"},
    {"Origin": f"{FRONT_END}:8443"},
    {"Origin": "https://test"},
    {"Origin": EVIL, "Sec-Fetch-Site": "same-origin"},
]
UNSAID: list[dict[str, str]] = [
    {},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "none"},
    {"Referer": f"{FRONT_END}/page"},
]

type Sign = Callable[[], dict[str, str]]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"cors_origins": ("https://other.example.com", FRONT_END)})


@pytest.fixture
async def alice(make: Factory) -> User:
    return await make.user(username="alice")


async def cookie_login(client: httpx.AsyncClient, headers: dict[str, str] | None = None) -> httpx.Response:
    return await client.post(
        f"{URL}/login?cookie=true", data={"username": "alice", "password": PASSWORD}, headers=headers
    )


def set_cookie(answer: httpx.Response) -> str:
    """The value of the one cookie that is set, with exactly the attributes that protect it."""
    (header,) = answer.headers.get_list("set-cookie")
    (cookie,) = SimpleCookie(header).values()
    attributes: dict[str, Any] = {name: value for name, value in cookie.items() if value}
    max_age = attributes.pop("max-age")
    assert attributes == {"httponly": True, "secure": True, "samesite": "strict", "path": "/api/v1/auth"}
    assert cookie.key == "refresh_token"
    assert max_age == ("604800" if cookie.value else "0")
    return cookie.value


async def post(
    client: httpx.AsyncClient,
    path: str,
    cookie: str,
    headers: dict[str, str] | None = None,
    body: dict[str, Any] | None = None,
) -> httpx.Response:
    """By hand: httpx rightly keeps a `Secure` cookie from `http://test`."""
    sent = {"Cookie": f"refresh_token={cookie}"} | (headers or {})
    return await client.post(f"{URL}/{path}", json=body, headers=sent)


async def rotations(session: AsyncSession) -> list[int]:
    return list(await session.scalars(select(DeviceSession.rotation)))


@pytest.mark.usefixtures("alice")
async def test_a_login_puts_the_token_into_a_guarded_cookie_and_not_into_the_body(client: httpx.AsyncClient) -> None:
    for headers in (None, ORIGIN):
        answer = await cookie_login(client, headers)
        assert answer.status_code == 200
        assert set(answer.json()) == {"access_token", "token_type", "expires_in", "scope"}
        token = set_cookie(answer)
        assert token not in answer.text
        assert answer.headers["cache-control"] == "no-store"
        assert (await me(client, answer.json()["access_token"])).status_code == 200
        assert (await post(client, "refresh", token, ORIGIN)).status_code == 200


@pytest.mark.usefixtures("alice")
async def test_without_being_asked_no_call_sets_a_cookie(client: httpx.AsyncClient) -> None:
    answer = await login(client, "alice")
    assert "set-cookie" not in answer.headers
    again = await client.post(f"{URL}/refresh", json={"refresh_token": answer.json()["refresh_token"]})
    assert "set-cookie" not in again.headers
    assert again.headers["cache-control"] == "no-store"
    gone = await client.post(f"{URL}/logout", json={"refresh_token": again.json()["refresh_token"]})
    assert "set-cookie" not in gone.headers


async def test_a_refresh_can_move_the_token_from_the_body_into_a_cookie(
    client: httpx.AsyncClient, make: Factory, alice: User
) -> None:
    tokens = await make.tokens(alice)
    answer = await client.post(f"{URL}/refresh?cookie=true", json={"refresh_token": tokens.refresh_token})
    assert "refresh_token" not in answer.json()
    assert set_cookie(answer) != tokens.refresh_token


@pytest.mark.parametrize(
    "headers",
    [ORIGIN, {"Origin": "https://other.example.com"}, {"Origin": "http://test"}, {"Sec-Fetch-Site": "same-origin"}],
)
async def test_allowed_sites_refresh_and_log_out_by_the_cookie(
    client: httpx.AsyncClient, make: Factory, alice: User, session: AsyncSession, headers: dict[str, str]
) -> None:
    tokens = await make.tokens(alice)
    answer = await post(client, "refresh", tokens.refresh_token, headers)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert set(answer.json()) == {"access_token", "token_type", "expires_in", "scope"}, "it stays in cookie mode"
    token = set_cookie(answer)
    assert token != tokens.refresh_token
    assert await rotations(session) == [1]
    gone = await post(client, "logout", token, headers)
    assert (gone.status_code, gone.content) == (204, b"")
    assert set_cookie(gone) == ""
    assert code(await me(client, answer.json()["access_token"])) == (401, "token_revoked")
    assert await rotations(session) == []


@pytest.mark.parametrize("headers", FOREIGN + UNSAID)
async def test_other_sites_can_do_nothing_with_the_cookie(
    client: httpx.AsyncClient, make: Factory, alice: User, session: AsyncSession, headers: dict[str, str]
) -> None:
    tokens = await make.tokens(alice)
    for path in ("refresh", "refresh?cookie=true", "logout"):
        answer = await post(client, path, tokens.refresh_token, headers)
        assert code(answer) == (403, "csrf")
        assert "set-cookie" not in answer.headers
    assert await rotations(session) == [0], "the session is as it was"
    assert (await me(client, tokens.access_token)).status_code == 200


@pytest.mark.parametrize("headers", FOREIGN)
async def test_other_sites_can_sign_nobody_in_by_cookie_and_leave_nothing_behind(
    client: httpx.AsyncClient, make: Factory, alice: User, session: AsyncSession, headers: dict[str, str]
) -> None:
    answer = await cookie_login(client, headers)
    assert code(answer) == (403, "csrf")
    assert "set-cookie" not in answer.headers
    assert await rotations(session) == []
    tokens = await make.tokens(alice)
    answer = await client.post(
        f"{URL}/refresh?cookie=true", json={"refresh_token": tokens.refresh_token}, headers=headers
    )
    assert code(answer) == (403, "csrf")
    assert await rotations(session) == [0], "the token has not been used up"


async def test_a_wildcard_is_no_permission_to_use_cookies(settings: Settings) -> None:
    changed = settings.model_copy(update={"cors_origins": ("*",)})
    async with running(changed) as (_, manager, services), in_one_transaction(services):
        make = Factory(services)
        tokens = await make.tokens(await make.user(username="alice"))
        async with connected(manager.app) as client:
            for origin in (FRONT_END, "*"):
                assert code(await post(client, "refresh", tokens.refresh_token, {"Origin": origin})) == (403, "csrf")
                assert code(await cookie_login(client, {"Origin": origin})) == (403, "csrf")
            assert (await post(client, "refresh", tokens.refresh_token, {"Origin": "http://test"})).status_code == 200


async def test_a_token_in_the_body_wins_and_needs_no_origin(
    client: httpx.AsyncClient, make: Factory, alice: User
) -> None:
    ambient, given = await make.tokens(alice), await make.tokens(alice)
    body = {"refresh_token": given.refresh_token}
    answer = await post(client, "refresh", ambient.refresh_token, {"Origin": EVIL}, body)
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    session_of = client.get(f"{URL}/sessions", headers=bearer(answer.json()["access_token"]))
    used = [found for found in (await session_of).json() if found["current"]]
    assert used[0]["last_used_at"] > used[0]["created_at"]
    gone = await post(client, "logout", ambient.refresh_token, {"Origin": EVIL}, body)
    assert gone.status_code == 204
    assert code(await me(client, given.access_token)) == (401, "token_revoked")
    assert (await me(client, ambient.access_token)).status_code == 200


@pytest.mark.parametrize("path", ["refresh", "logout"])
@pytest.mark.parametrize("body", [b"", b"{}", b'{"refresh_token": null}', b"null"])
async def test_with_neither_cookie_nor_body_the_field_is_named(
    client: httpx.AsyncClient, path: str, body: bytes
) -> None:
    answer = await client.post(f"{URL}/{path}", content=body, headers={"Content-Type": "application/json"})
    assert code(answer) == (422, "validation_error")
    assert [error["loc"] for error in answer.json()["errors"]] == [["body", "refresh_token"]]


@pytest.mark.parametrize("body", [{}, {"refresh_token": None}])
async def test_an_empty_body_leaves_it_to_the_cookie(
    client: httpx.AsyncClient, make: Factory, alice: User, body: dict[str, Any]
) -> None:
    tokens = await make.tokens(alice)
    assert (await post(client, "refresh", tokens.refresh_token, ORIGIN, body)).status_code == 200


async def test_a_useless_cookie_is_a_useless_token(client: httpx.AsyncClient, make: Factory, alice: User) -> None:
    assert code(await post(client, "refresh", "nonsense", ORIGIN)) == (401, "invalid_token")
    tokens = await make.tokens(alice)
    assert code(await post(client, "refresh", tokens.access_token, ORIGIN)) == (401, "invalid_token")


async def test_logging_out_everywhere_clears_the_cookie(
    client: httpx.AsyncClient, make: Factory, alice: User, session: AsyncSession
) -> None:
    tokens = await make.tokens(alice)
    answer = await post(client, "logout-all", tokens.refresh_token, bearer(tokens.access_token))
    assert answer.status_code == 204
    assert set_cookie(answer) == ""
    assert await session.scalar(select(func.count()).select_from(DeviceSession)) == 0


async def test_the_cookie_alone_opens_nothing_else(client: httpx.AsyncClient, make: Factory, alice: User) -> None:
    tokens = await make.tokens(alice)
    for path in ("logout-all", "verify-email/request"):
        answer = await post(client, path, tokens.refresh_token, ORIGIN)
        assert code(answer) == (401, "not_authenticated")


async def test_browsers_are_let_through_to_the_cookie_by_cors(
    client: httpx.AsyncClient, make: Factory, alice: User
) -> None:
    tokens = await make.tokens(alice)
    answer = await post(client, "refresh", tokens.refresh_token, ORIGIN)
    assert answer.headers["access-control-allow-origin"] == FRONT_END
    assert answer.headers["access-control-allow-credentials"] == "true"
    refused = await post(client, "refresh", set_cookie(answer), {"Origin": EVIL})
    assert "access-control-allow-origin" not in refused.headers
