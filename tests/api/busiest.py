"""The busiest operations, called without a client, whose own work is none of theirs."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from app.core.config.settings import Settings
from tests.conftest import running
from tests.factories import Factory

type Call = Callable[[], Awaitable[None]]


@asynccontextmanager
async def busiest(settings: Settings) -> AsyncIterator[dict[str, Call]]:
    async with running(settings) as (_, manager, services):
        make = Factory(services)
        alice = await make.user()
        ids = [(await make.item(alice, title=f"item {number}")).id for number in range(25)]
        headers = await make.bearer(alice)

        def request(method: str, path: str, body: object = None) -> Call:
            return call(manager.app, manager._state, method, path, headers, body)

        yield {
            "health": request("GET", "/health"),
            "me": request("GET", "/api/v1/users/me"),
            "list": request("GET", "/api/v1/items?owner=me&limit=20"),
            "read": request("GET", f"/api/v1/items/{ids[0]}"),
            "patch": request("PATCH", f"/api/v1/items/{ids[0]}", {"stock": 5}),
            "create": request("POST", "/api/v1/items", {"title": "A red bicycle", "price": "19.90"}),
        }


def call(app: Any, state: dict[str, Any], method: str, url: str, headers: dict[str, str], body: object = None) -> Call:
    path, _, query = url.partition("?")
    content = b"" if body is None else json.dumps(body).encode()
    sent = {"host": "localhost", **headers}
    if content:
        sent |= {"content-type": "application/json", "content-length": str(len(content))}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    async def run() -> None:
        status = []

        async def send(message: dict[str, Any]) -> None:
            status.append(message.get("status"))

        scope = {
            "type": "http",
            "http_version": "1.1",
            "asgi": {"version": "3.0"},
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
            "client": ("127.0.0.1", 1),
            "server": ("localhost", 80),
            "state": dict(state),
        }
        await app(scope, receive, send)
        assert status[0] in {200, 201}, status

    return run
