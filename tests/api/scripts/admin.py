"""What those who run the service look at."""

from urllib.parse import quote

from app.models.user import Role
from tests.api.both_ways import START, Both

AUDIT = "/api/v1/admin/audit"


async def script(both: Both) -> None:
    await both.user("visitor")
    await both.user("supervisor", role=Role.ADMIN)
    await both.send("GET /api/v1/admin/dashboard", 401)
    await both.send("GET /api/v1/admin/dashboard", 403, by="visitor")
    await both.send("GET /api/v1/admin/dashboard", 200, by="supervisor")
    await both.send("HEAD /api/v1/admin/dashboard", 200, by="supervisor")
    # So that there is something to see, whichever script came first.
    for _ in range(2):
        await both.send("POST /api/v1/auth/login", 401, data={"username": "visitor", "password": "wrong"})
    for url in (AUDIT, "/api/v2/admin/audit"):
        await both.send(f"GET {url}", 401)
        await both.send(f"GET {url}", 403, by="visitor")
        first = (await both.send(f"GET {url}?limit=1", 200, by="supervisor")).json()
        cursor = first.get("meta", first)["next_cursor"]
        await both.send(f"GET {url}?limit=1&cursor={cursor}", 200, by="supervisor")
        await both.send(f"GET {url}?action=sign_in_failed&since={quote(START.isoformat())}", 200, by="supervisor")
        for query in ("action=nothing", "since=yesterday", "actor_id=0", "sort=at", "cursor=x"):
            await both.send(f"GET {url}?{query}", 422, by="supervisor")
    await both.send(f"GET {AUDIT}?skip=1&limit=100", 200, by="supervisor")
