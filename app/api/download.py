"""Answers of any length: they go out as they are made, and stop when nobody takes them."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class Download(StreamingResponse):
    """Closes what it reads from however it ends, so that no connection to the database waits for a collector."""

    def __init__(self, chunks: AsyncGenerator[bytes], media_type: str, filename: str) -> None:
        super().__init__(
            chunks, media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{filename}"'}
        )
        self.chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self.chunks):
            # Before anything is sent: what goes wrong at the beginning still gets an answer of its own.
            first = await anext(self.chunks, b"")
            self.body_iterator = prepend(first, self.chunks)
            await super().__call__(scope, receive, send)


async def prepend(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk
