"""What fields of resources hold: each type accepts what its JSON Schema says, and nothing else."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    StrictInt,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue

from app.core.numbers import MAX_INT32
from app.schemas.base import NotBlank, Text, decimal_schema, integral, refuse_bool

MAX_AMOUNT = Decimal("9999999999.99")
FIRST_YEAR = -3000
AMOUNT = r"^-?[0-9]{1,10}(\.[0-9]{1,2})?$"
FULL_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
DATE_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$"
WORD = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
HOST = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
EMAIL = rf"^{WORD}(\.{WORD})*@({HOST}\.)+[A-Za-z]{{2,63}}$"
# Without a user's name and password before the host: an address is shown to others.
URL = rf"^https?://{HOST}(\.{HOST})*(:[0-9]{{1,5}})?([/?#][A-Za-z0-9!#$%&'()*+,./:;=?@_~\[\]-]*)?$"


def is_like(pattern: str, example: str) -> BeforeValidator:
    """Of the many spellings that Pydantic takes, the one that the JSON Schema names."""

    def check(value: object) -> object:
        if isinstance(value, str) and not re.fullmatch(pattern.removesuffix("$"), value):
            raise ValueError(f"must look like {example}")
        return value

    return BeforeValidator(check)


def refuse_number(value: object) -> object:
    """Pydantic takes a number for the time since 1970; RFC 3339 has no such thing."""
    if isinstance(value, int | float):
        raise ValueError("must be a string")  # noqa: TRY004 - Pydantic reports ValueError alone
    return value


def in_utc(instant: datetime) -> datetime:
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be an instant of the years 1 to 9999 in UTC") from None


def next_year() -> int:
    return datetime.now(UTC).year + 1


def refuse_far_years(year: int) -> int:
    if year > next_year():
        raise ValueError("must not be after next year")
    return year


class UpToNextYear:
    """Tells the bound in the JSON Schema of the day on which that is made."""

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        made: dict[str, Any] = handler(schema)
        return made | {"maximum": next_year()}


Line255 = Annotated[NotBlank, StringConstraints(max_length=255)]
LongText = Annotated[Text, Field(max_length=10_000)]
Email = Annotated[str, StringConstraints(pattern=EMAIL, max_length=254)]
Url = Annotated[str, StringConstraints(pattern=URL, max_length=2000)]
Int32 = Annotated[StrictInt, Field(ge=-MAX_INT32 - 1, le=MAX_INT32), BeforeValidator(integral)]
Year = Annotated[
    StrictInt,
    Field(ge=FIRST_YEAR),
    AfterValidator(refuse_far_years),
    BeforeValidator(integral),
    UpToNextYear(),
]
Amount = Annotated[
    Decimal,
    Field(ge=-MAX_AMOUNT, le=MAX_AMOUNT, decimal_places=2),
    AfterValidator(lambda amount: amount + 0),  # -0 is 0
    is_like(AMOUNT, "-19.99"),
    BeforeValidator(refuse_bool),
    WithJsonSchema(
        decimal_schema(pattern=AMOUNT, minimum=-9_999_999_999.99, maximum=9_999_999_999.99, places=2, example="19.99"),
        mode="validation",
    ),
]
Day = Annotated[date, is_like(FULL_DATE, "2026-11-22"), BeforeValidator(refuse_number)]
Instant = Annotated[
    AwareDatetime,
    AfterValidator(in_utc),
    is_like(DATE_TIME, "2026-11-22T00:00:00Z"),
    BeforeValidator(refuse_number),
    Field(examples=["2026-11-22T00:00:00Z"]),
]
# In queries, where numbers are texts.
Int32Query = Annotated[int, Field(ge=-MAX_INT32 - 1, le=MAX_INT32)]
