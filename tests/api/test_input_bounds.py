"""What a request may hold has an end, whatever the operation: read from the OpenAPI document."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.operations import Schema, operations, resolved

BRACKETS = re.compile(r"\[(?:\\.|[^\]])*\]")
# Repeats without a most.
ENDLESS = re.compile(r"(?<!\\)[*+]|\{\d+,\}")
MOST_CHARACTERS = 10_000
MOST_ITEMS = 1000


def faults(schema: Schema, where: str, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """Each place that takes any amount of something."""
    reference = schema.get("$ref", "")
    if reference in seen:
        return
    schema, seen = resolved(schema), seen | ({reference} - {""})
    variants = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]
    if isinstance(schema.get("type"), list):
        variants += [schema | {"type": kind} for kind in schema["type"]]
    for number, variant in enumerate(variants):
        yield from faults(variant, f"{where}|{number}", seen)
    if not variants and not is_bounded(schema, where):
        yield f"{where}: {schema.get('type', 'anything')} without a bound"
    if "items" in schema:
        yield from faults(schema["items"], f"{where}[]", seen)
    for name, inner in schema.get("properties", {}).items():
        yield from faults(inner, f"{where}.{name}", seen)


def is_bounded(schema: Schema, where: str) -> bool:
    if "enum" in schema or "const" in schema:
        return True
    match schema.get("type"):
        case "string":
            return is_short(schema)
        case "array":
            return bool(schema.get("maxItems", MOST_ITEMS + 1) <= MOST_ITEMS)
        case "integer" | "number":
            return {"minimum", "maximum"} <= schema.keys()
        case "object":
            # The number of a form's fields is bounded where it is read: OAuth 2 has unknown ones ignored.
            return schema.get("additionalProperties", True) is False or where.endswith(" form")
    return schema.get("type") in {"boolean", "null"}


def is_short(schema: Schema) -> bool:
    if "maxLength" in schema:
        return bool(schema["maxLength"] <= MOST_CHARACTERS)
    pattern = schema.get("pattern", "")
    return pattern[:1] == "^" and pattern[-1:] == "$" and not ENDLESS.search(BRACKETS.sub("x", pattern))


def requests() -> Iterator[tuple[str, Any]]:
    """Every schema that a part of a request has."""
    for operation in operations():
        for parameter in operation.parameters:
            yield f"{operation.id} {parameter['in']} {parameter['name']}", parameter["schema"]
        for content_type, content in operation.content_types.items():
            yield f"{operation.id} {'body' if content_type == 'application/json' else 'form'}", content["schema"]


def test_nothing_of_a_request_is_without_a_bound() -> None:
    checked = dict(requests())
    assert {"auth_login form", "auth_token form", "items_create body", "items_read header if-none-match"} <= set(
        checked
    )
    assert {"items_read path item_id", "auth_refresh cookie refresh_token"} <= set(checked)
    assert [fault for where, schema in checked.items() for fault in faults(schema, where)] == []


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string"},
        {"type": "string", "maxLength": 10_001},
        {"type": "string", "pattern": "[a-z]{1,3}"},
        {"type": "string", "pattern": "^[a-z]+$"},
        {"type": "string", "pattern": "^[a-z]{3,}$"},
        {"type": "string", "format": "date-time"},
        {"type": "integer", "minimum": 0},
        {"type": "number", "maximum": 1},
        {"type": "array", "items": {"type": "boolean"}},
        {"type": "array", "maxItems": 10, "items": {"type": "string"}},
        {"type": "object"},
        {"type": "object", "additionalProperties": False, "properties": {"a": {}}},
        {"anyOf": [{"type": "null"}, {"type": "string"}]},
        {"type": ["string", "null"]},
        {},
    ],
)
def test_the_walk_finds_what_has_no_bound(schema: Schema) -> None:
    assert len(list(faults(schema, "here"))) == 1
