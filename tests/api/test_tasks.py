"""`/tasks`: mails that administrators send, and what became of them."""

from typing import Any

import httpx
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import AppServices
from app.models.job import Job
from tests.api.calls import code
from tests.factories import Factory
from tests.mailbox import Mailbox, text_of

TASKS = "/api/v1/tasks"
SEND = f"{TASKS}/send-notification"
MAIL = {"email": "alice@example.com", "subject": "Planned maintenance", "message": "On Sunday.\nFrom 2 to 3."}


async def count_jobs(session: AsyncSession) -> int:
    return await session.scalar(select(func.count()).select_from(Job)) or 0


async def test_a_notification_is_mailed_and_its_task_done(
    client: httpx.AsyncClient, make: Factory, services: AppServices
) -> None:
    headers = await make.bearer(await make.admin())
    answer = await client.post(SEND, json=MAIL, headers=headers)
    assert answer.status_code == 202
    assert answer.json().keys() == {"task_id"}
    url = f"{TASKS}/{answer.json()['task_id']}"
    before = await client.get(url, headers=headers)
    assert before.json() == {"status": "queued", "attempts": 0, "error": None}
    [mail] = await Mailbox(services).messages("alice@example.com")
    assert mail["Subject"] == "Planned maintenance"
    assert text_of(mail).split("\n")[:2] == ["On Sunday.", "From 2 to 3."]
    after = await client.get(url, headers=headers)
    assert after.json() == {"status": "done", "attempts": 1, "error": None}


async def test_only_administrators_send_and_look(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    assert code(await client.post(SEND, json=MAIL)) == (401, "not_authenticated")
    assert code(await client.get(f"{TASKS}/1")) == (401, "not_authenticated")
    for headers in (await make.bearer(await make.user()), await make.bearer(await make.admin(), "users:write")):
        assert code(await client.post(SEND, json=MAIL, headers=headers)) == (403, "insufficient_scope")
        assert code(await client.get(f"{TASKS}/1", headers=headers)) == (403, "insufficient_scope")
    assert await count_jobs(session) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"email": "nobody"},
        {"email": "Alice <alice@example.com>"},
        {"subject": ""},
        {"subject": "x" * 201},
        {"subject": "   "},
        {"subject": "Hello\nBcc: bob@example.com"},
        {"subject": "Hello\u2028Bcc: bob@example.com"},
        {"subject": "Hello\n"},
        {"message": "x" * 10_001},
        {"message": None},
        {"cc": "bob@example.com"},
    ],
)
async def test_what_is_no_mail_is_refused(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, wrong: dict[str, Any]
) -> None:
    headers = await make.bearer(await make.admin())
    assert code(await client.post(SEND, json=MAIL | wrong, headers=headers)) == (422, "validation_error")
    assert await count_jobs(session) == 0


async def test_a_key_sends_one_mail(client: httpx.AsyncClient, make: Factory, session: AsyncSession) -> None:
    headers = await make.bearer(await make.admin()) | {"Idempotency-Key": "maintenance-1"}
    first, again = [await client.post(SEND, json=MAIL, headers=headers) for _ in range(2)]
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    other = await client.post(SEND, json=MAIL | {"message": "Not on Sunday."}, headers=headers)
    assert code(other) == (422, "idempotency_key_reused")
    assert await count_jobs(session) == 1


async def test_a_task_that_is_not_there_is_not_found(client: httpx.AsyncClient, make: Factory) -> None:
    headers = await make.bearer(await make.admin())
    assert code(await client.get(f"{TASKS}/4711", headers=headers)) == (404, "task_not_found")
    assert code(await client.get(f"{TASKS}/x", headers=headers)) == (422, "validation_error")
