"""Public responses that are cached until what they show changes."""

import hmac
from collections.abc import Awaitable, Callable
from functools import lru_cache
from hashlib import sha256
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from pydantic import BaseModel, TypeAdapter
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps.app_services import app_services_of
from app.api.deps.conditional import HasVersion, IfNoneMatchHeader, etag, require_modified
from app.api.rows import RowEncoder
from app.crud.generation import CachedCRUD, generations
from app.services.app_services import AppServices

type Load[T] = Callable[[AsyncSession], Awaitable[T]]


class Cached:
    """The response to a GET that is the same for everybody, with an ETag.

    The key of an entry has the generation of its resource, which every write counts on in its own
    transaction: the first read after a write misses the cache, on every instance. Rows are read from
    the primary: a replica that lags would bring back what has just been changed.
    """

    def __init__(self, request: Request, services: AppServices, if_none_match: str | None) -> None:
        self.address = f"{request.scope['path']}?".encode() + request.scope["query_string"]
        self.services = services
        self.if_none_match = if_none_match

    async def one[V: HasVersion](self, crud: CachedCRUD[Any, Any], schema: type[BaseModel], load: Load[V]) -> Response:
        """A single resource; its tag is that of its version, as in its other responses."""

        async def make(session: AsyncSession) -> bytes:
            row = await load(session)
            return entry(etag(row), written(schema, row))

        return await self.answer(crud, make)

    async def page(self, crud: CachedCRUD[Any, Any], schema: type[BaseModel], load: Load[dict[str, Any]]) -> Response:
        """A list; its tag is that of its content."""

        async def make(session: AsyncSession) -> bytes:
            page = written(schema, await load(session))
            return entry(f'"{sha256(page).hexdigest()[:32]}"', page)

        return await self.answer(crud, make)

    async def answer(self, crud: CachedCRUD[Any, Any], make: Callable[[AsyncSession], Awaitable[bytes]]) -> Response:
        database = self.services.database
        async with database.primary() as session:
            generation = await generations.current(session, crud.resource)

        async def load() -> bytes:
            async with database.primary() as session:
                return await make(session)

        # Keyed, so that a copy of the database on the same Redis, whose generations go on apart, has other entries.
        digest = hmac.digest(self.services.keys.derive("cache")[0], self.address, "sha256").hex()
        found = await self.services.cache.get_or_create(f"{crud.resource}:{generation}:{digest}", load)
        tag, _, body = found.partition(b"\n")
        headers = {"Cache-Control": f"public, max-age={self.services.settings.cache_max_age}"}
        require_modified(self.if_none_match, tag.decode(), **headers)
        return Response(body, headers={"ETag": tag.decode(), **headers}, media_type="application/json")


encoder_of = lru_cache(RowEncoder)


@lru_cache
def adapter(schema: type[BaseModel]) -> TypeAdapter[Any]:
    return TypeAdapter(schema)


def written(schema: type[BaseModel], answer: Any) -> bytes:
    encoded = encoder_of(schema).encode(answer)
    # An empty page has no rows.
    return encoded if encoded is not None else adapter(schema).dump_json(adapter(schema).validate_python(answer))


def entry(tag: str, body: bytes) -> bytes:
    return tag.encode() + b"\n" + body


async def get_cached(request: Request, if_none_match: IfNoneMatchHeader = None) -> Cached:
    return Cached(request, app_services_of(request), if_none_match)


CachedDep = Annotated[Cached, Depends(get_cached)]
