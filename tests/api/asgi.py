"""Requests made of bytes, straight to the application: a client's own work, and its opinions, are not wanted."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from asgi_lifespan import LifespanManager


@dataclass
class Reply:
    """What came, and for how many seconds this thread was busy with it."""

    status: int = 0
    body: bytearray = field(default_factory=bytearray)
    seconds: float = 0

    def json(self) -> Any:
        return json.loads(self.body)


async def send_bytes(
    manager: LifespanManager, method: str, url: str, headers: dict[str, str], content: bytes = b""
) -> Reply:
    """`url` is the path as it stands on the line, with its query."""
    reply = Reply()
    sent = {"host": "test", "content-length": str(len(content)), **headers}

    messages = [{"type": "http.request", "body": content, "more_body": False}]

    async def receive() -> dict[str, Any]:
        # The client stays: what waits for it to leave is cancelled.
        return messages.pop() if messages else await asyncio.Future()

    async def send(message: dict[str, Any]) -> None:
        reply.status = message.get("status", reply.status)
        reply.body += message.get("body", b"")

    scope = scope_of(method, url) | {
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in sent.items()],
        "state": dict(manager._state),
    }
    began = time.thread_time()
    await manager.app(scope, receive, send)  # type: ignore[arg-type] # LifespanManager's app is looser typed
    reply.seconds = time.thread_time() - began
    return reply


def scope_of(method: str, url: str) -> dict[str, Any]:
    raw_path, _, query = url.partition("?")
    return {
        "type": "http",
        "http_version": "1.1",
        "asgi": {"version": "3.0"},
        "method": method,
        "scheme": "http",
        "path": unquote(raw_path),
        "raw_path": raw_path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "client": ("127.0.0.1", 1),
        "server": ("test", 80),
    }
