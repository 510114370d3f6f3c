"""A route's dependencies in the order in which they run, found out once.

FastAPI walks their tree with every request, looks at each dependency as often as it is named, and at each parameter
whether it was sent or not; that costs more than PostgreSQL's answer. What a plan does not know is left to FastAPI:
generators, plain functions, forms, several bodies. `tests/api/test_fast_path_plan.py` compares the two.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from fastapi import Request, Response, params
from fastapi.exceptions import RequestValidationError
from fastapi.security import SecurityScopes

from app.api.fastpath._fastapi import Undefined, get_cache_key, get_oauth_scopes, is_coroutine_callable, validate_value
from app.api.fastpath.parameters import PARTS, NotPlannableError, Parameter, Sources, sources_of

UNSUPPORTED = "websocket_param_name", "background_tasks_param_name", "http_connection_param_name", "concurrency"
# The first results, which are there before any step.
REQUEST, RESPONSE, FIRST_STEP = range(3)
# The result of a step that could not be called.
NOTHING = object()


@dataclass(frozen=True, slots=True)
class Step:
    """One call; it needs the results of other steps, some of them as arguments, by name and place."""

    call: Callable[..., Any]
    needs: tuple[int, ...]
    arguments: tuple[tuple[str, int], ...]
    parameters: tuple[Parameter, ...]
    body: Any  # its field, where it takes one
    reads: bool  # parameters or a body
    request_alone: str | None  # the name of its argument, if that is all that it takes

    def read(self, values: dict[str, Any], request: Request, sources: Sources, body: Any, faults: list[Any]) -> bool:
        """Whether what was sent for it is valid; what is wrong with it goes to the faults."""
        before = len(faults)
        for parameter in self.parameters:
            is_sent = parameter.key in sources[parameter.part] or parameter.default is Undefined
            values[parameter.name] = parameter.read(request, sources, faults) if is_sent else parameter.default
        if self.body is not None:
            values[self.body.name], wrong = validate_value(field=self.body, value=body, values={}, loc=("body",))
            faults += wrong
        return len(faults) == before


class Plan:
    """The steps of a route, the handler last."""

    def __init__(self, dependant: Any) -> None:
        self.steps: list[Step] = []
        self.places: dict[Any, int] = {}
        # What `dependency_overrides` may replace.
        self.calls: set[Any] = set()
        self.add(dependant)
        self.takes_body = self.steps[-1].body is not None
        self.has_parameters = any(step.parameters for step in self.steps)

    @classmethod
    def of(cls, dependant: Any) -> Self | None:
        try:
            return cls(dependant)
        except NotPlannableError:
            return None

    def add(self, dependant: Any) -> int:
        key = get_cache_key(dependant=dependant)
        if key not in self.places:
            if not is_plannable(dependant):
                raise NotPlannableError
            needs = [(needed.name, self.add(needed)) for needed in dependant.dependencies]
            self.steps.append(step_of(dependant, needs))
            self.calls.add(dependant.call)
            self.places[key] = FIRST_STEP + len(self.steps) - 1
        return self.places[key]

    async def run(self, request: Request, response: Response, body: Any = Undefined) -> Any:
        """What the handler returns; `body` is what was parsed of the request's, if it has one.

        Raises:
            RequestValidationError: with all that is wrong with the request.
        """
        results: list[Any] = [request, response]
        faults: list[Any] = []
        sources: Sources = sources_of(request) if self.has_parameters else {}
        for step in self.steps:
            if step.request_alone is not None:
                results.append(await step.call(**{step.request_alone: request}))
                continue
            values = {name: results[place] for name, place in step.arguments}
            # Also where something that it needs is lacking: all faults are told at once.
            is_valid = not step.reads or step.read(values, request, sources, body, faults)
            if is_valid and not (faults and any(results[place] is NOTHING for place in step.needs)):
                results.append(await step.call(**values))
            else:
                results.append(NOTHING)
        if faults:
            raise RequestValidationError(faults, body=None if body is Undefined else body)
        return results[-1]


def is_plannable(dependant: Any) -> bool:
    asks_for_more = any(getattr(dependant, name) for name in UNSUPPORTED)
    needs_body = any(needed.body_params for needed in dependant.dependencies)
    return dependant.use_cache and not asks_for_more and not needs_body and is_coroutine_callable(dependant.call)


def step_of(dependant: Any, needs: list[tuple[str | None, int]]) -> Step:
    call = dependant.call
    if (name := dependant.security_scopes_param_name) is not None:
        call = partial(call, **{name: SecurityScopes(get_oauth_scopes(dependant=dependant))})
    given = [*needs, (dependant.request_param_name, REQUEST), (dependant.response_param_name, RESPONSE)]
    arguments = tuple((name, place) for name, place in given if name is not None)
    parameters = [Parameter.of(field, part) for name, part in PARTS.items() for field in getattr(dependant, name)]
    needed = tuple(place for _, place in needs)
    body = body_of(dependant)
    reads = bool(parameters) or body is not None
    is_alone = not reads and not needed and [place for _, place in arguments] == [REQUEST]
    return Step(call, needed, arguments, tuple(parameters), body, reads, arguments[0][0] if is_alone else None)


def body_of(dependant: Any) -> Any:
    """The field that is the whole body; None without one."""
    fields = dependant.body_params
    if len(fields) > 1 or any(isinstance(each.field_info, params.Form) or each.field_info.embed for each in fields):
        raise NotPlannableError
    return fields[0] if fields else None
