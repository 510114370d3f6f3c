"""Bodies of bulk operations on items."""

from typing import Annotated

from pydantic import Field

from app.schemas.base import Flag, In, JsonId, Out
from app.schemas.item import ItemCreate


class ItemBatchCreate(In):
    items: Annotated[list[ItemCreate], Field(min_length=1, max_length=1000)]


class ItemBatchCreated(Out):
    created: Annotated[int, Field(examples=[2])]
    ids: Annotated[list[int], Field(description="In the order of the request.", examples=[[42, 43]])]


class ItemBatchUpdate(In):
    ids: Annotated[list[JsonId], Field(min_length=1, max_length=1000, examples=[[42, 43]])]
    is_done: Flag


class ItemBatchUpdated(Out):
    updated: Annotated[int, Field(description="How many of them are yours.", examples=[2])]
