"""Field types of resources; each accepts exactly what its JSON Schema says."""

from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    StrictInt,
    StringConstraints,
)
from pydantic.json_schema import JsonSchemaValue

from app.core.numbers import MAX_INT32
from app.schemas.base import integral
from app.schemas.decimals import Amount
from app.schemas.text import Characters, Spelled

__all__ = ["Amount", "Day", "Email", "Instant", "Int32", "Line255", "LongText", "Url", "Year"]

FIRST_YEAR = -3000
MONTH_AND_DAY = "(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?"
OFFSET = "([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
FULL_DATE = f"^[0-9]{{4}}-{MONTH_AND_DAY}$"
DATE_TIME = f"^[0-9]{{4}}-{MONTH_AND_DAY}[Tt]{TIME}{OFFSET}$"
WORD = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
HOST = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
EMAIL = rf"^{WORD}(\.{WORD})*@({HOST}\.)+[A-Za-z]{{2,63}}$"
# Without userinfo before the host: the URL is shown to others.
URL = rf"^https?://{HOST}(\.{HOST})*(:[0-9]{{1,5}})?([/?#][A-Za-z0-9!#$%&'()*+,./:;=?@_~\[\]-]*)?$"


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
    """Puts the bound of the current year into the JSON Schema when that is generated."""

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        made: dict[str, Any] = handler(schema)
        return made | {"maximum": next_year()}


Line255 = Annotated[str, Characters(255, is_line=True, may_be_blank=False)]
LongText = Annotated[str, Characters(10_000)]
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
Day = Annotated[date, Spelled(FULL_DATE, "2026-11-22")]
Instant = Annotated[
    AwareDatetime,
    AfterValidator(in_utc),
    Spelled(DATE_TIME, "2026-11-22T00:00:00Z"),
    Field(examples=["2026-11-22T00:00:00Z"]),
]
