"""A route's dependencies in the order in which they run, found out once.

FastAPI walks their tree with every request, looks at each dependency as often as it is named, and at each parameter
whether it was sent or not; that costs more than PostgreSQL's answer. What a plan does not know is left to FastAPI:
generators, plain functions, forms, several bodies. `tests/api/test_plan.py` compares the two.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, Self
from urllib.parse import parse_qsl

from fastapi import Request, Response, params
from fastapi._compat import ModelField, Undefined, field_annotation_is_sequence
from fastapi.dependencies.models import Dependant, _get_cache_key, _get_oauth_scopes, _is_coroutine_callable
from fastapi.dependencies.utils import (
    _get_param_aliases,
    _get_param_model,
    _is_json_field,
    _should_embed_body_fields,
    _validate_value_with_model_field,
    request_params_to_args,
)
from fastapi.exceptions import RequestValidationError
from fastapi.security import SecurityScopes

from app.api.middleware.exchange import request_header

# Defaults that need no copy for each request.
IMMUTABLE = (type(None), str, int, float, Decimal, Enum)
NOT_KNOWN = "websocket_param_name", "background_tasks_param_name", "http_connection_param_name", "concurrency"


QUERY = "strata.query"
# The result of a step that could not be called.
NOTHING = object()

type Arguments = dict[str, Any]
type Find = Callable[[Request, str], Any]


def find_in_path(request: Request, alias: str) -> Any:
    return request.path_params.get(alias)


def find_in_query(request: Request, alias: str) -> str | None:
    # Starlette's own way there takes as long for each parameter as this does for all.
    sent = request.scope.get(QUERY)
    if sent is None:
        text = request.scope["query_string"].decode("latin-1")
        sent = request.scope[QUERY] = dict(parse_qsl(text, keep_blank_values=True)) if text else {}
    value: str | None = sent.get(alias)
    return value


def find_in_headers(request: Request, alias: str) -> str | None:
    return request_header(request, alias.lower().encode())


def find_in_cookies(request: Request, alias: str) -> str | None:
    return request.cookies.get(alias) if request_header(request, b"cookie") else None


# In the order in which FastAPI reads them: the request's attribute, the parameters' list, and how to look for one.
PARTS: tuple[tuple[str, str, Find], ...] = (
    ("path_params", "path_params", find_in_path),
    ("query_params", "query_params", find_in_query),
    ("headers", "header_params", find_in_headers),
    ("cookies", "cookie_params", find_in_cookies),
)


class UnknownError(Exception):
    """There is something that only FastAPI knows how to do."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A part of the path, the query or the headers; one that was not sent has its default."""

    name: str
    alias: str
    field: ModelField
    default: Any
    part: str
    find: Find
    location: tuple[str, str]
    # Not to be gathered from several values, or taken apart.
    is_simple: bool

    @classmethod
    def of(cls, field: ModelField, part: str, find: Find) -> Self:
        aliases = _get_param_aliases(field)
        info = field.field_info
        if len(aliases) != 1 or info.validate_default or not isinstance(info, params.Param):
            raise UnknownError
        default = Undefined if info.is_required() else field.get_default()
        if default is not Undefined and not isinstance(default, IMMUTABLE):
            raise UnknownError
        is_simple = not (
            _get_param_model(field) or _is_json_field(field) or field_annotation_is_sequence(info.annotation)
        )
        alias = aliases[0][1]
        return cls(field.name, alias, field, default, part, find, (info.in_.value, alias), is_simple)

    def read(self, request: Request, faults: list[Any]) -> Any:
        """The value; what is wrong with it goes to the faults."""
        value = self.find(request, self.alias)
        if value is None and self.default is not Undefined:
            return self.default
        if value is not None and self.is_simple:
            value, wrong = self.field.validate(value, loc=self.location)
        else:
            read, wrong = request_params_to_args([self.field], getattr(request, self.part))
            value = read.get(self.name)
        faults += wrong
        return value


