"""Orders on the wire."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StrictInt

from app.schemas.base import In, JsonId, MoneyOut, Out, RateOut, integral

StatusName = Annotated[
    Literal["placed", "paid", "cancelled"],
    Field(description="`placed` is not paid yet; `cancelled` gave its stock back."),
]


class LineCreate(In):
    item_id: Annotated[JsonId, Field(examples=[42])]
    quantity: Annotated[StrictInt, Field(ge=1, le=1000, examples=[2]), BeforeValidator(integral)]


def refuse_twice(lines: list[LineCreate]) -> list[LineCreate]:
    if len({line.item_id for line in lines}) < len(lines):
        raise ValueError("must name each item once; add the quantities up")
    return lines


class OrderCreate(In):
    lines: Annotated[list[LineCreate], Field(min_length=1, max_length=100), AfterValidator(refuse_twice)]


class LineRead(Out):
    """Title, price and tax as they were when it was sold."""

    item_id: Annotated[int | None, Field(description="Null once the item is gone.", examples=[42])]
    title: Annotated[str, Field(examples=["A red bicycle"])]
    unit_price: Annotated[MoneyOut, Field(description="Without tax.")]
    tax_rate: RateOut
    quantity: Annotated[int, Field(examples=[2])]
    total: Annotated[MoneyOut, Field(description="Unit price with tax times quantity, rounded half up.")]


class OrderRead(Out):
    id: Annotated[int, Field(examples=[1001])]
    status: StatusName
    total: Annotated[MoneyOut, Field(description="The sum of the lines' totals.")]
    lines: list[LineRead]
    buyer_id: Annotated[int | None, Field(description="Null once the account is deleted.", examples=[7])]
    created_at: datetime


class OrderCounts(Out):
    total: int
    placed: int
    paid: int
    cancelled: int
