"""What administrators see of background work, and do about it."""

from typing import Any

from app.models.job import Job, JobStatus
from app.models.user import Role
from tests.api.both_ways import Both

JOBS = "/api/v1/admin/jobs"
TEXT = {"to": "grete@example.com", "subject": "Hello", "message": "It works."}


async def script(both: Both) -> None:
    await both.user("apprentice")
    await both.user("foreman", role=Role.ADMIN)
    # Of a kind that no worker knows: it stays where it is.
    waiting = await store(both, kind="a.stranger")
    failed = await store(both, kind="mail.text", status=JobStatus.FAILED)
    await look(both, failed)
    await act(both, failed, "retry")
    await act(both, waiting, "cancel")


async def store(both: Both, **fields: Any) -> int:
    fast, plain = [await way.make.store(Job(payload=TEXT, **fields)) for way in both.ways]
    assert fast.id == plain.id
    return fast.id


async def look(both: Both, id_: int) -> None:
    for url in (JOBS, f"{JOBS}/{id_}"):
        await both.send(f"GET {url}", 401)
        await both.send(f"GET {url}", 403, by="apprentice")
        await both.send(f"GET {url}", 200, by="foreman")
        await both.send(f"HEAD {url}", 200, by="foreman")
    cursor = (await both.send(f"GET {JOBS}?limit=1", 200, by="foreman")).json()["next_cursor"]
    await both.send(f"GET {JOBS}?limit=1&cursor={cursor}", 200, by="foreman")
    await both.send(f"GET {JOBS}?status=failed&kind=mail.text&sort=id", 200, by="foreman")
    for query in ("status=lost", "sort=kind", "cursor=x"):
        await both.send(f"GET {JOBS}?{query}", 422, by="foreman")


async def act(both: Both, id_: int, action: str) -> None:
    url = f"{JOBS}/{id_}/{action}"
    await both.send(f"POST {url}", 401)
    await both.send(f"POST {url}", 403, by="apprentice")
    await both.send(f"POST {url}", 202 if action == "retry" else 204, by="foreman")
    await both.send(f"POST {url}", 409, by="foreman")
    await both.send(f"POST {JOBS}/999999/{action}", 404, by="foreman")
