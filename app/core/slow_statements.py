"""Statements that are not answered: whether the server is still at work on them, or the answer was lost."""

import asyncio
from typing import TYPE_CHECKING

import asyncpg

from app.core.connection import WatchedConnection, connect_beside

if TYPE_CHECKING:
    from app.core.watch import Watch

# A statement that takes longer, or up to twice as long, makes the idle connections suspect.
LOOK_SECONDS = 1.5
ASK_SECONDS = 3
# Which of these sessions PostgreSQL has answered, as far as it knows, and waits to hear from.
ANSWERED = """
SELECT pid FROM pg_stat_activity WHERE pid = ANY ($1::int[]) AND usename = current_user AND datname = current_database()
AND state <> 'active' AND state_change < clock_timestamp() - interval '1 second'
"""


class SlowStatements:
    """One look at what is lent, again and again while something is: no statement has a timer of its own for this.

    Silence may be a slow statement as well as a connection that has died. The server tells which, on a connection that
    is made for the question.
    """

    def __init__(self, watch: "Watch", *, is_pooled: bool) -> None:
        self.watch = watch
        # Behind a pooler nobody can tell which session of the server a connection has.
        self.is_pooled = is_pooled
        # What was owed at the last look.
        self.owed: dict[WatchedConnection, object] = {}
        self.timer: asyncio.TimerHandle | None = None
        self.asking: asyncio.Task[None] | None = None

    def look_later(self) -> None:
        self.timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self.look)

    def look(self) -> None:
        self.timer = None
        lent = [each for each in self.watch.connections if each.is_lent and not each.is_closed()]
        owed, self.owed = self.owed, {each: each.owes for each in lent if each.owes is not None}
        if lent:
            self.look_later()
        slow = {connection: owes for connection, owes in self.owed.items() if owed.get(connection) is owes}
        if slow:
            self.watch.doubt()
            if not self.is_pooled and (self.asking is None or self.asking.done()):
                self.asking = asyncio.create_task(self.end_silent(slow), name="slow statements")

    async def end_silent(self, slow: dict[WatchedConnection, object]) -> None:
        """Close those of which the server thinks that it has answered; a slow statement goes on."""
        pids = {connection.get_server_pid(): connection for connection in slow}
        try:
            answered = [pids[pid] for pid in await self.ask_server(list(pids))]
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return  # another look is to come
        dead = [connection for connection in answered if connection.owes is slow[connection]]
        for connection in dead:
            connection.terminate()
        if dead:
            self.watch.drop_idle(len(dead))

    async def ask_server(self, pids: list[int]) -> list[int]:
        connection = await connect_beside(self.watch.engine, **self.watch.arguments)
        try:
            return [row["pid"] for row in await connection.fetch(ANSWERED, pids, timeout=ASK_SECONDS)]
        finally:
            connection.terminate()

    def close(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.asking is not None:
            self.asking.cancel()
