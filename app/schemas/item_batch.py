"""Many items in one request, on the wire."""

from typing import Annotated

from pydantic import BeforeValidator, Field, StrictInt

from app.schemas.base import MAX_ID, Flag, In, Out, integral
from app.schemas.item import ItemCreate

ItemId = Annotated[StrictInt, Field(ge=1, le=MAX_ID), BeforeValidator(integral)]


class ItemBatchCreate(In):
    items: Annotated[list[ItemCreate], Field(min_length=1, max_length=1000)]


class ItemBatchCreated(Out):
    created: Annotated[int, Field(examples=[2])]
    ids: Annotated[list[int], Field(description="In the order of the request.", examples=[[42, 43]])]


class ItemBatchUpdate(In):
    ids: Annotated[list[ItemId], Field(min_length=1, max_length=1000, examples=[[42, 43]])]
    is_done: Flag


class ItemBatchUpdated(Out):
    updated: Annotated[int, Field(description="How many of them are yours.", examples=[2])]