@dataclass(frozen=True, slots=True)
class Step:
    """One call; it needs the results of other steps, at their places, some of them as arguments."""

    call: Callable[..., Any]
    needs: tuple[int, ...]
    arguments: tuple[tuple[str, int], ...]
    parameters: tuple[Parameter, ...]
    request: str | None
    response: str | None
    scopes: dict[str, SecurityScopes]

    def read(self, request: Request, response: Response, results: list[Any], faults: list[Any]) -> Arguments | None:
        """None if some are not valid, or were not for what it needs."""
        before = len(faults)
        values = {name: results[place] for name, place in self.arguments}
        # Also where something that it needs is lacking: all faults are told at once.
        for parameter in self.parameters:
            values[parameter.name] = parameter.read(request, faults)
        if faults and (len(faults) > before or any(results[place] is NOTHING for place in self.needs)):
            return None
        if self.request is not None:
            values[self.request] = request
        if self.response is not None:
            values[self.response] = response
        if self.scopes:
            values |= self.scopes
        return values


class Plan:
    """The steps of a route, the handler last."""

    def __init__(self, dependant: Dependant) -> None:
        self.steps: list[Step] = []
        self.places: dict[Any, int] = {}
        self.body = body_of(dependant)
        self.add(dependant)
        *self.dependencies, self.handler = self.steps

    @classmethod
    def of(cls, dependant: Dependant) -> Self | None:
        try:
            return cls(dependant)
        except UnknownError:
            return None

    def add(self, dependant: Dependant) -> int:
        key = _get_cache_key(dependant=dependant)
        if key in self.places:
            return self.places[key]
        needs = [(needed.name, self.add(needed)) for needed in dependant.dependencies]
        is_handler = body_of(dependant) is self.body
        if not dependant.use_cache or any(getattr(dependant, name) for name in NOT_KNOWN):
            raise UnknownError
        if not _is_coroutine_callable(dependant.call) or (dependant.body_params and not is_handler):
            raise UnknownError
        scopes = dependant.security_scopes_param_name
        assert dependant.call is not None
        parameters = [
            Parameter.of(field, part, find) for part, name, find in PARTS for field in getattr(dependant, name)
        ]
        self.steps.append(
            Step(
                dependant.call,
                tuple(place for _, place in needs),
                tuple((name, place) for name, place in needs if name is not None),
                tuple(parameters),
                dependant.request_param_name,
                dependant.response_param_name,
                {scopes: SecurityScopes(_get_oauth_scopes(dependant=dependant))} if scopes else {},
            )
        )
        self.places[key] = len(self.steps) - 1
        return self.places[key]

    async def run(
        self, request: Request, response: Response, body: Any = Undefined, results: Sequence[Any] = ()
    ) -> Any:
        """What the handler returns; `body` is what was parsed of the request's, if it has one.

        `results` are those of the first steps, which have run.

        Raises:
            RequestValidationError: with all that is wrong with the request.
        """
        results = [*results]
        faults: list[Any] = []
        for step in self.dependencies[len(results) :]:
            values = step.read(request, response, results, faults)
            results.append(NOTHING if values is None else await step.call(**values))
        values = self.handler.read(request, response, results, faults)
        if self.body is not None:
            value = self.read_body(body, faults)
            if values is not None:
                values[self.body.name] = value
        if faults or values is None:
            raise RequestValidationError(faults, body=None if body is Undefined else body)
        return await self.handler.call(**values)

    def read_body(self, body: Any, faults: list[Any]) -> Any:
        field: Any = self.body
        value, wrong = _validate_value_with_model_field(field=field, value=body, values={}, loc=("body",))
        faults += wrong
        return value


def body_of(dependant: Dependant) -> ModelField | None:
    fields = dependant.body_params
    if len(fields) > 1 or _should_embed_body_fields(fields):
        raise UnknownError
    if any(isinstance(field.field_info, params.Form) for field in fields):
        raise UnknownError
    return fields[0] if fields else None
