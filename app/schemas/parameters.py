"""Types of path and query parameters, which accept one spelling per value."""

from typing import Annotated

from pydantic import Field

from app.core.numbers import MAX_INT32
from app.schemas.base import MAX_ID
from app.schemas.text import Characters, Spelled

INTEGER = Spelled(r"^(0|-?[1-9][0-9]{0,18})$", "42")

IdParameter = Annotated[int, Field(ge=1, le=MAX_ID), INTEGER]
Int32Query = Annotated[int, Field(ge=-MAX_INT32 - 1, le=MAX_INT32), INTEGER]
LimitQuery = Annotated[int, Field(ge=1, le=100), INTEGER]
SkipQuery = Annotated[int, Field(ge=0, le=MAX_ID), INTEGER]
FlagQuery = Annotated[bool, Spelled("^(true|false)$", "true or false")]
SearchQuery = Annotated[str, Characters(100)]
KindQuery = Annotated[str, Characters(100)]
