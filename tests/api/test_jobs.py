"""`/admin/jobs`: what administrators see of background work, and do about it."""

from typing import Any

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import AppServices
from app.models.audit import Action, AuditEvent
from app.models.job import Job, JobStatus
from tests.api.calls import code
from tests.factories import Factory
from tests.mailbox import Mailbox

JOBS = "/api/v1/admin/jobs"
TEXT = {"to": "alice@example.com", "subject": "Hello", "message": "It works."}
FAILED: dict[str, Any] = {
    "status": JobStatus.FAILED,
    "attempts": 14,
    "error": "PermanentJobError: refused",
}


async def job(make: Factory, kind: str = "mail.text", **fields: Any) -> Job:
    return await make.store(Job(kind=kind, payload=TEXT, **fields))


async def ids(client: httpx.AsyncClient, headers: dict[str, str], **params: Any) -> list[int]:
    answer = await client.get(JOBS, params=params, headers=headers)
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["items"]]


async def test_a_job_is_shown_without_what_it_was_told(client: httpx.AsyncClient, make: Factory) -> None:
    headers = await make.bearer(await make.admin())
    failed = await job(make, **FAILED)
    answer = await client.get(f"{JOBS}/{failed.id}", headers=headers)
    assert answer.status_code == 200
    shown = answer.json()
    assert shown.pop("created_at")
    assert shown == {
        "id": failed.id,
        "kind": "mail.text",
        "status": "failed",
        "attempts": 14,
        "error": "PermanentJobError: refused",
    }
    listed = (await client.get(JOBS, headers=headers)).json()
    assert (listed["items"], listed["total"]) == ([answer.json()], 1)


@pytest.mark.parametrize("line", ["GET", "GET /1", "POST /1/retry", "POST /1/cancel"])
async def test_only_the_admin_scope_opens_them(client: httpx.AsyncClient, make: Factory, line: str) -> None:
    method, _, path = line.partition(" ")
    url = f"{JOBS}{path}"
    assert code(await client.request(method, url)) == (401, "not_authenticated")
    for headers in (await make.bearer(await make.user()), await make.bearer(await make.admin(), "users:write")):
        assert code(await client.request(method, url, headers=headers)) == (403, "insufficient_scope")
    headers = await make.bearer(await make.admin(), "admin")
    assert (await client.request(method, url, headers=headers)).status_code in {200, 404}


@pytest.mark.parametrize("line", ["GET", "POST retry", "POST cancel"])
async def test_a_job_that_is_not_there_is_not_found(client: httpx.AsyncClient, make: Factory, line: str) -> None:
    method, _, action = line.partition(" ")
    headers = await make.bearer(await make.admin())
    url = f"{JOBS}/4711/{action}".removesuffix("/")
    assert code(await client.request(method, url, headers=headers)) == (404, "job_not_found")


async def test_the_list_is_filtered_and_continued_by_its_cursor(client: httpx.AsyncClient, make: Factory) -> None:
    headers = await make.bearer(await make.admin())
    waiting = [(await job(make)).id for _ in range(3)]
    failed = (await job(make, **FAILED)).id
    other = (await job(make, "mail.link")).id
    assert await ids(client, headers) == [other, failed, *reversed(waiting)]
    assert await ids(client, headers, sort="id") == [*waiting, failed, other]
    assert await ids(client, headers, status="failed") == [failed]
    assert await ids(client, headers, status="queued", kind="mail.text") == waiting[::-1]
    assert await ids(client, headers, kind="nothing") == []
    first = (await client.get(JOBS, params={"limit": 2}, headers=headers)).json()
    assert await ids(client, headers, limit=2, cursor=first["next_cursor"]) == waiting[:0:-1]
    elsewhere = {"limit": 2, "cursor": first["next_cursor"], "status": "failed"}
    assert code(await client.get(JOBS, params=elsewhere, headers=headers)) == (422, "invalid_cursor")
    for wrong in ({"status": "lost"}, {"kind": "x" * 101}, {"sort": "kind"}):
        assert code(await client.get(JOBS, params=wrong, headers=headers)) == (422, "validation_error")


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELLED])
async def test_a_job_that_is_retried_runs_again_and_that_is_written_down(
    client: httpx.AsyncClient, make: Factory, services: AppServices, session: AsyncSession, status: JobStatus
) -> None:
    admin = await make.admin()
    headers = await make.bearer(admin)
    woken: list[bool] = []
    services.jobs.wakers.append(lambda: woken.append(True))
    ended = await job(make, **FAILED | {"status": status})
    answer = await client.post(f"{JOBS}/{ended.id}/retry", headers=headers)
    assert (answer.status_code, woken) == (202, [True])
    assert (await client.get(f"{JOBS}/{ended.id}", headers=headers)).json()["status"] == "queued"
    assert await Mailbox(services).subjects("alice@example.com") == ["Hello"]
    after = (await client.get(f"{JOBS}/{ended.id}", headers=headers)).json()
    assert (after["status"], after["attempts"], after["error"]) == ("done", 1, None)
    event = (await session.scalars(select(AuditEvent).where(AuditEvent.action == Action.JOB_RETRIED))).one()
    assert (event.actor_id, event.details) == (admin.id, {"job_id": ended.id, "kind": "mail.text"})


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.DONE])
async def test_what_did_not_fail_is_not_retried(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, status: JobStatus
) -> None:
    headers = await make.bearer(await make.admin())
    row = await job(make, status=status)
    assert code(await client.post(f"{JOBS}/{row.id}/retry", headers=headers)) == (409, "not_retryable")
    assert (await session.scalars(select(AuditEvent))).all() == []


async def test_a_job_that_is_cancelled_does_not_run_and_that_is_written_down(
    client: httpx.AsyncClient, make: Factory, services: AppServices, session: AsyncSession
) -> None:
    admin = await make.admin()
    headers = await make.bearer(admin)
    row = await job(make)
    answer = await client.post(f"{JOBS}/{row.id}/cancel", headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")
    assert await Mailbox(services).messages() == []
    for url in (f"{JOBS}/{row.id}", f"/api/v1/tasks/{row.id}"):
        assert (await client.get(url, headers=headers)).json()["status"] == "cancelled"
    event = (await session.scalars(select(AuditEvent).where(AuditEvent.action == Action.JOB_CANCELLED))).one()
    assert (event.actor_id, event.details) == (admin.id, {"job_id": row.id, "kind": "mail.text"})


@pytest.mark.parametrize("status", [*JobStatus])
async def test_only_what_waits_is_cancelled(client: httpx.AsyncClient, make: Factory, status: JobStatus) -> None:
    headers = await make.bearer(await make.admin())
    row = await job(make, status=status)
    answer = await client.post(f"{JOBS}/{row.id}/cancel", headers=headers)
    if status is not JobStatus.QUEUED:
        assert code(answer) == (409, "not_cancellable")
    else:
        assert answer.status_code == 204


async def test_the_jobs_of_a_user_go_with_the_account(client: httpx.AsyncClient, make: Factory) -> None:
    headers, alice = await make.bearer(await make.admin()), await make.user()
    own = [await job(make, user_id=alice.id), await job(make, user_id=alice.id, **FAILED)]
    other = await job(make)
    assert (await client.delete(f"/api/v1/users/{alice.id}", headers=headers)).status_code == 204
    left = await ids(client, headers)
    assert other.id in left
    assert not {each.id for each in own} & {*left}
