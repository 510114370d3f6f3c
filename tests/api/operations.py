"""The operations of the OpenAPI document, with what each takes."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCUMENT: dict[str, Any] = json.loads((Path(__file__).parent / "openapi.json").read_text())
type Schema = dict[str, Any]


def resolved(schema: Schema) -> Schema:
    """With what it refers to in its place."""
    if "$ref" not in schema:
        return schema
    found: Schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found | {name: value for name, value in schema.items() if name != "$ref"}


def alternatives(schema: Schema) -> Iterator[Schema]:
    """All that it allows, `null` apart."""
    schema = resolved(schema)
    if "anyOf" in schema or "oneOf" in schema:
        for inner in [*schema.get("anyOf", ()), *schema.get("oneOf", ())]:
            yield from alternatives(inner)
    elif isinstance(schema.get("type"), list):
        for kind in schema["type"]:
            yield from alternatives(schema | {"type": kind})
    elif schema.get("type") != "null":
        yield schema


@dataclass(frozen=True)
class Operation:
    path: str
    method: str
    told: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.told["operationId"])

    @property
    def parameters(self) -> list[dict[str, Any]]:
        return list(self.told.get("parameters", ()))

    @property
    def content_types(self) -> dict[str, Any]:
        return dict(self.told.get("requestBody", {}).get("content", {}))

    @property
    def body(self) -> Schema:
        """The schema of the body's object."""
        for content in self.content_types.values():
            return next(alternatives(content["schema"]))
        return {}

    @property
    def body_members(self) -> dict[str, Schema]:
        return dict(self.body.get("properties", {}))

    @property
    def takes_little(self) -> bool:
        return self.told["tags"] in (["auth"], ["users"])

    def path_of(self, value: str) -> str:
        return re.sub(r"\{\w+\}", value, self.path)


def operations() -> list[Operation]:
    return [
        Operation(path, method.upper(), told)
        for path, methods in DOCUMENT["paths"].items()
        for method, told in methods.items()
    ]
