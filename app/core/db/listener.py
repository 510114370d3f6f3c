"""Receives PostgreSQL's notifications on a separate connection, and knows whether any may have been lost."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncEngine

from app.core import clock
from app.core.config.settings import Settings
from app.core.db.liveness.connection import connect_beside
from app.core.db.postgresql import asyncpg_arguments
from app.core.fallback import Fallback

BEAT = timedelta(seconds=0.3)
# Longer than a busy machine takes; whether an answer is still of use the audience knows.
PATIENCE = timedelta(seconds=5)
FIRST_WAIT, MAX_WAIT = 0.1, 10.0
# Of the triggers only those count that also fire where replication or a restore writes.
STATE = """
SELECT pg_backend_pid() AS pid, current_setting('transaction_read_only')::bool AS is_read_only, count(*) AS triggers
FROM pg_trigger
WHERE tgrelid = ANY (SELECT to_regclass(name) FROM unnest($1::text[]) AS name)
AND tgname = ANY ($2::name[]) AND tgenabled = 'A'
"""


class NotHeardError(Exception):
    """There is a connection, but what is told would not arrive on it."""


class LateAnswerError(NotHeardError):
    """PostgreSQL, the network or this process was too slow."""


class PooledConnectionError(NotHeardError):
    """Something between us and PostgreSQL shares its connections out: LISTEN does not work through it."""


class ReadOnlyServerError(NotHeardError):
    """It is not the primary any more: changes are told elsewhere."""


class MissingTriggersError(NotHeardError):
    """The database is at another migration, or somebody has switched triggers off."""


@dataclass(frozen=True, slots=True)
class Source:
    """Triggers, and the channel that they tell on."""

    channel: str
    tables: Sequence[str]
    triggers: Sequence[str]


class Audience(Protocol):
    """Who wants to hear."""

    def gain(self) -> None:
        """From now on all is heard."""

    def hear(self, payload: str) -> None: ...

    def confirm(self, asked_at: float) -> None:
        """All has been heard that was committed before `asked_at`, of `clock.seconds()`."""

    def lose(self) -> None:
        """From now on nothing is heard."""


class Listener:
    """Listens, and asks PostgreSQL again and again whether there is more to hear.

    PostgreSQL sends a session the notifications of transactions that committed before it was asked something
    before it says that the answer is complete, and asyncpg calls their listeners before it returns the answer. So
    each answer confirms that all has been heard. A connection on which none comes for longer than `patience` is given
    up for a new one.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        arguments: dict[str, Any],
        source: Source,
        audience: Audience,
        fallback: Fallback,
        *,
        patience: timedelta = PATIENCE,
    ) -> None:
        self.engine = engine
        self.arguments = arguments
        self.source = source
        self.audience = audience
        self.fallback = fallback
        self.patience_seconds = patience.total_seconds()
        self.is_wanted = asyncio.Event()
        self.wait = FIRST_WAIT
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.task = asyncio.create_task(self.run(), name="listener")

    async def close(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])

    def hurry(self) -> None:
        """Confirm as soon as possible."""
        self.is_wanted.set()

    async def run(self) -> None:
        while True:
            try:
                await self.listen()
            except Exception as error:  # noqa: BLE001 - whatever it is, there is another connection to be had
                self.fallback.lose(error)
            # Jitter: instances that lost the same server should not all come back together.
            await asyncio.sleep(self.wait * random.uniform(0.5, 1.5))  # noqa: S311 - not for secrets
            self.wait = min(2 * self.wait, MAX_WAIT)

    async def listen(self) -> None:
        """Returns by raising."""
        connection = await connect_beside(self.engine, **self.arguments)
        try:
            connection.add_termination_listener(self.end)
            await connection.add_listener(self.source.channel, self.hear)
            self.audience.gain()
            while True:
                self.is_wanted.clear()
                await self.ask(connection)
                with suppress(TimeoutError):
                    async with asyncio.timeout(BEAT.total_seconds()):
                        await self.is_wanted.wait()
        finally:
            connection.terminate()
            self.audience.lose()

    async def ask(self, connection: Any) -> None:
        asked_at = clock.seconds()
        too_late = asyncio.get_running_loop().call_later(self.patience_seconds, connection.terminate)
        try:
            state = await connection.fetchrow(STATE, self.source.tables, self.source.triggers)
        finally:
            too_late.cancel()
        # Calls what asyncpg has put off until now, should it ever return an answer first.
        await asyncio.sleep(0)
        if connection.is_closed():
            raise LateAnswerError  # it came when nobody listened any more
        if state["pid"] != connection.get_server_pid():
            raise PooledConnectionError
        if state["is_read_only"]:
            raise ReadOnlyServerError
        if state["triggers"] != len(self.source.triggers):
            raise MissingTriggersError
        self.audience.confirm(asked_at)
        self.fallback.regain()
        self.wait = FIRST_WAIT

    def hear(self, _: object, __: int, ___: str, payload: str) -> None:
        self.audience.hear(payload)

    def end(self, _: object) -> None:
        """The connection is gone: no need to wait for the next response to know."""
        self.audience.lose()
        self.hurry()


def listener_arguments(settings: Settings) -> dict[str, Any]:
    arguments = asyncpg_arguments(settings.database, settings)
    arguments["server_settings"]["application_name"] += " listener"
    return arguments
