"""Request bodies: strict JSON (RFC 8259), on the fast path and off it, and size limits."""

import json
import re
from collections.abc import AsyncGenerator
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

# For operations with a few short fields: a form-encoded password of 1024 characters may take 12 KiB.
SMALL_BODY = 32 * 1024
BOM = b"\xef\xbb\xbf"
# Everything up to the first lone surrogate; `*+` is possessive, so it never backtracks.
SOUND = re.compile(
    r"(?:[^\\]+|\\[^u]|\\u(?!d[89a-f])|\\ud[89ab]..\\ud[c-f]..)*+",
    re.IGNORECASE,
)


def refuse_constant(name: str) -> None:
    raise json.JSONDecodeError(f"{name} is no number in JSON", name, 0)


DECODER = json.JSONDecoder(parse_constant=refuse_constant)


def loads(body: bytes) -> Any:
    """Parse a JSON body.

    Raises:
        JSONDecodeError: it is not JSON, or only Python's dialect of it.
        UnicodeDecodeError: it is not UTF-8.
        ValueError: a number has more digits than Python parses.
        RecursionError: it is nested too deeply.
    """
    text = body.removeprefix(BOM).decode()
    value = DECODER.decode(text)
    if "\\ud" in text or "\\uD" in text:
        refuse_lone_surrogates(text)
    return value


def refuse_lone_surrogates(text: str) -> None:
    """Lone surrogates are not characters: neither UTF-8 nor a database can store them."""
    sound = SOUND.match(text)
    assert sound is not None
    if sound.end() < len(text):
        raise json.JSONDecodeError("A surrogate pair lacks its other half", text, sound.end())


def is_json(content_type: str) -> bool:
    """As `email.message` reads it, by which FastAPI goes."""
    if content_type == "application/json":
        return True
    kind, _, subtype = content_type.partition(";")[0].strip().lower().partition("/")
    return kind == "application" and (subtype == "json" or (subtype.endswith("+json") and "/" not in subtype))


class DirectRequest(Request):
    """Starlette's, which reads its body without the generator that it has for streams."""

    content: bytes | None = None

    async def body(self) -> bytes:
        if self.content is None:
            self.content = await read_body(self.receive)
        return self.content

    async def stream(self) -> AsyncGenerator[bytes]:
        yield await self.body()
        yield b""


async def read_body(receive: Receive) -> bytes:
    """Raises ClientDisconnect if the client leaves before the end."""
    chunks: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)


class StrictRequest(Request):
    """Makes FastAPI parse JSON strictly, where the standard library is lenient."""

    async def json(self) -> Any:
        return loads(await self.body())
