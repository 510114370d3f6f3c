"""What requests and answers have in common: strict input, complete output, pages, money."""

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictBool,
    StrictInt,
    StringConstraints,
    WithJsonSchema,
)

from app.core.numbers import MAX_INT32

MAX_ID = 2**63 - 1
# What every reader of JSON has exactly (RFC 8259 section 6): OpenAPI's own bounds are such numbers.
MAX_JSON_INTEGER = 2**53 - 1
MAX_PRICE = Decimal("9999999.99")
# Unicode's category Cc without tab, line feed and carriage return, for a regular expression's brackets.
CONTROL_CHARACTERS = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"


def refuse_control_characters(text: str) -> str:
    """PostgreSQL can't store NUL, and the others only do harm in a terminal or a log."""
    if re.search(rf"[{CONTROL_CHARACTERS}]", text):
        raise ValueError("must not contain control characters")
    return text


def refuse_bool(value: object) -> object:
    """JSON's `true` is no number, whatever Python thinks."""
    if isinstance(value, bool):
        raise ValueError("must be a number or a string with a number")  # noqa: TRY004 - Pydantic reports ValueError alone
    return value


def integral(value: object) -> object:
    """JSON knows one kind of number: 5.0 is the integer 5. A string or a boolean is none."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def two_places(amount: Decimal) -> str:
    return f"{amount:.2f}"


def plain(rate: Decimal) -> str:
    """0.1900 as `0.19`, and never with an exponent."""
    return f"{rate.normalize():f}"


def decimal_schema(*, pattern: str, maximum: float, places: int, example: str, minimum: float = 0) -> dict[str, Any]:
    """JSON Schema of a decimal up to `maximum`, sent as a string or, where that is exact enough, a number."""
    return {
        "anyOf": [
            {"type": "string", "pattern": pattern},
            {"type": "number", "minimum": minimum, "maximum": maximum, "multipleOf": 10**-places},
        ],
        "description": f"A decimal with at most {places} places.",
        "examples": [example],
    }


Id = Annotated[int, Field(ge=1, le=MAX_ID)]
JsonId = Annotated[StrictInt, Field(ge=1, le=MAX_JSON_INTEGER), BeforeValidator(integral)]
Flag = StrictBool
Count = Annotated[StrictInt, Field(ge=0, le=MAX_INT32), BeforeValidator(integral)]
Version = Annotated[StrictInt, Field(ge=1, le=MAX_INT32), BeforeValidator(integral)]
Text = Annotated[
    str,
    AfterValidator(refuse_control_characters),
    Field(json_schema_extra={"pattern": rf"^[^{CONTROL_CHARACTERS}]*$"}),
]
Line = Annotated[Text, StringConstraints(strip_whitespace=True)]
# At least one character that is not white space, for those who read the schema alone.
NotBlank = Annotated[
    Line,
    StringConstraints(min_length=1),
    Field(
        json_schema_extra={
            "pattern": rf"^[^{CONTROL_CHARACTERS}]*[^\s{CONTROL_CHARACTERS}][^{CONTROL_CHARACTERS}]*$",
        }
    ),
]
Price = Annotated[
    Decimal,
    Field(ge=0, le=MAX_PRICE, decimal_places=2),
    BeforeValidator(refuse_bool),
    WithJsonSchema(
        decimal_schema(pattern=r"^\d{1,7}(\.\d{1,2})?$", maximum=9_999_999.99, places=2, example="19.99"),
        mode="validation",
    ),
]
TaxRate = Annotated[
    Decimal,
    Field(ge=0, le=1, decimal_places=4),
    BeforeValidator(refuse_bool),
    WithJsonSchema(
        decimal_schema(pattern=r"^(0(\.\d{1,4})?|1(\.0{1,4})?)$", maximum=1, places=4, example="0.19"),
        mode="validation",
    ),
]
MoneyOut = Annotated[
    Decimal,
    PlainSerializer(two_places, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^-?\d+\.\d{2}$", "examples": ["19.99"]}, mode="serialization"),
]
RateOut = Annotated[
    Decimal,
    PlainSerializer(plain, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?$", "examples": ["0.19"]}, mode="serialization"),
]


class In(BaseModel):
    """A request's body. A field nobody knows is a mistake worth telling."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Out(BaseModel):
    """An answer's body, read from a row. No defaults: clients are told that every field is there."""

    model_config = ConfigDict(from_attributes=True)


class Page[T](Out):
    """A part of a list, and the cursor that continues it."""

    items: list[T]
    total: int | None = Field(description="How many there are in all; null with `include_total=false`.")
    skip: int
    limit: int
    next_cursor: str | None = Field(description="Pass as `cursor` for the next page; null on the last one.")


class CursorMeta(Out):
    next_cursor: str | None = Field(description="Pass as `cursor` for the next page; null on the last one.")
    limit: int


class CursorPage[T](Out):
    """A part of a list, as `/api/v2` shows it."""

    data: list[T]
    meta: CursorMeta


class Message(Out):
    message: str


class FieldFault(Out):
    """One thing that is wrong with a request."""

    loc: list[str | int]
    msg: str
    type: str


class Problem(Out):
    """An error, as RFC 9457 has it. Switch on `code`; it does not change."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no item with id 7."])
    code: str = Field(examples=["item_not_found"])
    request_id: str = Field(examples=["4f1c2a9be07d4c1b8c55f4b1a0f3d9e2"])


class ValidationProblem(Problem):
    """A problem with the request's own content, field by field."""

    errors: list[FieldFault]
