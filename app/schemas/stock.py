"""The stock of an item, on the wire."""

from typing import Annotated, Literal

from pydantic import Field

from app.schemas.base import Out


class StockRead(Out):
    item_id: Annotated[int, Field(examples=[42])]
    stock: Annotated[int, Field(examples=[3])]
    source: Annotated[
        Literal["local", "inventory"],
        Field(description="Who says so: the item itself, or the inventory service.", examples=["inventory"]),
    ]
