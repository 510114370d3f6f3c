"""The OpenAPI document: every operation secured or meant to be public, named, described, and as clients know it."""

import json
import re
from ast import literal_eval
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.core.config.settings import Settings
from app.main import create_app, registered_scopes
from app.schemas.fields import FIRST_YEAR

SNAPSHOT = Path(__file__).parent / "openapi.json"
PUBLIC = {
    "system_health",
    "system_ready",
    "system_info",
    "system_jwks",
    "auth_register",
    "auth_login",
    "auth_refresh",
    "auth_logout",
    "auth_token",
    "auth_forgot_password",
    "auth_reset_password",
    "auth_verify_email",
}
# Of the token endpoint, whose errors of its own have the form of RFC 6749; what the layers around it say has ours.
OAUTH_ERRORS = {"400", "401", "429", "503", "507"}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    settings = Settings(environment="test", data_dir=tmp_path_factory.mktemp("data"), log_level="warning")
    return create_app(settings).openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def said_to_be_public() -> set[str]:
    """By the tests of resources that anybody may read."""
    tests = (path.read_text() for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__))
    lines = (line for text in tests for line in re.findall(r"^PUBLIC = (.+)$", text, re.MULTILINE))
    return {name for line in lines for name in literal_eval(line)}


def timeless(node: Any) -> Any:
    """Without what the calendar changes: the last year that a `Year` may be."""
    if isinstance(node, dict):
        is_year = node.get("minimum") == FIRST_YEAR
        return {key: timeless(value) for key, value in node.items() if not (is_year and key == "maximum")}
    return [timeless(value) for value in node] if isinstance(node, list) else node


def test_the_document_is_the_one_clients_know(document: dict[str, Any]) -> None:
    """A change here is a change for every client: make it on purpose, with
    `uv run strata openapi --output tests/api/openapi.json`.
    """
    assert timeless(document) == timeless(json.loads(SNAPSHOT.read_text()))


def test_every_operation_is_secured_or_public_on_purpose(document: dict[str, Any]) -> None:
    found = {operation["operationId"]: operation.get("security") for _, _, operation in operations(document)}
    assert len(found) == sum(1 for _ in operations(document)), "operation ids are unique"
    assert {name for name, security in found.items() if not security} == PUBLIC | said_to_be_public()
    asked_for = {scope for security in found.values() for scheme in security or [] for scope in scheme["bearer"]}
    assert asked_for <= registered_scopes().by_name.keys()


def test_every_operation_is_named_summarised_and_tagged(document: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in document["tags"]}
    for path, method, operation in operations(document):
        assert re.fullmatch(r"[a-z]+_[a-z0-9_]+", operation["operationId"]), path
        assert operation["operationId"].startswith(tuple(f"{tag}_" for tag in operation["tags"])), path
        assert set(operation["tags"]) <= tags
        assert operation["summary"]
        assert operation["summary"][0].isupper(), (method, path)


def test_every_secured_creation_can_be_repeated_safely(document: dict[str, Any]) -> None:
    """Whoever does not get to see the 201 must be able to ask again."""
    creations = {
        operation["operationId"]: {parameter["name"] for parameter in operation.get("parameters", [])}
        for _, method, operation in operations(document)
        if method == "post" and operation.get("security") and "201" in operation["responses"]
    }
    assert {"items_create", "items_create_bulk", "orders_create", "users_create"} <= set(creations)
    assert [name for name, headers in creations.items() if "Idempotency-Key" not in headers] == []


def test_every_error_is_described_as_a_problem(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        errors = {status: answer for status, answer in operation["responses"].items() if int(status) >= 400}
        if path.startswith("/api/"):
            assert {"413", "422", "429", "503", "507"} <= set(errors), (method, path)
        if operation.get("security"):
            assert "401" in errors, (method, path)
        if "{" in path:
            assert "404" in errors, (method, path)
        for status, answer in errors.items():
            is_oauth = path == "/api/v1/auth/token" and status in OAUTH_ERRORS
            form = "application/json" if is_oauth else "application/problem+json"
            assert set(answer["content"]) == {form}, (method, path, status)
            if is_oauth:
                assert answer["content"][form]["schema"] == {"$ref": "#/components/schemas/OAuthFault"}
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_bodies_and_answers_come_with_examples(document: dict[str, Any]) -> None:
    names = (
        "ItemCreate",
        "ItemRead",
        "Registration",
        "UserRead",
        "SessionRead",
        "PasswordReset",
        "OAuthFault",
        "Problem",
    )
    for name in names:
        properties = document["components"]["schemas"][name]["properties"]
        required = document["components"]["schemas"][name].get("required", [])
        shown = [field for field in required if "example" in json.dumps(properties[field])]
        assert shown, name


def test_answers_have_no_optional_fields(document: dict[str, Any]) -> None:
    """Generated clients see every field of an answer as present."""
    schemas = document["components"]["schemas"]
    answers = {name for name in schemas if name.startswith("Page_") or name.endswith(("Read", "Problem"))}
    assert {"ItemRead", "UserRead", "SessionRead", "AuditEventRead", "Page_ItemRead_", "Problem"} <= answers
    for name in answers | {"Dashboard", "Day", "Export", "FieldFault", "ItemCounts", "Message", "OAuthFault"}:
        # In cookie mode the token is not in the body.
        optional = {"refresh_token"} if name == "TokenRead" else set()
        assert set(schemas[name]["required"]) == set(schemas[name]["properties"]) - optional, name


def test_references_lead_somewhere(document: dict[str, Any]) -> None:
    names = set(re.findall(r"#/components/schemas/([^\"]+)", json.dumps(document)))
    assert names == set(document["components"]["schemas"])


async def test_the_served_document_is_the_same(client: httpx.AsyncClient) -> None:
    answer = await client.get("/openapi.json")
    assert answer.status_code == 200
    assert answer.json()["openapi"].startswith("3.1")
    assert timeless(answer.json()) == timeless(json.loads(SNAPSHOT.read_text()))
