"""One list of what is exported of an account."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from app.crud.base import CRUD
from app.crud.batch import Batch, Place


class Part(NamedTuple):
    """Its name, whose rows they are, who finds them up to an id, and how each is shown."""

    name: str
    crud: CRUD[Any, Any]
    find: Callable[[AsyncSession, Place | None, int], Awaitable[Batch]]
    show: Callable[[Any], BaseModel]
