"""Probes, public keys and the pages of the documentation."""

from tests.api.both_ways import Both

PATHS = "/health", "/ready", "/.well-known/jwks.json", "/info"
PREFLIGHT = {"Origin": "https://app.example", "Access-Control-Request-Method": "PATCH"}


async def script(both: Both) -> None:
    for path in PATHS:
        await both.send(f"GET {path}", 200)
        await both.send(f"HEAD {path}", 200)
        await both.send(f"OPTIONS {path}", 405)
        await both.send(f"POST {path}", 405, json={})
        await both.send(f"GET {path}", 413, content=b" " * 2_000_000)
    for path in ("/docs", "/docs/oauth2-redirect", "/redoc", "/docs/assets/favicon.png"):
        await both.send(f"GET {path}", 200)
        await both.send(f"HEAD {path}", 200)
    await both.send("GET /nowhere", 404)
    await both.send("GET /api/v1/nowhere", 404)
    await both.send("OPTIONS /api/v1/items/1", 400, headers=PREFLIGHT)
    await both.send("OPTIONS /api/v1/items/1", 405)
