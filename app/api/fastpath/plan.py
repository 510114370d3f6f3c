"""A route's dependencies in the order in which they run, found out once.

FastAPI walks their tree with every request, looks at each dependency as often as it is named, and at each parameter
whether it was sent or not; that costs more than PostgreSQL's answer. What a plan does not know is left to FastAPI:
generators, plain functions, forms, several bodies. `tests/api/test_plan.py` compares the two.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from fastapi import Request, Response, params
from fastapi.exceptions import RequestValidationError
from fastapi.security import SecurityScopes

from app.api.fastpath._fastapi import (
    Undefined,
    get_cache_key,
    get_oauth_scopes,
    is_coroutine_callable,
    should_embed_body_fields,
    validate_value,
)
from app.api.fastpath.parameters import PARTS, NotPlannableError, Parameter

UNSUPPORTED = "websocket_param_name", "background_tasks_param_name", "http_connection_param_name", "concurrency"
# The result of a step that could not be called.
NOTHING = object()

type Arguments = dict[str, Any]


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

    def __init__(self, dependant: Any) -> None:
        self.steps: list[Step] = []
        self.places: dict[Any, int] = {}
        self.body = body_of(dependant)
        self.add(dependant)
        *self.dependencies, self.handler = self.steps

    @classmethod
    def of(cls, dependant: Any) -> Self | None:
        try:
            return cls(dependant)
        except NotPlannableError:
            return None

    def add(self, dependant: Any) -> int:
        key = get_cache_key(dependant=dependant)
        if key in self.places:
            return self.places[key]
        needs = [(needed.name, self.add(needed)) for needed in dependant.dependencies]
        is_handler = body_of(dependant) is self.body
        if not dependant.use_cache or any(getattr(dependant, name) for name in UNSUPPORTED):
            raise NotPlannableError
        if not is_coroutine_callable(dependant.call) or (dependant.body_params and not is_handler):
            raise NotPlannableError
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
                {scopes: SecurityScopes(get_oauth_scopes(dependant=dependant))} if scopes else {},
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
        value, wrong = validate_value(field=field, value=body, values={}, loc=("body",))
        faults += wrong
        return value


def body_of(dependant: Any) -> Any:
    fields = dependant.body_params
    if len(fields) > 1 or should_embed_body_fields(fields):
        raise NotPlannableError
    if any(isinstance(field.field_info, params.Form) for field in fields):
        raise NotPlannableError
    return fields[0] if fields else None
