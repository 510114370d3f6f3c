"""What the OpenAPI document shows to those who are about to send something."""

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from app.core.config.settings import Settings
from app.main import create_app

type Json = dict[str, Any]


@pytest.fixture(scope="module")
def document() -> Json:
    return create_app(Settings.model_validate({"environment": "test"})).openapi()


def operations(document: Json) -> Iterator[tuple[str, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def examples_of(schema: Json, document: Json) -> list[Any]:
    """Those that stand there; of an object or a list, else, one that is put together from those of its parts."""
    if "$ref" in schema:
        return examples_of(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document)
    if found := [*schema.get("examples", []), *([schema["example"]] if "example" in schema else [])]:
        return found
    for choice in schema.get("anyOf", []):
        if found := examples_of(choice, document):
            return found
    if "items" in schema:
        return [[one] for one in examples_of(schema["items"], document)]
    if "properties" in schema:
        return object_of(schema, document)
    return list(schema.get("enum", [True] if schema.get("type") == "boolean" else []))


def object_of(schema: Json, document: Json) -> list[Any]:
    """None where a field that must be there has no example."""
    fields = {name: examples_of(field, document) for name, field in schema["properties"].items()}
    if any(not fields[name] for name in schema.get("required", [])):
        return []
    made = {name: found[0] for name, found in fields.items() if found}
    return [made] if made else []


def test_every_body_has_an_example_that_its_schema_accepts(document: Json) -> None:
    checked = 0
    for name, operation in operations(document):
        for media_type, body in operation.get("requestBody", {}).get("content", {}).items():
            found = [body["example"]] if "example" in body else examples_of(body["schema"], document)
            assert found, f"{name} has no example of {media_type}"
            for example in found:
                jsonschema.validate(example, body["schema"] | {"components": document["components"]})
            checked += 1
    assert checked > 20


def test_every_parameter_that_must_be_there_has_an_example(document: Json) -> None:
    """Of the others an example would be sent along by whoever tries the operation on the page of the documentation."""
    required = [
        (name, parameter)
        for name, operation in operations(document)
        for parameter in operation.get("parameters", [])
        if parameter.get("required")
    ]
    assert len(required) > 10
    for name, parameter in required:
        found = "example" in parameter or examples_of(parameter["schema"], document)
        assert found, f"{name}: {parameter['name']}"
