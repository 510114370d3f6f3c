"""Mail on its whole way: from a request to a real SMTP server, also one that is down for a while."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from aiosmtpd.smtp import SMTP
from pydantic import SecretStr
from sqlalchemy import select

from app.core.config.settings import Settings
from app.main import create_app
from app.models.user import User
from tests.api.calls import URL
from tests.factories import PASSWORD
from tests.mailbox import text_of, token_in
from tests.server import Server, serve
from tests.smtp import Inbox, smtp_server

ALICE = {"username": "alice", "email": "alice@example.com", "password": PASSWORD}


@asynccontextmanager
async def serving(settings: Settings, port: int) -> AsyncIterator[tuple[Server, httpx.AsyncClient]]:
    changes = {"mail_url": SecretStr(f"smtp://127.0.0.1:{port}"), "mail_from": "Acme <noreply@acme.example>"}
    async with (
        serve(create_app(settings.model_copy(update=changes))) as server,
        httpx.AsyncClient(base_url=server.url, timeout=60) as client,
    ):
        yield server, client


async def test_a_registrations_mail_arrives_and_its_link_works(real_settings: Settings) -> None:
    async with smtp_server() as inbox, serving(real_settings, inbox.port) as (_, client):
        assert (await client.post(f"{URL}/register", json=ALICE)).status_code == 201
        (message,) = await inbox.wait_for(1)
        assert inbox.recipients == [["alice@example.com"]]
        assert (message["From"], message["To"]) == ("Acme <noreply@acme.example>", "alice@example.com")
        assert text_of(message).startswith("Hello,")
        answer = await client.post(f"{URL}/verify-email", json={"token": token_in(message)})
        assert answer.status_code == 204
    assert not (real_settings.data_dir / "mail").exists()


async def test_a_server_that_is_down_holds_up_no_request_and_gets_the_mail_when_it_is_back(
    real_settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    inbox = Inbox()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # and does not listen yet: connections are refused
        async with serving(real_settings, listener.getsockname()[1]) as (server, client):
            assert (await client.post(f"{URL}/register", json=ALICE)).status_code == 201
            async with server.services.database.primary() as session:
                assert await session.scalar(select(User.username)) == "alice"
            logged = ""
            while "a job failed and will be retried" not in logged:
                await asyncio.sleep(0.01)
                logged += capfd.readouterr().err
            assert "alice" not in logged
            assert "the mail server cannot be reached: SMTPConnectError" in logged
            mail_server = await asyncio.get_running_loop().create_server(
                lambda: SMTP(inbox, hostname="mail.test"), sock=listener
            )
            async with mail_server:
                await inbox.wait_for(1)
    assert inbox.recipients == [["alice@example.com"]]
