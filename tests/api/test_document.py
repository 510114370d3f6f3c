"""What generators of clients and validators of JSON rely on in the OpenAPI document, those of modules included."""

import json
import random
from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from fastapi import Body, Form, Query
from fastapi.openapi.models import OpenAPI
from pydantic import BaseModel, TypeAdapter

from app.api.openapi import OpenAPIApp
from app.api.router import Router
from app.schemas.base import MoneyOut, Out
from app.schemas.decimals import Price, TaxRate
from tests.api.allowed import fits
from tests.api.operations import DOCUMENT, Schema, operations, resolved

SCHEMAS = DOCUMENT["components"]["schemas"]
NAMED = {"properties", "schemas", "paths", "responses", "content", "headers"}
VALUES = {"examples", "example", "default", "enum", "const"}


def nodes(node: Any, where: str = "", *, is_named: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of the document but for values, by its place."""
    if isinstance(node, list):
        for number, inner in enumerate(node):
            yield from nodes(inner, f"{where}/{number}")
    elif isinstance(node, dict):
        if not is_named:
            yield where, node
        for name, inner in node.items():
            if is_named or name not in VALUES:
                yield from nodes(inner, f"{where}/{name}", is_named=name in NAMED and not is_named)


def shown() -> dict[str, Schema]:
    """The schemas of all bodies of answers, and those within them."""
    found: dict[str, Schema] = {}
    todo: list[Any] = [{"responses": operation.told["responses"]} for operation in operations()]
    while todo:
        for where, node in nodes(todo.pop()):
            name = str(node.get("$ref", "")).rpartition("/")[2]
            if name and name not in found:
                found[name] = SCHEMAS[name]
                todo.append(SCHEMAS[name])
            assert "default" not in node, where
    return found


def nulls_among_alternatives(document: Any) -> list[str]:
    return [
        where
        for where, node in nodes(document)
        for word in ("anyOf", "oneOf", "allOf")
        if any(kind.get("type") == "null" for kind in node.get(word, ()))
    ]


def test_null_is_a_type_and_never_an_alternative() -> None:
    assert nulls_among_alternatives(DOCUMENT) == []
    assert SCHEMAS["ItemRead"]["properties"]["sku"]["type"] == ["string", "null"]
    assert SCHEMAS["ItemUpdate"]["properties"]["description"]["type"] == ["string", "null"]
    assert SCHEMAS["OrderRead"]["properties"]["buyer_id"]["type"] == ["integer", "null"]


def test_what_is_left_out_of_parameters_and_forms_is_neither_null_nor_an_empty_default() -> None:
    forms = {"LoginForm", "TokenForm"}
    for where, node in nodes([operation.parameters for operation in operations()] + [SCHEMAS[name] for name in forms]):
        assert "null" not in node.get("type", ()), where
        assert node.get("default") != "", where
    assert not any("null" in json.dumps(operation.told["requestBody"]) for operation in operations() if operation.body)


def test_a_schema_has_no_twin() -> None:
    assert [name for name in SCHEMAS if name.endswith(("-Input", "-Output")) or "__" in name] == []


def test_no_schema_of_an_answer_has_a_default_and_what_is_always_there_is_required() -> None:
    left_out = {"TokenRead": {"refresh_token"}}
    assert {"ItemRead", "Page_ItemRead_", "Owner", "Problem", "FieldFault", "Info", "PublicKeys"} <= set(shown())
    for name, schema in shown().items():
        optional = set(schema.get("properties", ())) - set(schema.get("required", ()))
        assert optional == left_out.get(name, set()), name


def test_each_enum_is_described() -> None:
    """By itself, or where it is referred to."""
    for where, node in nodes(DOCUMENT):
        for inner in [*node.get("properties", {}).values(), *([node["schema"]] if "schema" in node else [])]:
            if "enum" in resolved(inner):
                assert resolved(inner).get("description") or node.get("description"), where
    told = json.dumps([SCHEMAS["UserRead"]["properties"]["role"], SCHEMAS["OrderRead"]["properties"]["status"]])
    assert all(value in told for value in ('"user"', '"admin"', '"placed"', '"paid"', '"cancelled"'))


def test_numbers_are_such_that_validators_compute_exactly() -> None:
    for where, node in nodes(DOCUMENT):
        assert isinstance(node.get("multipleOf", 1), int), where
        if "integer" in node.get("type", ()):
            bounds = [node[word] for word in ("minimum", "maximum") if word in node]
            assert all(type(bound) is int for bound in bounds), where
            assert node.get("format") == "int64" or node["maximum"] < 2**31, where


def test_members_and_parameters_have_no_titles_that_repeat_their_names() -> None:
    assert [where for where, node in nodes(DOCUMENT) if "title" in node and "/schemas/" not in where] == ["/info"]
    assert [where for where, node in nodes(DOCUMENT) if "title" in node and "/properties/" in where] == []


def test_the_document_is_one_of_openapi_and_each_schema_one_of_json_schema() -> None:
    OpenAPI.model_validate(DOCUMENT)
    for schema in SCHEMAS.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for parameter in [parameter for operation in operations() for parameter in operation.parameters]:
        jsonschema.Draft202012Validator.check_schema(parameter["schema"])


def cents() -> list[int]:
    some = random.Random(20261127)
    return [*range(200), 999_999_998, 999_999_999, *(some.randrange(10**9) for _ in range(500))]


def test_every_price_that_is_sent_or_taken_fits_the_document() -> None:
    sent, taken = TypeAdapter(MoneyOut), TypeAdapter[Any](Price)
    for amount in cents():
        text = f"{amount // 100}.{amount % 100:02}"
        for value in (text, float(text), text.rstrip("0").rstrip(".")):
            assert f"{taken.validate_python(value):.2f}" == text
            assert fits(SCHEMAS["Price"], value), value
        shown = sent.dump_python(Decimal(text), mode="json")
        assert shown == text
        assert fits(SCHEMAS["ItemRead"]["properties"]["price"], shown), shown


@pytest.mark.parametrize("value", ["-0.01", -1, -0.5, "10000000.00", 10_000_000, "0.001", "1e3", "", True, None])
def test_what_is_no_price_does_not_fit_the_document(value: object) -> None:
    assert not fits(SCHEMAS["Price"], value)


def test_every_tax_rate_that_is_taken_fits_the_document() -> None:
    taken = TypeAdapter[Any](TaxRate)
    for rate in range(0, 10_001, 7):
        taken.validate_python(rate / 10_000)
        assert fits(SCHEMAS["TaxRate"], rate / 10_000), rate


# What a module may have in its answers and requests.
class Colour(StrEnum):
    """What it looks like."""

    RED = "red"


class Leaf(Out):
    parent: "Leaf | None"
    price: Price | None
    colour: Colour | None
    kind: Literal["leaf"] | None
    size: int | str | None
    tags: list[str] | None
    note: str = "none"


NOTHING: dict[str, Any] = dict.fromkeys(("parent", "price", "colour", "kind", "size", "tags")) | {"note": "none"}


class Question(BaseModel):
    text: str | None = None
    sizes: list[int] | None = None


@pytest.fixture
def module() -> dict[str, Any]:
    router, app = Router(prefix="/leaves", tags=["leaves"]), OpenAPIApp()

    @router.post("", response_model=Leaf | None, operation_id="leaves_ask")
    async def ask(
        question: Annotated[Question | None, Body()] = None, colour: Annotated[Colour | None, Query()] = None
    ) -> None: ...

    @router.post(
        "/form",
        response_model=list[Leaf | None],
        operation_id="leaves_form",
        responses={"default": {"content": {"text/plain": {"schema": {"type": "string", "default": "sorry"}}}}},
    )
    async def fill(form: Annotated[Question, Form()]) -> None: ...

    app.include_router(router)
    return app.openapi()


def test_a_modules_null_is_a_type_too(module: dict[str, Any]) -> None:
    assert nulls_among_alternatives(module) == []
    jsonschema.Draft202012Validator.check_schema(module["components"]["schemas"]["Leaf"])
    names = {str(node["$ref"]) for _, node in nodes(module) if "$ref" in node}
    assert {name.rpartition("/")[2] for name in names} <= set(module["components"]["schemas"])
    leaf = module["components"]["schemas"]["Leaf"]
    assert leaf["properties"]["parent"]["$ref"] == "#/components/schemas/LeafOrNull"
    assert "null" not in json.dumps(module["paths"]["/leaves"]["post"]["requestBody"])
    assert "null" not in json.dumps(module["paths"]["/leaves"]["post"]["parameters"])
    assert "note" in leaf["required"]
    failure = module["paths"]["/leaves/form"]["post"]["responses"]["default"]
    assert failure["content"] == {"text/plain": {"schema": {"type": "string"}}}
    assert "default" not in module["components"]["schemas"]["LeafOrNull"]["properties"]["note"]


@pytest.mark.parametrize(
    ("changes", "is_valid"),
    [
        ({}, True),
        ({"parent": NOTHING | {"price": "1", "tags": []}}, True),
        ({"colour": "red", "kind": "leaf", "size": 1, "tags": ["a"]}, True),
        ({"size": "one"}, True),
        ({"colour": "blue"}, False),
        ({"kind": "branch"}, False),
        ({"parent": {}}, False),
        ({"tags": [None]}, False),
    ],
)
def test_a_modules_schema_still_says_what_it_said(
    module: dict[str, Any], changes: dict[str, Any], *, is_valid: bool
) -> None:
    schema = {"$ref": "#/components/schemas/Leaf", "components": module["components"]}
    assert jsonschema.Draft202012Validator(schema).is_valid(NOTHING | changes) is is_valid


def test_the_document_is_made_once_and_made_anew_for_new_routes() -> None:
    app = OpenAPIApp()
    assert app.openapi() is app.openapi()
    first = app.openapi()

    @app.get("/more", operation_id="more_read")
    async def read(q: str | None = None) -> None: ...

    assert "/more" in app.openapi()["paths"]
    assert "/more" not in first["paths"]
    assert nulls_among_alternatives(app.openapi()) == []
