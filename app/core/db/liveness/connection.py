"""asyncpg's connections, which are never used again once a statement on them has been given up."""

import asyncio
import socket
from contextlib import suppress
from typing import Any

import asyncpg
from asyncpg.connect_utils import _cancel as send_cancel
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core import clock

# A host that is gone is told by the kernel: after so much silence it asks, and what is sent has to arrive in time.
KEEPALIVE_IDLE_SECONDS = 30
KEEPALIVE_INTERVAL_SECONDS = 5
KEEPALIVE_PROBES = 3
UNACKNOWLEDGED_MS = 10_000
# PostgreSQL is asked to cancel on a connection of its own, which may hang as well.
CANCEL_SECONDS = 2
# Of the dialect, which takes them from the same dictionary.
NOT_FOR_THE_DRIVER = ("prepared_statement_cache_size", "prepared_statement_name_func", "async_creator_fn")


class WatchedConnection(asyncpg.Connection):  # type: ignore[misc] # asyncpg ships no types
    """What `Watch` has to know of a connection, and an end to it when a statement timed out or was cancelled.

    asyncpg would wait for PostgreSQL to confirm the cancellation, on a connection that may be dead, before anything
    else is done on it.
    """

    __slots__ = ("heard_at", "is_abandoned", "is_lent", "is_unwanted", "owes")

    def __init__(self, *arguments: Any) -> None:
        self.is_abandoned = False
        self.is_lent = False
        # Whoever has it may go on with it, and nobody is to have it after them.
        self.is_unwanted = False
        # What PostgreSQL has not answered yet.
        self.owes: object = None
        self.heard_at = clock.seconds()
        super().__init__(*arguments)
        keep_alive(self._transport.get_extra_info("socket"))

    def is_closed(self) -> bool:
        return self.is_abandoned or self._aborted or not self._protocol.is_connected()

    def _cancel_current_command(self, *_: asyncio.Future[None] | None) -> None:
        """asyncpg calls this when a statement has timed out, or the task that waited for it was cancelled."""
        self.is_abandoned = self.is_unwanted = True
        backend = {"backend_pid": self._protocol.backend_pid, "backend_secret": self._protocol.backend_secret}
        self._loop.create_task(self.abandon(backend))

    async def abandon(self, backend: dict[str, Any]) -> None:
        try:
            with suppress(OSError, asyncpg.InterfaceError):
                async with asyncio.timeout(CANCEL_SECONDS):
                    await send_cancel(loop=self._loop, addr=self._addr, params=self._params, **backend)
        finally:
            self.terminate()


async def connect_beside(engine: AsyncEngine, **arguments: Any) -> WatchedConnection:
    """With what the engine connects with, but not of its pool: it must not wait there, nor be taken from it."""
    _, engines = engine.dialect.create_connect_args(engine.url)
    every = {**engines, **arguments}
    connection: WatchedConnection = await asyncpg.connect(
        **{key: every[key] for key in every.keys() - {*NOT_FOR_THE_DRIVER}}
    )
    return connection


def keep_alive(connection: socket.socket) -> None:
    """Linux has all of these options, other systems some of them."""
    if connection.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_SECONDS),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_SECONDS),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES),
        ("TCP_USER_TIMEOUT", UNACKNOWLEDGED_MS),
    ):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
