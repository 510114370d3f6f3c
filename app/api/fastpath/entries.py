"""The application's routes, in the order in which FastAPI tries them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Self

from fastapi import FastAPI
from fastapi.routing import APIRouter, RouteContext, iter_route_contexts
from starlette.convertors import Convertor, FloatConvertor, IntegerConvertor, StringConvertor, UUIDConvertor
from starlette.routing import WebSocketRoute

from app.api.fastpath._fastapi import is_usual
from app.api.fastpath.endpoint import Endpoint

# Those that match no slash.
OF_ONE_SEGMENT = {StringConvertor, IntegerConvertor, FloatConvertor, UUIDConvertor}


@dataclass(slots=True)
class Entry:
    """A route as it is included: with the prefix and the dependencies of the routers around it."""

    order: int
    path: str
    regex: re.Pattern[str]
    param_convertors: dict[str, Convertor[Any]]
    methods: Iterable[str]
    endpoint: Endpoint | None  # without one, FastAPI answers
    # Those that come first and may take the same path.
    shadows: list[re.Pattern[str]] = field(default_factory=list)

    @classmethod
    def of(cls, order: int, context: RouteContext) -> Self:
        path, endpoint = str(context.path_format), Endpoint.of(context)
        return cls(order, path, context.path_regex, context.param_convertors, context.methods or (), endpoint)

    @property
    def is_catch_all(self) -> bool:
        """Takes paths of any number of segments, or any method."""
        return not self.methods or any(type(each) not in OF_ONE_SEGMENT for each in self.param_convertors.values())

    def may_shadow(self, other: "Entry") -> bool:
        """Takes paths of other shapes, comes first, and may take the same path."""
        mine, others = self.path.partition("{")[0], other.path.partition("{")[0]
        is_first = self.is_catch_all and self.order < other.order
        return is_first and (mine.startswith(others) or others.startswith(mine))


def entries_of(app: FastAPI) -> list[Entry]:
    """Up to the first route, or included router, of which nobody knows what it takes."""
    usual = list(takewhile(is_usual, app.routes)) if type(app.router).app is APIRouter.app else []
    contexts = [each for each in iter_route_contexts(usual) if not isinstance(each.original_route, WebSocketRoute)]
    return [Entry.of(order, context) for order, context in enumerate(contexts)]
