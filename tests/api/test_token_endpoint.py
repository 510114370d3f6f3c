"""`/auth/token`: the token endpoint of RFC 6749, as clients see it that know nothing but the standard."""

import warnings
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
import time_machine
from authlib.deprecate import AuthlibDeprecationWarning
from authlib.integrations.base_client import OAuthError
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.clock import utc_now
from app.main import registered_scopes
from app.models.device_session import DeviceSession
from tests.api.calls import URL as AUTH
from tests.api.calls import me, refresh
from tests.factories import PASSWORD, Factory
from tests.server import Server

with warnings.catch_warnings(action="ignore", category=AuthlibDeprecationWarning):
    # Authlib would rather have httpx2, and says so whatever pytest's own filters are.
    from authlib.integrations.httpx_client import AsyncOAuth2Client

URL = f"{AUTH}/token"
SIGN_IN = {"grant_type": "password", "username": "alice", "password": PASSWORD}


def fault(answer: httpx.Response) -> tuple[int, str]:
    """The error, after its form has been checked (RFC 6749 section 5.2)."""
    assert answer.headers["content-type"] == "application/json"
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    assert set(answer.json()) == {"error", "error_description"}
    # Section 5.2: printable ASCII without the quotation mark and the backslash.
    assert all(" " <= character <= "~" and character not in '"\\' for character in answer.json()["error_description"])
    assert ("www-authenticate" in answer.headers) == (answer.status_code == 401)
    return answer.status_code, answer.json()["error"]


async def test_a_password_buys_tokens(client: httpx.AsyncClient, make: Factory, session: AsyncSession) -> None:
    alice = await make.user(username="alice")
    answer = await client.post(URL, data=SIGN_IN | {"client_id": "some-app"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    tokens = answer.json()
    assert set(tokens) == {"access_token", "refresh_token", "token_type", "expires_in", "scope"}
    assert (tokens["token_type"], tokens["expires_in"]) == ("bearer", 1800)
    assert (await me(client, tokens["access_token"])).json()["id"] == alice.id
    assert list(await session.scalars(select(DeviceSession.user_id))) == [alice.id]


async def test_a_refresh_token_buys_the_next_of_the_same_session(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    tokens = await make.tokens(await make.user(), scope="items:read")
    answer = await client.post(URL, data={"grant_type": "refresh_token", "refresh_token": tokens.refresh_token})
    assert answer.status_code == 200
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    assert answer.json()["refresh_token"] != tokens.refresh_token
    assert answer.json()["scope"] == "items:read"
    assert list(await session.scalars(select(DeviceSession.rotation))) == [1]
    assert (await refresh(client, answer.json()["refresh_token"])).status_code == 200, "both endpoints, one kind"


async def test_the_scope_that_was_granted_is_told(client: httpx.AsyncClient, make: Factory) -> None:
    await make.user(username="alice")
    answer = await client.post(URL, data=SIGN_IN | {"scope": "items:read admin nonsense"})
    assert answer.json()["scope"] == "items:read"
    everything = await client.post(URL, data=SIGN_IN | {"scope": ""})
    assert set(everything.json()["scope"].split()) < registered_scopes().by_name.keys()


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"username": "alice", "password": PASSWORD},
        {"grant_type": ""},
        {"grant_type": "password"},
        {"grant_type": "password", "username": "alice"},
        {"grant_type": "password", "username": "", "password": PASSWORD},
        {"grant_type": "password", "username": "alice", "password": ""},
        {"grant_type": "refresh_token"},
        {"grant_type": "refresh_token", "refresh_token": ""},
        {"grant_type": "refresh_token", "username": "alice", "password": PASSWORD},
    ],
)
async def test_what_is_incomplete_is_an_invalid_request(
    client: httpx.AsyncClient, make: Factory, form: dict[str, str]
) -> None:
    await make.user(username="alice")
    assert fault(await client.post(URL, data=form)) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"grant_type": "password", "username": "alice", "password": "secret"}'),
        ("application/json", b"{"),
        ("text/plain", b"grant_type=password&username=alice&password=secret"),
        ("multipart/form-data", b"no boundary"),
        ("multipart/form-data; boundary=x", b"--x\r\nno headers"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="grant_type"; filename="f"\r\n\r\npassword\r\n--x--\r\n',
        ),
    ],
)
async def test_what_is_no_form_is_an_invalid_request(client: httpx.AsyncClient, content_type: str, body: bytes) -> None:
    answer = await client.post(URL, content=body, headers={"Content-Type": content_type})
    assert fault(answer) == (400, "invalid_request")
    assert "secret" not in answer.text


