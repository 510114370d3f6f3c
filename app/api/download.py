"""Streamed downloads: bounded in number, and aborted when the client stops reading."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Annotated

import structlog
from fastapi import Depends, Request
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from app.api.deps import CurrentUser
from app.api.deps.app_services import app_services_of
from app.api.deps.limits import count
from app.api.request_state import state_of
from app.api.server_scope import ABORT

log = structlog.get_logger()

# The server accepts a piece once the client has read most of the previous one: so much must arrive in that time.
PIECE = 64 * 1024
PIECE_TIMEOUT = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class DownloadSlot:
    # False for HEAD.
    is_wanted: bool


async def hold_slot(request: Request, me: CurrentUser) -> AsyncIterator[DownloadSlot]:
    """Hold one of the user's download slots until the response is sent.

    Raises:
        TooManyDownloadsError, OverloadedError: no slot is free.
    """
    is_wanted = state_of(request.scope).method != "HEAD"
    # A retried request holds it already.
    takes_slot = is_wanted and not state_of(request.scope).holds_slot
    with app_services_of(request).download_slots.hold(me.user.id) if takes_slot else nullcontext():
        state_of(request.scope).holds_slot = True
        yield DownloadSlot(is_wanted)


DownloadSlotDep = Annotated[DownloadSlot, Depends(hold_slot)]


async def limit_exports(request: Request, me: CurrentUser, slot: DownloadSlotDep) -> None:
    """RATE_LIMIT_EXPORT, per user; a request without a slot does not count."""
    services = app_services_of(request)
    if slot.is_wanted:
        await count(request, services, services.settings.rate_limit_export, "export", str(me.user.id))


ExportLimit = Annotated[None, Depends(limit_exports)]


class Download(StreamingResponse):
    """Closes `chunks` however it ends; `chunks` must not hold a database connection between pieces.

    A disconnect is noticed between two pieces: cancelling a statement would cost its connection.
    """

    def __init__(self, chunks: AsyncGenerator[bytes], media_type: str, filename: str) -> None:
        super().__init__(
            chunks, media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{filename}"'}
        )
        self.chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_head = state_of(scope).method == "HEAD"
        async with aclosing(self.chunks):
            # Before anything is sent, so that an early failure still gets an error response.
            first = b"" if is_head else await anext(self.chunks, b"")
            rest = no_chunks() if is_head else self.chunks
            has_left = asyncio.create_task(self.listen_for_disconnect(receive))
            self.body_iterator = pieces(first, rest, has_left)
            try:
                await self.stream_response(partial(send_in_time, scope, send))
            finally:
                has_left.cancel()


async def send_in_time(scope: Scope, send: Send, message: Message) -> None:
    """Raises ClientDisconnect if the client does not read what was sent before."""
    try:
        async with asyncio.timeout(PIECE_TIMEOUT.total_seconds()):
            await send(message)
    except TimeoutError:
        log.info("download aborted: the client stopped reading")
        await cut(scope)
        raise ClientDisconnect from None


async def no_chunks() -> AsyncIterator[bytes]:
    return
    yield


async def pieces(first: bytes, rest: AsyncIterator[bytes], has_left: asyncio.Task[None]) -> AsyncIterator[bytes]:
    """At least one piece, so that the headers are always those of a stream; none after a disconnect."""
    for piece in cut_up(first):
        yield piece
    async for chunk in rest:
        for piece in cut_up(chunk):
            if has_left.done():
                return
            yield piece


def cut_up(chunk: bytes) -> list[bytes]:
    return [chunk[start : start + PIECE] for start in range(0, len(chunk) or 1, PIECE)]


async def cut(scope: Scope) -> None:
    """Abort the connection: an orderly close would wait for the client to read what is buffered."""
    # Servers that expose no transport close it themselves.
    if (abort := scope.get(ABORT)) is not None:
        abort()
        await asyncio.sleep(0)  # the server notices
