"""No password, token or other secret in any log line, nor in any error that clients get."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Literal

import httpx
import pytest
import time_machine
from fastapi import FastAPI
from sqlalchemy import select, text

from app.core.clock import utc_now
from app.core.config.settings import Settings
from app.main import create_app, lifespan_of
from app.models.user import User
from tests.api.calls import URL, bearer, login, me, refresh
from tests.conftest import SECRET
from tests.mailbox import Mailbox, code_in, token_in
from tests.server import serve

FIRST, SECOND, WRONG = "first-Passw0rd-of-alice", "second-Passw0rd-of-alice", "wrong-Passw0rd-of-alice"
WEAK = "password1"
LOCAL = "local-variable-0f-a-handler"
ALICE: dict[str, Any] = {"username": "alice", "email": "alice@example.com", "password": FIRST}
NEW_ADDRESS = "alice@new.example"


@pytest.fixture
def quiet_client() -> Iterator[None]:
    """The tests' own HTTP client also logs what it sends; that says nothing about the server."""
    names = ("httpx", "httpcore")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.WARNING)
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


class Witness:
    """Drives the flows, and remembers each secret they used and each error they answered with."""

    def __init__(self, client: httpx.AsyncClient, mailbox: Mailbox) -> None:
        self.client = client
        self.mailbox = mailbox
        self.secrets = {FIRST, SECOND, WRONG, WEAK, LOCAL, SECRET}
        self.problems: list[str] = []

    def expect(self, answer: httpx.Response, status: int) -> httpx.Response:
        assert answer.status_code == status, answer.text
        if status >= 400:
            self.problems.append(f"{answer.headers}{answer.text}")
        elif answer.content and "access_token" in answer.json():
            self.secrets |= {answer.json()["access_token"], answer.json().get("refresh_token", "")} - {""}
        self.secrets |= set(answer.cookies.values())
        return answer

    async def post(self, path: str, status: int, access: str | None = None, **body: Any) -> httpx.Response:
        headers = bearer(access) if access else None
        return self.expect(await self.client.post(path, json=body, headers=headers), status)

    async def login(self, password: str, status: int = 200) -> tuple[str, str]:
        tokens = self.expect(await login(self.client, "alice", password), status).json()
        return tokens.get("access_token", ""), tokens.get("refresh_token", "")

    async def mailed(self) -> tuple[str, str]:
        """The token of the newest mail, and its code."""
        message = (await self.mailbox.messages())[-1]
        token, code = token_in(message), code_in(message)
        self.secrets |= {token, code, code.replace("-", ""), code.lower()}
        return token, code

    async def register(self) -> None:
        await self.post(f"{URL}/register", 201, **ALICE)
        await self.post(f"{URL}/register", 409, **ALICE)
        await self.post(f"{URL}/register", 422, **ALICE | {"password": WEAK})
        await self.post(f"{URL}/register", 422, **ALICE | {"confirm_password": WRONG})
        await self.post(f"{URL}/register", 422, **ALICE | {"password": [WRONG], "unknown": {"password": WRONG}})
        await self.post(f"{URL}/register", 422, **ALICE | {"email": FIRST})
        broken = await self.client.post(
            f"{URL}/register", content=f'{{"password": "{FIRST}"', headers={"Content-Type": "application/json"}
        )
        self.expect(broken, 422)
        token, code = await self.mailed()
        by_code = {"email": ALICE["email"], "code": code}
        await self.post(f"{URL}/verify-email", 422, token=token, **by_code)
        await self.post(f"{URL}/verify-email", 400, **by_code | {"email": NEW_ADDRESS})
        await self.post(f"{URL}/verify-email", 204, **by_code)
        await self.post(f"{URL}/verify-email", 400, token=token)
        await self.post(f"{URL}/verify-email", 400, **by_code)

    async def sign_in_and_refresh(self) -> None:
        await self.login(WRONG, 401)
        _, first = await self.login(FIRST)
        newer = self.expect(await refresh(self.client, first), 200).json()
        with time_machine.travel(utc_now() + timedelta(seconds=11)):
            self.expect(await refresh(self.client, first), 401)
            self.expect(await refresh(self.client, newer["refresh_token"]), 401)
            self.expect(await me(self.client, newer["access_token"]), 401)
        self.expect(await refresh(self.client, newer["access_token"]), 401)
        self.expect(await self.client.get("/api/v1/users/me", params={"token": newer["access_token"]}), 401)

    async def use_the_token_endpoint_and_the_cookie(self) -> None:
        form = {"grant_type": "password", "username": "alice", "password": FIRST}
        for change, status in (({}, 200), ({"password": WRONG}, 400), ({"client_secret": WRONG}, 401)):
            self.expect(await self.client.post(f"{URL}/token", data=form | change), status)
        self.expect(await self.client.post(f"{URL}/token", json=form), 400)
        by_cookie = self.expect(await self.client.post(f"{URL}/login?cookie=true", data=form), 200)
        cookie = {"Cookie": f"refresh_token={by_cookie.cookies['refresh_token']}"}
        self.expect(await self.client.post(f"{URL}/refresh", headers=cookie | {"Origin": "null"}), 403)
        same_site = cookie | {"Sec-Fetch-Site": "same-origin"}
        self.expect(await self.client.post(f"{URL}/refresh", headers=same_site), 200)

    async def change_the_address(self) -> None:
        access, _ = await self.login(FIRST)
        body = {"email": NEW_ADDRESS, "password": FIRST}
        await self.post("/api/v1/users/me/email", 403, access, **body | {"password": WRONG})
        await self.post("/api/v1/users/me/email", 422, access, email=FIRST, password=FIRST)
        await self.post("/api/v1/users/me/email", 202, access, **body)
        token, _ = await self.mailed()
        await self.post(f"{URL}/verify-email", 204, token=token)

    async def reset_the_password(self) -> None:
        access, _ = await self.login(FIRST)
        await self.post(f"{URL}/forgot-password", 200, email=NEW_ADDRESS)
        token, code = await self.mailed()
        await self.post(f"{URL}/reset-password", 422, token=token, new_password=WEAK)
        await self.post(f"{URL}/reset-password", 422, email=NEW_ADDRESS, code=code, new_password=WEAK)
        await self.post(f"{URL}/reset-password", 204, token=token, new_password=SECOND)
        await self.post(f"{URL}/reset-password", 400, token=token, new_password=WRONG)
        self.expect(await me(self.client, access), 401)
        access, _ = await self.login(SECOND)
        change = {"current_password": WRONG, "new_password": FIRST}
        answer = await self.client.put("/api/v1/users/me/password", json=change, headers=bearer(access))
        self.expect(answer, 403)


