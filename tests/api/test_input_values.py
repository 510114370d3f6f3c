"""A value is taken if and only if the OpenAPI document says that it may be sent, and none is answered with a 5xx."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest
from asgi_lifespan import LifespanManager

from app.core.config.settings import Settings
from tests.api.allowed import fits, fits_as_text, has_more_places
from tests.api.asgi import Reply, send_bytes
from tests.api.odd_values import odd_json, odd_texts
from tests.api.operations import Operation, Schema, alternatives, operations, resolved
from tests.conftest import in_one_transaction, running
from tests.factories import PASSWORD, Factory

# What ends the session of the one who calls, if it is taken.
ENDING = {"auth_logout_all", "auth_logout", "auth_delete_session", "users_update", "users_delete", "users_delete_me"}
# They sign in themselves.
SIGN_INS = {"auth_login", "auth_token", "auth_refresh", "auth_logout"}
# With more rules than a JSON Schema can tell: these may be refused, but never be taken against their schema.
WITH_MORE_RULES = {"username", "email"}
PLACES = {"price": 2, "tax_rate": 4}
SAMPLES = {"password": PASSWORD, "current_password": PASSWORD}


def sample(schema: Schema) -> Any:
    schema = next(alternatives(schema))
    if schema.get("examples"):
        return schema["examples"][0]
    if "enum" in schema or "const" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    if schema["type"] == "array":
        return [sample(schema["items"])]
    if schema["type"] == "object":
        return {name: sample(schema["properties"][name]) for name in schema.get("required", ())}
    return {"string": "x", "integer": 1, "number": 1, "boolean": True}[schema["type"]]


def members(schema: Schema, *where: Any) -> Iterator[tuple[tuple[Any, ...], Schema]]:
    """Each member of a body, those of the objects in its lists too, by the way to it."""
    for name, inner in schema.get("properties", {}).items():
        yield (*where, name), inner
        for kind in alternatives(inner):
            if kind.get("type") == "array":
                yield (*where, name, 0), kind["items"]
                yield from members(resolved(kind["items"]), *where, name, 0)


def with_value(body: Any, where: tuple[Any, ...], value: object) -> Any:
    """The body with another value at its place."""
    name, *rest = where
    if isinstance(name, int):
        return [with_value(body[0], tuple(rest), value) if rest else value]
    if not rest:
        return {**body, name: value}
    return {**body, name: with_value(body.get(name, [{}]), tuple(rest), value)}


@dataclass(frozen=True)
class Try:
    where: tuple[Any, ...]
    value: object
    is_allowed: bool
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b""


def percent(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


def tries_of_parameters(operation: Operation) -> Iterator[Try]:
    for parameter in operation.parameters:
        schema, place, name = parameter["schema"], parameter["in"], parameter["name"]
        url = operation.path_of("1")
        for text in {text for kind in alternatives(schema) for text in odd_texts(kind)}:
            where, is_allowed = (place, name), fits_as_text(schema, as_decoded(text))
            if place == "query":
                yield Try(where, text, is_allowed, f"{url}?{name}={percent(text)}")
            elif place == "path":
                # Else it is the path of something else.
                if text and "/" not in text:
                    yield Try(where, text, is_allowed, operation.path_of(percent(text)))
            # Others than these no client can send.
            elif text.isascii() and text.isprintable() and text.strip() == text and ";" not in text:
                yield Try(where, text, is_allowed, url, {name: text} if place == "header" else cookie(text))


def as_decoded(text: str) -> str:
    """What a server makes of the percent signs: the halves of pairs are gone."""
    return text.encode(errors="surrogatepass").decode(errors="replace")


def cookie(text: str) -> dict[str, str]:
    return {"Cookie": f"refresh_token={text}"}


def tries_of_forms(operation: Operation, body: Schema, content_type: str, whole: dict[str, Any]) -> Iterator[Try]:
    for name, schema in body["properties"].items():
        for text in {text for kind in alternatives(schema) for text in odd_texts(kind)}:
            content = "&".join(f"{key}={percent(value)}" for key, value in {**whole, name: text}.items()).encode()
            # An empty field is none (RFC 6749 section 3.2).
            is_allowed = fits_as_text(schema, as_decoded(text)) if text else name not in whole
            headers = {"Content-Type": content_type}
            yield Try(("body", name), text, is_allowed, operation.path_of("1"), headers, content)


def tries_of_json(operation: Operation, body: Schema, content_type: str, whole: dict[str, Any]) -> Iterator[Try]:
    for where, schema in members(body):
        for value in (value for kind in alternatives(schema) for value in odd_json(kind)):
            sent = with_value(whole, where, value)
            headers, content = {"Content-Type": content_type}, json.dumps(sent).encode()
            yield Try(("body", *where), value, fits(body, sent), operation.path_of("1"), headers, content)


def tries(operation: Operation) -> Iterator[Try]:
    yield from tries_of_parameters(operation)
    for content_type, content in operation.content_types.items():
        body = next(alternatives(content["schema"]))
        whole = {name: SAMPLES.get(name, sample(body["properties"][name])) for name in body.get("required", ())}
        tries_of = tries_of_json if content_type == "application/json" else tries_of_forms
        yield from tries_of(operation, body, content_type, whole)


def worthwhile() -> dict[str, list[Try]]:
    """By operation: all values of what a resource takes by one name, where it first does.

    Elsewhere one that is taken and one that is refused will do: it is the same type, of a field that has been tried.
    """
    known: set[object] = set()
    chosen: dict[str, list[Try]] = {}
    for operation in operations():
        chosen[operation.id] = []
        for one in tries(operation):
            value = (operation.told["tags"][0], one.where[0], one.where[-1], repr(one.value), one.is_allowed)
            use = (operation.id, one.where, one.is_allowed)
            if not {value, use} <= known:
                known |= {value, use}
                chosen[operation.id].append(one)
    return chosen


def is_blamed(reply: Reply, where: tuple[Any, ...]) -> bool:
    """Whether the value is what is said to be wrong."""
    if reply.status != 422 or reply.json().get("code") != "validation_error":
        return False
    return any(tuple(fault["loc"][: len(where)]) == where for fault in reply.json()["errors"])


def verdict(operation: Operation, one: Try, reply: Reply) -> str | None:
    """What is wrong with the answer."""
    if reply.status >= 500 or (reply.status == 401 and operation.id not in SIGN_INS):
        return f"is answered with {reply.status}"
    if 200 <= reply.status < 300 and not one.is_allowed:
        return "is taken against its schema"
    if one.is_allowed and not has_more_rules(one) and is_blamed(reply, one.where):
        return f"is refused against its schema: {reply.json()['errors']}"
    return None


def has_more_rules(one: Try) -> bool:
    name = one.where[-1]
    return name in WITH_MORE_RULES or (name in PLACES and has_more_places(one.value, PLACES[name]))


async def wrong_replies(manager: LifespanManager, make: Factory, operation: Operation, values: list[Try]) -> list[str]:
    bearer, wrong = await make.bearer(await make.admin()), []
    for one in values:
        if operation.id in ENDING:
            bearer = await make.bearer(await make.admin())
        headers = cookie("x") | ({} if operation.id == "auth_token" else bearer) | one.headers
        reply = await send_bytes(manager, operation.method, one.url, headers, one.content)
        if fault := verdict(operation, one, reply):
            wrong.append(f"{operation.id}: {one.value!r:.60} in {one.where} {fault}")
    return wrong


@pytest.mark.timeout(240)
async def test_what_is_taken_is_what_the_document_allows(settings: Settings) -> None:
    chosen, wrong = worthwhile(), []
    assert sum(map(len, chosen.values())) > 2000
    async with running(settings) as (_, manager, services):
        # Hundreds of passwords are hashed: here it does not matter how well.
        services.hasher.context.update(argon2__memory_cost=8, argon2__time_cost=1)
        services.hasher.nobody = services.hasher.hash_now("")
        make = Factory(services)
        for operation in operations():
            # PostgreSQL gets slower with each savepoint of a transaction.
            async with in_one_transaction(services):
                wrong += await wrong_replies(manager, make, operation, chosen[operation.id])
    assert not wrong, "\n".join(wrong)
