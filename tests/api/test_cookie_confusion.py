"""Cookies that a sibling subdomain may have added, and sign-ins that another site may have started."""

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.config.settings import Settings
from app.models.device_session import DeviceSession
from tests.api.calls import URL, code
from tests.factories import PASSWORD, Factory

FRONT_END = "https://app.example.com"
ORIGIN = {"Origin": FRONT_END}
FORM = {"username": "alice", "password": PASSWORD}
TWO_IN_ONE = "refresh_token={own}; refresh_token={other}"
# What some parsers take for the name, and others do not.
ALIKE = [
    TWO_IN_ONE,
    "refresh_token={other}; refresh_token={own}",
    "refresh_token={own};refresh_token={own}",
    "refresh_token={own}; theme=dark; refresh_token ={other}",
    'refresh_token={own}; "refresh_token"={other}',
    "refresh_token={own}; \xa0refresh_token={other}",
    "refresh_token={own}; refresh_token",
    "refresh_token={own}; refresh_token=",
    'refresh_token={own}; theme="; refresh_token={other}; "',
    "\xa0refresh_token={other}",
    '"refresh_token"={other}',
]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"cors_origins": (FRONT_END,)})


async def send(client: httpx.AsyncClient, path: str, *cookies: str, body: object = None) -> httpx.Response:
    headers = [("Origin", FRONT_END), *(("Cookie", cookie.encode("latin-1")) for cookie in cookies)]
    return await client.post(f"{URL}/{path}", json=body, headers=httpx.Headers(headers))  # type: ignore[arg-type] # bytes and text


async def rotations(session: AsyncSession) -> list[int]:
    return list(await session.scalars(select(DeviceSession.rotation).order_by(DeviceSession.id)))


@pytest.mark.parametrize("path", ["refresh", "refresh?cookie=true", "logout"])
@pytest.mark.parametrize("cookies", ALIKE)
async def test_of_two_cookies_none_is_used(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, path: str, cookies: str
) -> None:
    own, other = await make.tokens(await make.user()), await make.tokens(await make.user())
    answer = await send(client, path, cookies.format(own=own.refresh_token, other=other.refresh_token))
    assert code(answer) == (403, "csrf")
    assert "delete the cookies of this site" in answer.json()["detail"]
    assert "set-cookie" not in answer.headers
    assert await rotations(session) == [0, 0], "both sessions are as they were"


async def test_neither_are_two_in_header_lines_of_their_own(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    own, other = await make.tokens(await make.user()), await make.tokens(await make.user())
    lines = [f"refresh_token={own.refresh_token}", f"theme=dark; refresh_token={other.refresh_token}"]
    assert code(await send(client, "refresh", *lines)) == (403, "csrf")
    assert await rotations(session) == [0, 0]


@pytest.mark.parametrize("more", ["Refresh_Token=x", "refresh_token2=x", "x=refresh_token", "__Host-refresh_token=x"])
async def test_a_cookie_of_another_name_is_no_hindrance(client: httpx.AsyncClient, make: Factory, more: str) -> None:
    own = await make.tokens(await make.user())
    assert (await send(client, "refresh", f"{more}; refresh_token={own.refresh_token}")).status_code == 200
    assert (await send(client, "refresh", f"refresh_token={own.refresh_token}", more)).status_code == 200


async def test_a_token_in_the_body_needs_no_cookie_whatever_there_is(client: httpx.AsyncClient, make: Factory) -> None:
    own, other = await make.tokens(await make.user()), await make.tokens(await make.user())
    cookies = TWO_IN_ONE.format(own=own.refresh_token, other=other.refresh_token)
    body = {"refresh_token": own.refresh_token}
    assert (await send(client, "refresh", cookies, body=body)).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none", "", "Same-Origin"])
async def test_a_browser_that_names_no_origin_signs_in_by_cookie_from_our_own_pages_alone(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, site: str
) -> None:
    user = await make.user(username="alice")
    headers = {"Sec-Fetch-Site": site}
    answer = await client.post(f"{URL}/login?cookie=true", data=FORM, headers=headers)
    assert code(answer) == (403, "csrf")
    assert "set-cookie" not in answer.headers
    assert await rotations(session) == [], "nobody was signed in"
    body = {"refresh_token": (await make.tokens(user)).refresh_token}
    answer = await client.post(f"{URL}/refresh?cookie=true", json=body, headers=headers)
    assert code(answer) == (403, "csrf")
    assert await rotations(session) == [0], "the token has not been used up"


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "same-origin"}, ORIGIN | {"Sec-Fetch-Site": "same-site"}])
async def test_our_own_pages_the_allowed_ones_and_what_is_no_browser_do(
    client: httpx.AsyncClient, make: Factory, headers: dict[str, str]
) -> None:
    await make.user(username="alice")
    answer = await client.post(f"{URL}/login?cookie=true", data=FORM, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["set-cookie"].startswith("refresh_token=")
