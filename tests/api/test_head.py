"""HEAD is GET without a body (RFC 9110 section 9.3.2), for every operation there is."""

import asyncio
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from asgi_lifespan import LifespanManager
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import AppServices
from app.models.book import Book
from app.models.job import Job
from tests.factories import Factory

DOCUMENT = json.loads(Path(__file__).with_name("openapi.json").read_text())
PATHS = [path for path, operations in DOCUMENT["paths"].items() if "get" in operations]
OF_THE_MOMENT = {b"x-request-id", b"x-process-time", b"server-timing"}
# An export that is not run does not know of these (RFC 9110 section 9.3.2 lets it leave them out).
OF_THE_CONTENT = {b"content-length", b"content-encoding", b"transfer-encoding", b"vary"}
type Running = tuple[LifespanManager, AppServices, AsyncSession]


class Answer(NamedTuple):
    status: int
    headers: dict[bytes, bytes]
    body: bytes

    def without(self, names: set[bytes]) -> dict[bytes, bytes]:
        return {name: value for name, value in self.headers.items() if name not in names}


async def ask(app: Any, method: str, path: str, query: str, headers: dict[str, str]) -> Answer:
    """Past every client and server, which would drop the body of an answer to HEAD by themselves."""
    messages: list[dict[str, Any]] = []

    received = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        # After its body a client stays; who streams waits for it to leave.
        return next(received, None) or await asyncio.get_running_loop().create_future()

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    sent = {"host": "test", **headers}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
        "client": ("127.0.0.1", 1),
    }
    await app(scope, receive, send)
    start, *rest = messages
    return Answer(start["status"], dict(start["headers"]), b"".join(message.get("body", b"") for message in rest))


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_head_has_the_status_and_the_headers_of_get_and_no_byte_of_its_body(
    running_app: Running, make: Factory, encoding: str
) -> None:
    app = running_app[0].app
    admin = await make.admin()
    item = await make.item(await make.user(), description="x" * 2000, stock=5)
    await make.item(admin, description="x" * 2000)
    order, book = await make.order(admin, item), await make.store(Book(title="x" * 80, author="y", release_year=1999))
    ids = {"user_id": admin.id, "item_id": item.id, "order_id": order.id, "book_id": book.id}
    job = await make.store(Job(kind="x", payload={}))
    ids |= {"job_id": job.id, "task_id": job.id}
    headers = await make.bearer(admin) | {"Accept-Encoding": encoding}
    for path in PATHS:
        is_export = path.endswith("/export")
        concrete, query = path.format_map(ids), "format=csv" if is_export else ""
        get = await ask(app, "GET", concrete, query, headers)
        head = await ask(app, "HEAD", concrete, query, headers)
        assert (get.status, head.status) == (200, 200), path
        assert get.body, path
        assert head.body == b"", path
        left_out = OF_THE_MOMENT | (OF_THE_CONTENT if is_export else set())
        assert head.without(left_out) == get.without(left_out), path


@pytest.mark.parametrize("path", ["/nothing", "/api/v1/items/9999", "/api/v1/users/me", "/api/v1/items?limit=0"])
async def test_an_error_has_no_body_either(running_app: Running, make: Factory, path: str) -> None:
    headers = {} if path.endswith("me") else await make.bearer(await make.user())
    target, _, query = path.partition("?")
    get, head = [await ask(running_app[0].app, method, target, query, headers) for method in ("GET", "HEAD")]
    assert (head.status, head.body) == (get.status, b"")
    assert get.body
    assert int(head.headers[b"content-length"]) > 0
