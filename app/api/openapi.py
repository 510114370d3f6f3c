"""The OpenAPI document: FastAPI's, with Strata's error schemas in place of its own."""

from typing import Any

from fastapi import FastAPI

from app.api.document import REFERENCE, simplify
from app.schemas.base import Problem, ValidationProblem
from app.services.auth.scopes import Scopes

DESCRIPTION = """
Accounts, items and more over REST. Register, log in, and send the access token as `Authorization: Bearer <token>`.

Errors are `application/problem+json`; switch on their `code`. Lists go on with `cursor`. Single resources carry an
`ETag`: send it back as `If-None-Match` to save a transfer, as `If-Match` to change only what you have seen.
"""


class OpenAPIApp(FastAPI):
    """FastAPI whose document knows the problem schemas that `app.api.errors.responses` refers to."""

    def __init__(self, *, scopes: Scopes | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.scopes = scopes or Scopes.of([])

    def openapi(self) -> dict[str, Any]:
        before = self.openapi_schema
        document = super().openapi()
        if document is not before:
            add_problems(document.setdefault("components", {}).setdefault("schemas", {}))
            simplify(document)
            describe_scopes(document, self.scopes)
        return document


def describe_scopes(document: dict[str, Any], scopes: Scopes) -> None:
    for scheme in document["components"].get("securitySchemes", {}).values():
        for flow in scheme.get("flows", {}).values():
            flow["scopes"] = {scope.name: scope.text for scope in scopes.by_name.values()}


def add_problems(schemas: dict[str, Any]) -> None:
    for model in (Problem, ValidationProblem):
        schema = model.model_json_schema(ref_template=REFERENCE + "{model}", mode="serialization")
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
