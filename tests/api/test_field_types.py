"""Each type that fields and parameters can have takes what its JSON Schema says, and nothing else."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from app.schemas import fields, parameters
from app.schemas.base import Count, Flag, JsonId, Version
from app.schemas.decimals import AmountQuery, Price, PriceQuery, TaxRate
from tests.api.allowed import fits, fits_as_text, has_more_places
from tests.api.odd_values import odd_json, odd_texts
from tests.api.operations import Schema, alternatives

FIELDS = {name: getattr(fields, name) for name in fields.__all__} | {
    "Count": Count,
    "Flag": Flag,
    "JsonId": JsonId,
    "Price": Price,
    "TaxRate": TaxRate,
    "Version": Version,
}
PARAMETERS = {name: kind for name, kind in vars(parameters).items() if name.endswith(("Query", "Parameter"))} | {
    "AmountQuery": AmountQuery,
    "Day": fields.Day,
    "Instant": fields.Instant,
    "PriceQuery": PriceQuery,
}

PLACES = {"Price": 2, "Amount": 2, "TaxRate": 4}


def is_taken(adapter: TypeAdapter[Any], value: object) -> bool:
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True


def schema_of(adapter: TypeAdapter[Any]) -> Schema:
    return adapter.json_schema()


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_takes_what_its_schema_says(name: str) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(FIELDS[name])
    schema = schema_of(adapter)
    values = [value for kind in alternatives(schema) for value in odd_json(kind)]
    values = [value for value in values if name not in PLACES or not has_more_places(value, PLACES[name])]
    assert len(values) > 10
    assert [value for value in values if is_taken(adapter, value) is not fits(schema, value)] == []


@pytest.mark.parametrize("name", PLACES)
def test_a_number_of_more_places_is_refused_though_no_schema_says_so(name: str) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(FIELDS[name])
    finest = 10 ** -PLACES[name]
    assert is_taken(adapter, finest)
    assert not is_taken(adapter, finest / 10)
    assert not is_taken(adapter, f"{finest / 10:f}")


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_parameter_takes_what_its_schema_says(name: str) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(PARAMETERS[name])
    schema = schema_of(adapter)
    texts = [text for kind in alternatives(schema) for text in odd_texts(kind)]
    assert len(texts) > 5
    assert [text for text in texts if is_taken(adapter, text) is not fits_as_text(schema, text)] == []
