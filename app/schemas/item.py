"""Items on the wire."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import MISSING, Field, StringConstraints

from app.schemas.base import (
    Count,
    Flag,
    In,
    MoneyOut,
    Out,
    RateOut,
    Version,
)
from app.schemas.decimals import Price, TaxRate
from app.schemas.text import Characters

Title = Annotated[str, Characters(100, is_line=True, may_be_blank=False), Field(examples=["A red bicycle"])]
Description = Annotated[str, Characters(10_000), Field(examples=["Hardly used."])]
Sku = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$", max_length=64), Field(examples=["BIKE-RED-01"])
]
BasedOn = Annotated[Version, Field(description="The version this change is based on; if another is current: 409.")]


class ItemUpsert(In):
    """All of an item but its SKU: what is left out goes back to its default."""

    title: Title
    description: Description | None = None
    price: Price = Decimal(0)
    tax_rate: TaxRate = Decimal(0)
    stock: Count = 0
    is_done: Flag = False


class ItemCreate(ItemUpsert):
    sku: Sku | None = None


class ItemReplace(ItemCreate):
    """All of an item: what is left out goes back to its default."""

    version: BasedOn | MISSING = MISSING


class ItemUpdate(In):
    """What to change. `null` clears what may be empty."""

    title: Title | MISSING = MISSING
    sku: Sku | None | MISSING = MISSING
    description: Description | None | MISSING = MISSING
    price: Price | MISSING = MISSING
    tax_rate: TaxRate | MISSING = MISSING
    stock: Count | MISSING = MISSING
    is_done: Flag | MISSING = MISSING
    version: BasedOn | MISSING = MISSING


class Owner(Out):
    id: Annotated[int, Field(examples=[7])]
    username: Annotated[str, Field(examples=["alice"])]


class ItemRead(Out):
    id: Annotated[int, Field(examples=[42])]
    sku: Annotated[str | None, Field(examples=["BIKE-RED-01"])]
    title: Annotated[str, Field(examples=["A red bicycle"])]
    description: Annotated[str | None, Field(examples=["Hardly used."])]
    price: MoneyOut
    tax_rate: RateOut
    stock: Annotated[int, Field(examples=[3])]
    is_done: bool
    owner: Owner
    version: Annotated[int, Field(examples=[1])]
    created_at: datetime
    updated_at: datetime
    price_with_tax: Annotated[MoneyOut, Field(json_schema_extra={"readOnly": True})]