def add_broken_routes(app: FastAPI) -> None:
    """Two handlers that fail while they hold a secret, as any of ours could."""

    async def fail() -> None:
        password = LOCAL
        raise RuntimeError(f"it has {len(password)} characters")

    async def break_a_constraint() -> None:
        async with app.state.database.transaction() as session:
            await session.execute(text("UPDATE users SET username = NULL"))

    app.add_api_route("/fail", fail)
    app.add_api_route("/constraint", break_a_constraint)


@pytest.mark.usefixtures("quiet_client")
@pytest.mark.parametrize("log_format", ["console", "json"])
async def test_no_secret_is_logged_or_answered(
    real_settings: Settings, log_format: Literal["console", "json"], capfd: pytest.CaptureFixture[str]
) -> None:
    settings = real_settings.model_copy(update={"log_level": "debug", "log_format": log_format})
    app = create_app(settings)
    # Mails are sent when they are looked for, and not while they are.
    app.router.lifespan_context = lifespan_of(settings, has_worker=False)
    add_broken_routes(app)
    async with serve(app) as server, httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        app.state.database = server.services.database
        witness = Witness(client, Mailbox(server.services))
        await witness.register()
        async with server.services.database.primary() as session:
            witness.secrets |= set(await session.scalars(select(User.hashed_password)))
        await witness.sign_in_and_refresh()
        await witness.use_the_token_endpoint_and_the_cookie()
        await witness.change_the_address()
        await witness.reset_the_password()
        async with server.services.database.primary() as session:
            witness.secrets |= set(await session.scalars(select(User.hashed_password)))
        witness.expect(await client.get("/health"), 200)
        witness.expect(await client.get("/fail"), 500)
        witness.expect(await client.get("/constraint"), 409)
    captured = capfd.readouterr()
    logged = captured.out + captured.err
    assert "it has 27 characters" in logged, "the unhandled error is there"
    assert "constraint violated" in logged
    assert "/api/v1/auth/verify-email" in logged
    assert "/health" in logged, "the level is debug"
    assert len(witness.secrets) > 20
    everything = logged + "".join(witness.problems)
    leaked = [secret for secret in witness.secrets if secret in everything]
    assert leaked == [], [line for line in everything.splitlines() if any(secret in line for secret in leaked)][:5]
    for forbidden in ("$argon2id$", "eyJhbGciOi"):
        assert forbidden not in everything
