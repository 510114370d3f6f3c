"""Base classes of request and response bodies: strict input, complete output, pages."""

from decimal import Decimal
from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictBool,
    StrictInt,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app.core.numbers import MAX_INT32

MAX_ID = 2**63 - 1
# Integers that every JSON parser represents exactly (RFC 8259 section 6), OpenAPI's bounds among them.
MAX_JSON_INTEGER = 2**53 - 1
# Unknown members are reported by name, up to a limit.
MAX_UNKNOWN_MEMBERS = 10
# Errors reported per request.
MAX_FAULTS = 50


def integral(value: object) -> object:
    """JSON has one number type: 5.0 is the integer 5. Strings and booleans are rejected."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def two_places(amount: Decimal) -> str:
    return f"{amount:.2f}"


def plain(rate: Decimal) -> str:
    """Format 0.1900 as `0.19`, never with an exponent."""
    return f"{rate.normalize():f}"


JsonId = Annotated[StrictInt, Field(ge=1, le=MAX_JSON_INTEGER), BeforeValidator(integral)]
Flag = StrictBool
Count = Annotated[StrictInt, Field(ge=0, le=MAX_INT32), BeforeValidator(integral)]
Version = Annotated[StrictInt, Field(ge=1, le=MAX_INT32), BeforeValidator(integral)]
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

    max_members: ClassVar[int] = 0

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        cls.max_members = len(cls.model_fields) + MAX_UNKNOWN_MEMBERS

    @model_validator(mode="before")
    @classmethod
    def refuse_too_many_members(cls, data: Any) -> Any:
        """Checked first, since otherwise each member becomes an error of its own."""
        if isinstance(data, dict) and len(data) > cls.max_members:
            limit = {"limit": cls.max_members}
            raise PydanticCustomError("too_many_members", "Must have at most {limit} members", limit)
        return data


class Out(BaseModel):
    """A response body, read from a row. No defaults: clients can rely on every field."""

    model_config = ConfigDict(from_attributes=True, json_schema_serialization_defaults_required=True)


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

    errors: Annotated[list[FieldFault], Field(max_length=MAX_FAULTS, description="At most 50 are told.")]
