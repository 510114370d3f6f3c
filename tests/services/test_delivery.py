"""Mails as jobs: what a mail server's reasons do to them, and what has changed since they were enqueued."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from pydantic import SecretStr
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.clock import utc_now
from app.core.config.settings import Settings
from app.models.job import Job
from app.models.one_time_token import OneTimeToken
from app.models.user import User
from app.services.app_services import AppServices
from tests.conftest import connected, in_one_transaction, running
from tests.factories import PASSWORD, Factory
from tests.jobs import run_jobs
from tests.mailbox import Mailbox, token_in
from tests.smtp import Inbox, smtp_server

AUTH, USERS, TASKS = "/api/v1/auth", "/api/v1/users", "/api/v1/tasks"
ALICE = {"username": "alice", "email": "alice@example.com", "password": PASSWORD}
MAIL = {"email": "bob@example.com", "subject": "Hello", "message": "There"}


@asynccontextmanager
async def mailing(settings: Settings, inbox: Inbox) -> AsyncIterator[tuple[httpx.AsyncClient, AppServices, Factory]]:
    changed = settings.model_copy(update={"mail_url": SecretStr(f"smtp://127.0.0.1:{inbox.port}")})
    async with (
        running(changed) as (_, manager, services),
        in_one_transaction(services),
        connected(manager.app) as client,
    ):
        yield client, services, Factory(services)


def respond(inbox: Inbox, text: str) -> None:
    async def refuse(*_: object) -> str:
        return text

    inbox.handle_RCPT = refuse  # type: ignore[attr-defined] # aiosmtpd looks for it by name


def accept(inbox: Inbox) -> None:
    del inbox.handle_RCPT  # type: ignore[attr-defined]


async def run_at_once(services: AppServices) -> None:
    """What waits for its next attempt."""
    async with services.database.transaction() as session:
        await session.execute(update(Job).values(run_at=utc_now()))
    await run_jobs(services)


async def send(client: httpx.AsyncClient, services: AppServices, headers: dict[str, str]) -> int:
    """One attempt; the id of its task."""
    answer = await client.post(f"{TASKS}/send-notification", json=MAIL, headers=headers)
    await run_jobs(services)
    return int(answer.json()["task_id"])


async def task(client: httpx.AsyncClient, headers: dict[str, str], id_: int) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(f"{TASKS}/{id_}", headers=headers)).json()
    return found


async def test_a_mail_that_is_refused_for_good_fails_and_that_can_be_seen(settings: Settings) -> None:
    async with smtp_server() as inbox, mailing(settings, inbox) as (client, services, make):
        respond(inbox, "550 no bob@example.com here")
        headers = await make.bearer(await make.admin())
        id_ = await send(client, services, headers)
        assert await task(client, headers, id_) == {
            "status": "failed",
            "attempts": 1,
            "error": "PermanentJobError: the mail server refused the mail for good: 550",
        }


async def test_a_mail_that_is_refused_for_now_is_sent_later(settings: Settings) -> None:
    async with smtp_server() as inbox, mailing(settings, inbox) as (client, services, make):
        respond(inbox, "451 greylisted")
        headers = await make.bearer(await make.admin())
        id_ = await send(client, services, headers)
        assert await task(client, headers, id_) == {
            "status": "queued",
            "attempts": 1,
            "error": "JobError: the mail server refused the mail for now: 451",
        }
        accept(inbox)
        await run_at_once(services)
        assert await task(client, headers, id_) == {"status": "done", "attempts": 2, "error": None}
        assert inbox.recipients == [["bob@example.com"]]


async def test_a_deleted_users_mails_do_not_go_out(client: httpx.AsyncClient, services: AppServices) -> None:
    await client.post(f"{AUTH}/register", json=ALICE)
    tokens = (await client.post(f"{AUTH}/login", data={"username": "alice", "password": PASSWORD})).json()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    answer = await client.request("DELETE", f"{USERS}/me", json={"password": PASSWORD}, headers=headers)
    assert answer.status_code == 204
    assert await Mailbox(services).messages() == []


async def test_a_deactivated_users_link_does_not_go_out(
    client: httpx.AsyncClient, session: AsyncSession, services: AppServices
) -> None:
    await client.post(f"{AUTH}/register", json=ALICE)
    await session.execute(update(User).values(is_active=False))
    assert await Mailbox(services).messages() == []


async def test_a_change_of_the_account_voids_links_that_wait(
    client: httpx.AsyncClient, session: AsyncSession, services: AppServices
) -> None:
    # Whoever had got hold of the account has asked for a link, and its owner is back.
    await client.post(f"{AUTH}/register", json=ALICE)
    await session.execute(update(User).values(hashed_password="another"))
    assert await Mailbox(services).messages() == []


async def test_each_attempt_has_a_token_of_its_own_and_the_last_one_works(settings: Settings) -> None:
    async with smtp_server() as inbox, mailing(settings, inbox) as (client, services, _):
        respond(inbox, "451 greylisted")
        await client.post(f"{AUTH}/register", json=ALICE)
        await run_jobs(services)
        accept(inbox)
        await run_at_once(services)
        (mail,) = inbox.messages
        async with services.database.transaction() as session:
            assert await session.scalar(select(func.count()).select_from(OneTimeToken)) == 1
        answer = await client.post(f"{AUTH}/verify-email", json={"token": token_in(mail)})
        assert answer.status_code == 204
