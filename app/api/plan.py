"""A route's dependencies in the order in which they run, found out once.

FastAPI walks their tree with every request, looks at each dependency as often as it is named, and at each parameter
whether it was sent or not; that costs more than PostgreSQL's answer. What a plan does not know is left to FastAPI:
generators, plain functions, forms, several bodies. `tests/api/test_plan.py` compares the two.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, auto
from typing import Any, Self

from fastapi import Request, Response, params
from fastapi._compat import ModelField, Undefined
from fastapi.dependencies.models import Dependant, _get_cache_key, _get_oauth_scopes, _is_coroutine_callable
from fastapi.dependencies.utils import _get_param_aliases, request_body_to_args, request_params_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.security import SecurityScopes

# Defaults that need no copy for each request.
IMMUTABLE = (type(None), str, int, float, Decimal, Enum)
NOT_KNOWN = "websocket_param_name", "background_tasks_param_name", "http_connection_param_name", "concurrency"


# The result of a step that could not be called.
NOTHING = object()
# In the order in which FastAPI reads them.
PARTS = (
    ("path_params", "path_params"),
    ("query_params", "query_params"),
    ("headers", "header_params"),
    ("cookies", "cookie_params"),
)

type Arguments = dict[str, Any]


class Body(Enum):
    MISSING = auto()


PARSED = ModelField(field_info=params.Body(Body.MISSING, annotation=Any), name="body")


class UnknownError(Exception):
    """There is something that only FastAPI knows how to do."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A part of the path, the query or the headers; one that was not sent has its default."""

    name: str
    alias: str
    field: ModelField
    default: Any

    @classmethod
    def of(cls, field: ModelField) -> Self:
        aliases = _get_param_aliases(field)
        if len(aliases) != 1 or field.field_info.validate_default:
            raise UnknownError
        default = Undefined if field.field_info.is_required() else field.get_default()
        if default is not Undefined and not isinstance(default, IMMUTABLE):
            raise UnknownError
        return cls(field.name, aliases[0][1], field, default)

    def read(self, sent: Mapping[str, Any], values: dict[str, Any]) -> list[Any]:
        """Put the value to the others; return what is wrong with it."""
        if self.default is not Undefined and self.alias not in sent:
            values[self.name] = self.default
            return []
        read, faults = request_params_to_args([self.field], sent)
        values.update(read)
        return faults


@dataclass(frozen=True, slots=True)
class Step:
    """One call; `needs` are the places of other steps' results, by the names of its arguments."""

    call: Callable[..., Any]
    needs: tuple[tuple[str | None, int], ...]
    # Of the request: its attribute, and what is read of it.
    parameters: tuple[tuple[str, Parameter], ...]
    request: str | None
    response: str | None
    scopes: tuple[str, list[str]] | None

    def read(self, request: Request, response: Response, results: list[Any], faults: list[Any]) -> Arguments | None:
        """None if some are not valid, or were not for what it needs."""
        before = len(faults)
        is_lacking = False
        values: Arguments = {}
        for name, place in self.needs:
            if results[place] is NOTHING:
                is_lacking = True  # its own parameters are looked at all the same
            elif name is not None:
                values[name] = results[place]
        for part, parameter in self.parameters:
            faults += parameter.read(getattr(request, part), values)
        self.add_context(request, response, values)
        return None if is_lacking or len(faults) > before else values

    def add_context(self, request: Request, response: Response, values: Arguments) -> None:
        if self.request is not None:
            values[self.request] = request
        if self.response is not None:
            values[self.response] = response
        if self.scopes is not None:
            name, scopes = self.scopes
            values[name] = SecurityScopes(scopes)


class Plan:
    """The steps of a route, the handler last; called by FastAPI in place of the handler."""

    def __init__(self, dependant: Dependant) -> None:
        self.steps: list[Step] = []
        self.places: dict[Any, int] = {}
        self.body = list(dependant.body_params)
        if len(self.body) > 1 or any(isinstance(field.field_info, params.Form) for field in self.body):
            raise UnknownError
        self.add(dependant)

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
        is_handler = dependant.body_params == self.body
        if not dependant.use_cache or any(getattr(dependant, name) for name in NOT_KNOWN):
            raise UnknownError
        if not _is_coroutine_callable(dependant.call) or (dependant.body_params and not is_handler):
            raise UnknownError
        scopes = dependant.security_scopes_param_name
        assert dependant.call is not None
        self.steps.append(
            Step(
                dependant.call,
                tuple(needs),
                tuple((part, Parameter.of(field)) for part, name in PARTS for field in getattr(dependant, name)),
                dependant.request_param_name,
                dependant.response_param_name,
                (scopes, _get_oauth_scopes(dependant=dependant)) if scopes else None,
            )
        )
        self.places[key] = len(self.steps) - 1
        return self.places[key]

    @property
    def dependant(self) -> Dependant:
        """What FastAPI is given: a handler that wants the request, the response, and the body as it was parsed."""
        return Dependant(
            call=self.run,
            request_param_name="request",
            response_param_name="response",
            body_params=[PARSED] if self.body else [],
        )

    async def run(self, request: Request, response: Response, body: Any = Body.MISSING) -> Any:
        results: list[Any] = []
        faults: list[Any] = []
        *dependencies, handler = self.steps
        for step in dependencies:
            values = step.read(request, response, results, faults)
            results.append(NOTHING if values is None else await step.call(**values))
        values = handler.read(request, response, results, faults)
        if self.body:
            received = Undefined if body is Body.MISSING else body
            read, wrong = await request_body_to_args(self.body, received, embed_body_fields=False)
            faults += wrong
            if values is not None:
                values.update(read)
        if faults or values is None:
            raise RequestValidationError(faults, body=None if body is Body.MISSING else body)
        return await handler.call(**values)
