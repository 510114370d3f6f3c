"""A megabyte of anything costs little to refuse: measured in processor time of the event loop's thread."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from asgi_lifespan import LifespanManager
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.body import SMALL_BODY
from app.api.deps import Resources
from tests.api.operations import Operation, operations
from tests.factories import Factory

MIB = 1024 * 1024
MOST_SECONDS = 0.5
MOST_BYTES = 100_000
# The letter that NFKC makes the most of: eighteen.
LONG = "\ufdfa"
BOUNDARY = "x"
FORM_TYPE = "application/x-www-form-urlencoded"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"

type Sent = tuple[str, str, bytes]


def fill(piece: str, size: int, before: str = "", after: str = "", separator: str = ",") -> bytes:
    """As many of the piece as fit."""
    room = size - len((before + after).encode())
    number = room // len((piece + separator).encode())
    return (before + separator.join([piece] * number) + after).encode()


def members(number: int) -> str:
    return ",".join(f'"m{at}":0' for at in range(number))


def json_bodies(operation: Operation, size: int) -> Iterator[tuple[str, bytes]]:
    yield "a long name", fill(LONG, size, '{"', '":1}', "")
    yield "many unknown members", f"{{{members(size // 11)}}}".encode()
    yield "nested lists", b"[" * size
    yield "nested objects", fill('{"a":', size, separator="")
    yield "halves of pairs", fill("\\ud800", size, '{"', '":1}', "")
    yield "pairs", fill("\\ud83d\\ude00", size, '{"', '":1}', "")
    yield "backslashes", fill("\\\\", size, '{"\\ud83d\\ude00', '":1}', "")
    yield "long numbers", fill("9" * 4299, size, "[", "]")
    yield "a long fraction", fill("1", size, '{"a":0.', "}", "")
    for name, kind in operation.body_members.items():
        start = f'{{"{name}":'
        yield f"long text in {name}", fill(LONG, size, start + '"', '"}', "")
        yield f"numbers in {name}", fill("1", size, start + "[", "]}")
        if kind.get("type") == "array":
            yield f"empty objects in {name}", fill("{}", size, start + "[", "]}")
            yield f"a thousand wrong objects in {name}", fill("{%s}" % members(18), size, start + "[", "]}")
            crowd = "{%s}" % members(size // 12_000)
            yield f"a thousand crowds in {name}", fill(crowd, size, start + "[", "]}")


def form_bodies(operation: Operation, size: int) -> Iterator[Sent]:
    yield "a thousand fields", FORM_TYPE, b"&".join(b"f%d=1" % at for at in range(1000))
    yield "many fields", FORM_TYPE, fill("a=1", size, separator="&")
    yield "many per cent signs", FORM_TYPE, fill("%ef%b7%ba", size, "username=", "&password=x", "")
    part = 'Content-Disposition: form-data; name="{}"\r\n\r\n'
    yield "many parts", MULTIPART, fill(part.format("a") + "1", size, "--x\r\n", "\r\n--x--\r\n", "\r\n--x\r\n")
    file = 'Content-Disposition: form-data; name="a"; filename="a"\r\n\r\n1'
    yield "many files", MULTIPART, fill(file, size, "--x\r\n", "\r\n--x--\r\n", "\r\n--x\r\n")
    yield "many headers", MULTIPART, fill("A: b", size, "--x\r\n", "\r\n--x--\r\n", "\r\n")
    yield "a long header", MULTIPART, fill("a", size, "--x\r\nA: ", "\r\n\r\n--x--\r\n", "")
    rest = f"\r\n--x\r\n{part.format('password')}x\r\n--x--\r\n"
    for name in operation.body_members:
        start = f"--x\r\n{part.format(name)}"
        yield f"long text in {name}", MULTIPART, fill(LONG, size, start, rest, "")
        for charset in ("punycode", "idna", "raw_unicode_escape", "utf-7"):
            yield f"{charset} in {name}", f"{MULTIPART}; charset={charset}", fill("a-b", size, start, rest, "")


def bodies(operation: Operation) -> Iterator[Sent]:
    # The second size is one that operations with small bodies read, too.
    for size in (MIB, SMALL_BODY) if operation.takes_little else (MIB,):
        if "application/json" in operation.content_types:
            yield from ((what, "application/json", body) for what, body in json_bodies(operation, size))
        if FORM_TYPE in operation.content_types:
            yield from form_bodies(operation, size)


class Caller:
    """Calls the application without a client, whose own work is none of its."""

    def __init__(self, manager: LifespanManager, headers: dict[str, str]) -> None:
        self.manager = manager
        self.headers = headers

    async def __call__(self, method: str, path: str, content_type: str, body: bytes) -> tuple[int, int, float]:
        """The status, the length of the answer and the seconds that this thread was busy."""
        sent = {"host": "test", "content-type": content_type, "content-length": str(len(body)), **self.headers}
        status, length = 0, 0

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            nonlocal status, length
            status = message.get("status", status)
            length += len(message.get("body", b""))

        scope = {
            **{"type": "http", "http_version": "1.1", "asgi": {"version": "3.0"}, "method": method, "scheme": "http"},
            **{"path": path, "raw_path": path.encode(), "query_string": b"", "root_path": ""},
            **{"client": ("127.0.0.1", 1), "server": ("test", 80), "state": dict(self.manager._state)},
            "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
        }
        began = time.thread_time()
        await self.manager.app(scope, receive, send)  # type: ignore[arg-type] # LifespanManager's app is looser typed
        return status, length, time.thread_time() - began


WITH_BODY = [operation for operation in operations() if operation.content_types]


@pytest.mark.parametrize("operation", WITH_BODY, ids=lambda operation: operation.id)
async def test_a_megabyte_of_anything_is_refused_at_little_cost(
    running_app: tuple[LifespanManager, Resources, AsyncSession], make: Factory, operation: Operation
) -> None:
    manager, _, _ = running_app
    headers = {} if operation.id == "auth_token" else await make.bearer(await make.admin())
    call = Caller(manager, headers)
    dear = {}
    for what, content_type, body in bodies(operation):
        assert len(body) <= MIB
        status, length, seconds = await call(operation.method, operation.path_of("1"), content_type, body)
        if not 400 <= status < 500 or length > MOST_BYTES or seconds > MOST_SECONDS:
            dear[what, len(body)] = (status, length, seconds)
    assert not dear, "answers, their length and the seconds they took"


@pytest.mark.parametrize(
    "body", ['{"items": [%s]}' % ",".join(['{"title": "x", "description": "%s"}' % ("x" * 990)] * 1000)]
)
async def test_a_megabyte_that_is_valid_is_taken(
    running_app: tuple[LifespanManager, Resources, AsyncSession], make: Factory, body: str
) -> None:
    call = Caller(running_app[0], await make.bearer(await make.user()))
    status, length, seconds = await call("POST", "/api/v1/items/bulk", "application/json", body.encode())
    assert (status, length < MOST_BYTES, seconds < MOST_SECONDS) == (201, True, True), (length, seconds)
    assert json.loads(body)["items"]
