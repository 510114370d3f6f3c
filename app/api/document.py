"""Post-processing of the OpenAPI document for client generators: null as a type, no defaults in responses."""

import math
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from app.core.numbers import MAX_INT32

type Node = dict[str, Any]

REFERENCE = "#/components/schemas/"
# The keys of these objects are names chosen by people, which may equal a keyword.
NAMED = {"$defs", "content", "headers", "paths", "patternProperties", "properties", "responses", "schemas"}
VALUES = {"const", "default", "enum", "example", "examples"}
BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
OR_NULL = "OrNull"
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def simplify(document: Node) -> None:
    """Rewrite the document in place without changing its meaning.

    Pydantic's `anyOf: [X, null]` makes generators for Swift and Kotlin silently omit the member.
    """
    schemas = document["components"]["schemas"]
    operations = [node for node in nodes(document) if "operationId" in node]
    for operation in operations:
        for schema in never_null(operation, schemas):
            remove_null(schema)
            if schema.get("default") == "":  # the default of an omitted parameter
                del schema["default"]
    for node in list(nodes(document)):
        merge_null(node)
        specify_size(node)
        remove_titles(node)
    add_siblings(document, schemas)
    responses = [{"responses": operation["responses"]} for operation in operations]
    for schema in [*responses, *(schemas[name] for name in response_schemas(responses, schemas))]:
        for node in nodes(schema):
            node.pop("default", None)


def nodes(node: Any, *, is_named: bool = False) -> Iterator[Node]:
    """Every object of the document that is not an example or other value, depth first."""
    if isinstance(node, list):
        for inner in node:
            yield from nodes(inner)
    elif isinstance(node, dict):
        for name, inner in node.items():
            if is_named or name not in VALUES:
                yield from nodes(inner, is_named=not is_named and name in NAMED)
        if not is_named:
            yield node


def never_null(operation: Node, schemas: Node) -> Iterator[Node]:
    """Schemas that are omitted rather than null: parameters, bodies and form fields. Only JSON has null."""
    yield from (parameter["schema"] for parameter in operation.get("parameters", ()) if "schema" in parameter)
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        body = content.get("schema", {})
        yield body
        if media_type in FORMS:
            yield from schemas.get(referred(body), body).get("properties", {}).values()


def referred(schema: Node) -> str:
    return str(schema.get("$ref", "")).removeprefix(REFERENCE)


def is_null(schema: Node) -> bool:
    return schema.get("type") == "null"


def remove_null(schema: Node) -> bool:
    """Remove null from the alternatives; return whether it was there."""
    for word in ("anyOf", "oneOf"):
        kinds = [kind for kind in schema.get(word, ()) if not is_null(kind)]
        if len(kinds) < len(schema.get(word, ())):
            rest = {name: value for name, value in schema.items() if name != word}
            schema.clear()
            # Keywords of the member itself, such as its description, win.
            schema |= (kinds[0] if len(kinds) == 1 else {word: kinds}) | rest
            return True
    return False


def merge_null(schema: Node) -> None:
    if remove_null(schema):
        allow_null(schema)


def allow_null(schema: Node) -> None:
    """The first of several alternatives gets it; a `$ref` points to an `XOrNull` schema instead."""
    if "$ref" in schema:
        schema["$ref"] += OR_NULL
    if "type" in schema:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        schema["type"] = [*kinds, "null"]
    for word in schema.keys() & {"anyOf", "oneOf"}:
        allow_null(schema[word][0])
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    if "enum" in schema:
        schema["enum"] = [*schema["enum"], None]


def add_siblings(document: Node, schemas: Node) -> None:
    """Add each referenced `XOrNull`; they may reference others."""
    while missing := {name for node in nodes(document) if (name := referred(node)).endswith(OR_NULL)} - schemas.keys():
        for name in sorted(missing):
            schemas[name] = deepcopy(schemas[name.removesuffix(OR_NULL)]) | {"title": name}
            allow_null(schemas[name])


def specify_size(schema: Node) -> None:
    """Generators default to 32-bit integers; and FastAPI writes the bound 100 as 100.0."""
    for word in BOUNDS:
        bound = schema.get(word)
        if isinstance(bound, float) and bound.is_integer():
            schema[word] = int(bound)
    if "integer" in schema.get("type", ()) and schema.get("maximum", math.inf) > MAX_INT32:
        schema.setdefault("format", "int64")


def remove_titles(node: Node) -> None:
    """Titles of members and parameters repeat their names, and generators turn them into duplicate class names."""
    for schema in [*node.get("properties", {}).values(), *([node["schema"]] if "schema" in node else [])]:
        schema.pop("title", None)


def response_schemas(responses: list[Node], schemas: Node) -> set[str]:
    """The schemas that responses use, directly or nested."""
    found: set[str] = set()
    todo = [*responses]
    while todo:
        names = {referred(node) for node in nodes(todo.pop())} & schemas.keys()
        todo += [schemas[name] for name in names - found]
        found |= names
    return found
