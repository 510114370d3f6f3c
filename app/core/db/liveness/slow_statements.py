"""Statements without a response: whether the server is still executing them, or the response was lost."""

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg

from app.core.db.liveness.connection import WatchedConnection, connect_beside

if TYPE_CHECKING:
    from app.core.db.liveness.watch import Watch

# A statement that takes longer, or up to twice as long, makes the idle connections suspect.
LOOK_SECONDS = 1.5
ASK_SECONDS = 3
# Which of these sessions PostgreSQL has answered, as far as it knows, and waits to hear from.
ANSWERED = """
SELECT pid FROM pg_stat_activity WHERE pid = ANY ($1::int[]) AND usename = current_user AND datname = current_database()
AND state <> 'active' AND state_change < clock_timestamp() - interval '1 second'
"""
# What this role's sessions are at work on. Behind a pooler nobody can tell which of them has which statement.
AT_WORK = """
SELECT query FROM pg_stat_activity WHERE usename = current_user AND datname = current_database()
AND state = 'active' AND query <> '' AND query_start < clock_timestamp() - interval '1 second'
"""
# Between two questions for that; a statement that the pooler lets through meanwhile is at work for long enough then.
AGAIN_SECONDS = 1.2


class SlowStatements:
    """One look at what is lent, again and again while something is: no statement has a timer of its own for this.

    Silence may be a slow statement as well as a connection that has died. The server tells which, on a connection that
    is made for the question.
    """

    def __init__(self, watch: "Watch", *, is_pooled: bool) -> None:
        self.watch = watch
        self.find_answered = self.find_not_at_work if is_pooled else self.find_by_session
        # A pooler may lead to several replicas, and the question to another one than the statement.
        self.can_ask = watch.has_primary or not is_pooled
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
            if self.can_ask and (self.asking is None or self.asking.done()):
                self.asking = asyncio.create_task(self.end_silent(slow), name="slow statements")

    async def end_silent(self, slow: dict[WatchedConnection, object]) -> None:
        """Close those of which the server thinks that it has answered; a slow statement goes on."""
        try:
            answered = await self.find_answered(slow)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return  # another look is to come
        dead = [connection for connection in answered if connection.owes is slow[connection]]
        for connection in dead:
            connection.terminate()
        if dead:
            self.watch.drop_idle(len(dead))

    async def find_by_session(self, slow: dict[WatchedConnection, Any]) -> list[WatchedConnection]:
        pids = {connection.get_server_pid(): connection for connection in slow}
        return [pids[pid] for pid in await self.ask_server(ANSWERED, list(pids))]

    async def find_not_at_work(self, slow: dict[WatchedConnection, Any]) -> list[WatchedConnection]:
        """Those whose statement no session is at work on.

        A pooler serves in turn: whatever was sent before the question is no longer in its queue when that is answered.
        """
        missing = slow
        for pause in (0, AGAIN_SECONDS):
            await asyncio.sleep(pause)
            at_work = await self.ask_server(AT_WORK)
            missing = {each: owes for each, owes in missing.items() if not is_among(owes.statement, at_work)}
            if not missing:
                break
        return list(missing)

    async def ask_server(self, question: str, *values: Any) -> list[Any]:
        connection = await connect_beside(self.watch.engine, **self.watch.arguments)
        try:
            # A transaction keeps a pooler from sending what is prepared and what runs it to different servers.
            async with asyncio.timeout(ASK_SECONDS), connection.transaction():
                return [row[0] for row in await connection.fetch(question, *values)]
        finally:
            connection.terminate()

    def close(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.asking is not None:
            self.asking.cancel()


def is_among(statement: str, texts: list[str]) -> bool:
    """PostgreSQL shows the beginning of what is long (`track_activity_query_size`)."""
    return any(statement.startswith(text) for text in texts)
