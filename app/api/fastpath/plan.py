"""A route's dependencies in the order in which they run, determined once.

FastAPI walks their tree with every request, looks at each dependency as often as it is named, and at each parameter
whether it was sent or not; that costs more than PostgreSQL's answer. What a plan does not know is left to FastAPI:
generators, plain functions, forms, several bodies. `tests/api/test_fast_path_plan.py` compares the two.
"""

from collections.abc import Callable, Sequence
from functools import partial
from inspect import Parameter as Argument
from inspect import signature
from operator import itemgetter
from typing import Any, NamedTuple, Self

from fastapi import Request, Response, params
from fastapi.exceptions import RequestValidationError
from fastapi.security import SecurityScopes

from app.api.fastpath._fastapi import Undefined, get_cache_key, get_oauth_scopes, is_coroutine_callable, validate_value
from app.api.fastpath.parameters import INVALID, PARTS, NotPlannableError, Parameter, sources_of

UNSUPPORTED = "websocket_param_name", "background_tasks_param_name", "http_connection_param_name", "concurrency"
# The first results, which are there before any step.
REQUEST, RESPONSE = range(2)


class Step(NamedTuple):
    """One call. What is read for it goes to the results first, from which it takes its arguments."""

    call: Callable[..., Any]
    parameters: tuple[Parameter, ...]
    arguments_of: Callable[[list[Any]], Sequence[Any]]


class Plan:
    """The steps of a route, one after the other, and its handler at the end."""

    def __init__(self, dependant: Any) -> None:
        self.steps: list[Step] = []
        self.places: dict[Any, int] = {}
        self.size = len((REQUEST, RESPONSE))
        # What `dependency_overrides` may replace.
        self.calls: set[Any] = set()
        self.add(dependant)
        self.handler = self.steps.pop()
        self.reads = any(step.parameters for step in (*self.steps, self.handler))
        self.body = next(iter(dependant.body_params), None)

    @classmethod
    def of(cls, dependant: Any) -> Self | None:
        try:
            return cls(dependant)
        except NotPlannableError:
            return None

    def add(self, dependant: Any) -> int:
        """Where its result will be."""
        key = get_cache_key(dependant=dependant)
        if key not in self.places:
            if not is_plannable(dependant):
                raise NotPlannableError
            # The route's own dependencies have no name: their results are nobody's argument.
            needs = {needed.name: self.add(needed) for needed in dependant.dependencies}
            needs |= {dependant.request_param_name: REQUEST, dependant.response_param_name: RESPONSE}
            fields = [(field, part) for name, part in PARTS.items() for field in getattr(dependant, name)]
            parameters = tuple(Parameter.of(field, part) for field, part in fields)
            read = [*parameters, *dependant.body_params]
            needs |= {each.name: self.size + place for place, each in enumerate(read)}
            self.steps.append(step_of(dependant, parameters, needs))
            self.calls.add(dependant.call)
            self.places[key] = self.size + len(read)
            self.size = self.places[key] + 1
        return self.places[key]

    async def run(self, request: Request, response: Response, body: Any = Undefined) -> Any:
        """What the handler returns; `body` is what was parsed of the request's, if it has one.

        Raises:
            RequestValidationError: with all that is wrong with the request.
        """
        results: list[Any] = [request, response]
        faults: list[Any] = []
        sources = sources_of(request) if self.reads else {}
        for call, parameters, arguments_of in self.steps:
            if parameters:
                results += [parameter.read(request, sources, faults) for parameter in parameters]
            arguments = arguments_of(results)
            # Also where something is wrong that it does not need: all faults are told at once.
            if faults and any(argument is INVALID for argument in arguments):
                results.append(INVALID)
            else:
                results.append(await call(*arguments))
        call, parameters, arguments_of = self.handler
        results += [parameter.read(request, sources, faults) for parameter in parameters]
        if self.body is not None:
            value, wrong = validate_value(field=self.body, value=body, values={}, loc=("body",))
            results.append(value)
            faults += wrong
        if faults:
            raise RequestValidationError(faults, body=None if body is Undefined else body)
        return await call(*arguments_of(results))


def is_plannable(dependant: Any) -> bool:
    asks_for_more = any(getattr(dependant, name) for name in UNSUPPORTED)
    needs_body = any(needed.body_params for needed in dependant.dependencies)
    bodies = [field.field_info for field in dependant.body_params]
    # One field, which is the whole body.
    is_usual = len(bodies) < 2 and not any(isinstance(body, params.Form) or body.embed for body in bodies)
    is_callable = is_coroutine_callable(dependant.call)
    return dependant.use_cache and not asks_for_more and not needs_body and is_usual and is_callable


def step_of(dependant: Any, parameters: tuple[Parameter, ...], needs: dict[str | None, int]) -> Step:
    call = dependant.call
    if (name := dependant.security_scopes_param_name) is not None:
        call = partial(call, **{name: SecurityScopes(get_oauth_scopes(dependant=dependant))})
    # Arguments by place take less time than by name. A wrapper may tell nothing of those of what it wraps.
    own = signature(call, follow_wrapped=False).parameters
    names = sorted(needs.keys() - {None}, key=[*own, *needs].index)
    by_place = [name for name, argument in own.items() if argument.kind is Argument.POSITIONAL_OR_KEYWORD]
    if by_place[: len(names)] != names:
        call = partial(call_by_name, call, names)
    places = [needs[name] for name in names]
    start = min(places, default=0)
    # A single one has to come in a sequence as well.
    arguments_of = itemgetter(*places) if len(places) > 1 else itemgetter(slice(start, start + len(places)))
    return Step(call, parameters, arguments_of)


def call_by_name(call: Callable[..., Any], names: list[Any], *arguments: Any) -> Any:
    return call(**dict(zip(names, arguments, strict=True)))
