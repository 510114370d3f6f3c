"""One of two applications that get the same requests, with what only it knows."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
from sqlalchemy import select

from app.api.deps import AppServices
from app.core.config.settings import Settings
from app.models.base import Base
from app.models.user import User
from tests.conftest import connected, running
from tests.factories import Factory
from tests.jobs import run_jobs
from tests.mailbox import Mailbox, text_of

SECRET = re.compile(r"#token=\S+|^  [A-Z]{4}-[A-Z]{4}$", re.MULTILINE)
# Columns that are, or hash, something random.
RANDOM = {"hashed_password", "digest", "code_digest", "binding", "key"}


@dataclass(frozen=True, slots=True)
class Way:
    client: httpx.AsyncClient
    services: AppServices
    make: Factory
    # What is random, by the names that requests use for it: `<alice>`.
    secrets: dict[str, str] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def running(cls, settings: Settings) -> AsyncIterator[Self]:
        async with running(settings) as (_, manager, services), connected(manager.app) as client:
            yield cls(client, services, Factory(services))

    async def send(self, method: str, url: str, options: dict[str, Any]) -> httpx.Response:
        response = await self.client.request(method, self.filled(url), **self.filled(options))
        await run_jobs(self.services)
        return response

    def filled(self, value: Any) -> Any:
        """With the secrets in their places."""
        match value:
            case str():
                return re.sub(r"<([^>]+)>", lambda found: self.secrets.get(found[1], found[0]), value)
            case dict():
                return {name: self.filled(inner) for name, inner in value.items()}
            case _:
                return value

    async def sign_in(self, name: str, user: User, scope: str | None = None) -> None:
        tokens = await self.make.tokens(user, scope)
        self.secrets.update({name: tokens.access_token, f"{name}'s": tokens.refresh_token})

    async def mails(self) -> list[tuple[str, str, str]]:
        messages = await Mailbox(self.services).messages()
        return [(str(each["To"]), str(each["Subject"]), SECRET.sub("", text_of(each))) for each in messages]

    async def rows(self) -> dict[str, list[Any]]:
        """All that is stored."""
        async with self.services.database.read() as session:
            return {
                table.name: [
                    tuple(row)
                    for row in await session.execute(
                        select(*(column for column in table.c if column.name not in RANDOM)).order_by(table.c.id)
                    )
                ]
                for table in Base.metadata.sorted_tables
            }
