"""A megabyte of anything costs little to refuse: measured in processor time of the event loop's thread."""

import json
from collections.abc import Iterator

import pytest
from asgi_lifespan import LifespanManager
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.body import SMALL_BODY
from app.api.deps import AppServices
from app.core.config.settings import Settings
from tests.api.asgi import send_bytes
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

# Python decodes the first in a time that grows with the square, and the others to halves of surrogate pairs.
CHARSETS = {"punycode": "aaab", "raw_unicode_escape": "\\ud800", "utf-7": "+2AA-"}

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

        if kind.get("type") == "array":
            yield f"numbers in {name}", fill("1", size, start + "[", "]}")
            yield f"empty objects in {name}", fill("{}", size, start + "[", "]}")
            most = int(kind["maxItems"])
            for number in (1, 18, size // most // 12):
                wrong = f"{{{members(number)}}}"
                yield f"{most} objects of {number} wrong members in {name}", list_of(most, wrong, size, start)


def list_of(most: int, piece: str, size: int, start: str) -> bytes:
    """As long as the schema allows."""
    return f"{start}[{','.join([piece] * min(most, size // (len(piece) + 2)))}]}}".encode()


def form_bodies(operation: Operation, size: int) -> Iterator[Sent]:
    yield "a thousand fields", FORM_TYPE, b"&".join(b"f%d=1" % at for at in range(1000))
    yield "many fields", FORM_TYPE, fill("a=1", size, separator="&")
    yield "many per cent signs", FORM_TYPE, fill("%ef%b7%ba", size, "username=", "&password=x&grant_type=password", "")
    part = 'Content-Disposition: form-data; name="{}"\r\n\r\n'
    yield "many parts", MULTIPART, fill(part.format("a") + "1", size, "--x\r\n", "\r\n--x--\r\n", "\r\n--x\r\n")
    file = 'Content-Disposition: form-data; name="a"; filename="a"\r\n\r\n1'
    yield "many files", MULTIPART, fill(file, size, "--x\r\n", "\r\n--x--\r\n", "\r\n--x\r\n")
    yield "many headers", MULTIPART, fill("A: b", size, "--x\r\n", "\r\n--x--\r\n", "\r\n")
    yield "a long header", MULTIPART, fill("a", size, "--x\r\nA: ", "\r\n\r\n--x--\r\n", "")
    grant = f"\r\n--x\r\n{part.format('grant_type')}password"
    rest = f"{grant}\r\n--x\r\n{part.format('password')}x\r\n--x--\r\n"
    for name in operation.body_members:
        start = f"--x\r\n{part.format(name)}"
        yield f"long text in {name}", MULTIPART, fill(LONG, size, start, rest, "")
        for charset, piece in CHARSETS.items():
            yield f"{charset} in {name}", f"{MULTIPART}; charset={charset}", fill(piece, size, start + "-", rest, "")


def bodies(operation: Operation) -> Iterator[Sent]:
    # The second size is one that operations with small bodies read, too.
    for size in (MIB, SMALL_BODY) if operation.takes_little else (MIB,):
        if "application/json" in operation.content_types:
            yield from ((what, "application/json", body) for what, body in json_bodies(operation, size))
        if FORM_TYPE in operation.content_types:
            yield from form_bodies(operation, size)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With limits, which look at names before anybody else does."""
    rates = dict.fromkeys(("rate_limit_default", "rate_limit_login", "rate_limit_register"), "1000000/minute")
    return settings.model_copy(update={"rate_limit_enabled": True, "rate_limit_mail": "1000000/hour", **rates})


WITH_BODY = [operation for operation in operations() if operation.content_types]
type Running = tuple[LifespanManager, AppServices, AsyncSession]


@pytest.mark.parametrize("operation", WITH_BODY, ids=lambda operation: operation.id)
async def test_a_megabyte_of_anything_is_refused_at_little_cost(
    running_app: Running, make: Factory, operation: Operation
) -> None:
    bearer = {} if operation.id == "auth_token" else await make.bearer(await make.admin())
    url, dear = operation.path_of("1"), {}
    for what, content_type, body in bodies(operation):
        assert len(body) <= MIB
        headers = bearer | {"content-type": content_type}
        reply = await send_bytes(running_app[0], operation.method, url, headers, body)
        if reply.seconds > MOST_SECONDS:  # Python may have collected garbage meanwhile, which nobody does twice
            reply = await send_bytes(running_app[0], operation.method, url, headers, body)
        if not 400 <= reply.status < 500 or len(reply.body) > MOST_BYTES or reply.seconds > MOST_SECONDS:
            dear[what, len(body)] = (reply.status, len(reply.body), reply.seconds)
    assert not dear, "the status, the length of the answer and the seconds it took"


async def test_a_megabyte_that_is_valid_is_taken(running_app: Running, make: Factory) -> None:
    headers = await make.bearer(await make.user()) | {"content-type": "application/json"}
    body = json.dumps({"items": [{"title": "x", "description": "x" * 990}] * 1000}).encode()
    reply = await send_bytes(running_app[0], "POST", "/api/v1/items/bulk", headers, body)
    assert reply.status == 201
    assert reply.seconds < MOST_SECONDS
