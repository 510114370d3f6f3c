"""Money and rates in requests: fixed-point decimals, as strings or numbers."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from app.schemas.text import Spelled


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """A bounded decimal, sent as a string of this pattern or as a number that is exact enough."""

    pattern: re.Pattern[str]
    minimum: Decimal
    maximum: Decimal
    places: int
    example: str

    def read(self, value: object) -> object:
        if isinstance(value, str):
            if not self.pattern.fullmatch(value):
                raise ValueError(f"must look like {self.example}")
            value = Decimal(value)
        if isinstance(value, bool):  # in Python `True` is an int, in JSON it is not a number
            raise ValueError("must be a number or a string with a number")  # noqa: TRY004 - Pydantic reports ValueError alone
        return value + 0 if isinstance(value, Decimal | int | float) else value  # -0 is 0

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        number = core_schema.decimal_schema(ge=self.minimum, le=self.maximum, decimal_places=self.places)
        return core_schema.no_info_before_validator_function(self.read, number)

    def __get_pydantic_json_schema__(self, _: CoreSchema, __: GetJsonSchemaHandler) -> JsonSchemaValue:
        # No `multipleOf: 0.01`: validators that compute with floats reject 0.07.
        bounds = {"minimum": float(self.minimum), "maximum": float(self.maximum)}
        return {
            "description": f"A decimal with at most {self.places} places, best sent as a string.",
            "examples": [self.example],
            "anyOf": [{"type": "string", "pattern": f"^{self.pattern.pattern}$"}, {"type": "number", **bounds}],
        }


def in_query(kind: FixedPoint) -> tuple[FixedPoint, Spelled, WithJsonSchema]:
    """For query parameters, which are text: the string form only."""
    pattern = f"^{kind.pattern.pattern}$"
    told = {"type": "string", "pattern": pattern, "examples": [kind.example]}
    return kind, Spelled(pattern, kind.example), WithJsonSchema(told, mode="validation")


PRICE = FixedPoint(re.compile(r"[0-9]{1,7}(\.[0-9]{1,2})?"), Decimal(0), Decimal("9999999.99"), 2, "19.99")
RATE = FixedPoint(re.compile(r"(0(\.[0-9]{1,4})?|1(\.0{1,4})?)"), Decimal(0), Decimal(1), 4, "0.19")
AMOUNT = FixedPoint(
    re.compile(r"-?[0-9]{1,10}(\.[0-9]{1,2})?"), Decimal("-9999999999.99"), Decimal("9999999999.99"), 2, "19.99"
)

# Named schemas, so that generators without unions can map them to a type.
type Price = Annotated[Decimal, PRICE]
type TaxRate = Annotated[Decimal, RATE]
type Amount = Annotated[Decimal, AMOUNT]
PriceQuery = Annotated[Decimal, *in_query(PRICE)]
AmountQuery = Annotated[Decimal, *in_query(AMOUNT)]