async def test_who_cannot_prove_who_they_are_gets_one_answer(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    await make.user(username="alice")
    await make.user(username="gone", is_active=False)
    wrong = await client.post(URL, data=SIGN_IN | {"password": "wrong password"})
    unknown = await client.post(URL, data=SIGN_IN | {"username": "nobody"})
    inactive = await client.post(URL, data=SIGN_IN | {"username": "gone"})
    assert fault(wrong) == fault(unknown) == fault(inactive) == (400, "invalid_grant")
    assert wrong.json() == unknown.json()
    assert await session.scalar(select(func.count()).select_from(DeviceSession)) == 0


async def test_a_refresh_token_that_is_no_longer_good_is_an_invalid_grant(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    tokens = await make.tokens(await make.user())
    form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token}
    for other in ("nonsense", tokens.access_token):
        assert fault(await client.post(URL, data=form | {"refresh_token": other})) == (400, "invalid_grant")
    newer = (await client.post(URL, data=form)).json()["refresh_token"]
    with time_machine.travel(utc_now() + timedelta(seconds=11)):
        assert fault(await client.post(URL, data=form)) == (400, "invalid_grant"), "it was used"
        assert fault(await client.post(URL, data=form | {"refresh_token": newer})) == (400, "invalid_grant")
    assert await session.scalar(select(func.count()).select_from(DeviceSession)) == 0
    late = await make.tokens(await make.user())
    with time_machine.travel(utc_now() + timedelta(days=8)):
        expired = await client.post(URL, data=form | {"refresh_token": late.refresh_token})
    assert fault(expired) == (400, "invalid_grant")


@pytest.mark.parametrize("grant_type", ["client_credentials", "authorization_code", "PASSWORD", "x" * 1000])
async def test_other_grants_are_unsupported(client: httpx.AsyncClient, grant_type: str) -> None:
    answer = await client.post(URL, data={"grant_type": grant_type})
    assert fault(answer) == (400, "unsupported_grant_type")


async def test_a_scope_of_which_nothing_can_be_granted_is_invalid(client: httpx.AsyncClient, make: Factory) -> None:
    await make.user(username="alice")
    assert fault(await client.post(URL, data=SIGN_IN | {"scope": "admin nonsense"})) == (400, "invalid_scope")


async def test_clients_that_authenticate_are_told_that_they_cannot(client: httpx.AsyncClient, make: Factory) -> None:
    await make.user(username="alice")
    basic = await client.post(URL, data=SIGN_IN, auth=("some-app", "its secret"))
    posted = await client.post(URL, data=SIGN_IN | {"client_id": "some-app", "client_secret": "its secret"})
    for answer in (basic, posted):
        assert fault(answer) == (401, "invalid_client")
        assert answer.headers["www-authenticate"].startswith("Basic ")
        assert "its secret" not in answer.text


async def test_a_cookie_is_neither_read_nor_set(client: httpx.AsyncClient, make: Factory) -> None:
    tokens = await make.tokens(await make.user(username="alice"))
    sent = {"Cookie": f"refresh_token={tokens.refresh_token}", "Sec-Fetch-Site": "same-origin"}
    answer = await client.post(URL, data={"grant_type": "refresh_token"}, headers=sent)
    assert fault(answer) == (400, "invalid_request")
    signed_in = await client.post(f"{URL}?cookie=true", data=SIGN_IN)
    assert "set-cookie" not in signed_in.headers
    assert signed_in.json()["refresh_token"]


@pytest.fixture
async def oauth(server: Server) -> AsyncIterator[AsyncOAuth2Client]:
    """Authlib's client as anybody would set it up; it refreshes by itself what is about to expire."""
    endpoint = f"{server.url}{URL}"
    async with AsyncOAuth2Client(client_id="some-app", token_endpoint=endpoint, base_url=server.url) as oauth:
        yield oauth


async def test_a_standard_client_signs_in_and_refreshes_when_its_token_expires(
    server: Server, oauth: AsyncOAuth2Client
) -> None:
    await Factory(server.services).user(username="alice")
    first = await oauth.fetch_token(username="alice", password=PASSWORD, scope="items:read items:write")
    assert first["scope"] == "items:read items:write"
    assert (await oauth.get("/api/v1/users/me")).json()["username"] == "alice"
    with time_machine.travel(utc_now() + timedelta(minutes=31)):
        assert (await oauth.get("/api/v1/users/me")).status_code == 200
        assert oauth.token["access_token"] != first["access_token"]
        assert oauth.token["refresh_token"] != first["refresh_token"]
        second = dict(oauth.token)
        await oauth.refresh_token()
        assert oauth.token["refresh_token"] != second["refresh_token"]


async def test_a_standard_client_understands_the_errors(server: Server, oauth: AsyncOAuth2Client) -> None:
    await Factory(server.services).user(username="alice")
    with pytest.raises(OAuthError) as wrong:
        await oauth.fetch_token(username="alice", password="wrong password")
    assert wrong.value.error == "invalid_grant"
    with pytest.raises(OAuthError) as unsupported:
        await oauth.fetch_token(grant_type="client_credentials")
    assert unsupported.value.error == "unsupported_grant_type"
    with pytest.raises(OAuthError) as used:
        await oauth.refresh_token(refresh_token="nonsense")
    assert used.value.error == "invalid_grant"
