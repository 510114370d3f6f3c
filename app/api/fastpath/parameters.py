"""A part of the path, the query, the headers or the cookies, as a step reads it."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, Self
from urllib.parse import parse_qsl

from fastapi import Request

from app.api.fastpath._fastapi import (
    Undefined,
    field_annotation_is_sequence,
    get_param_aliases,
    get_param_model,
    is_json_field,
    request_params_to_args,
)
from app.api.request_state import state_of

# Defaults that need no copy for each request.
IMMUTABLE = (type(Undefined), type(None), str, int, float, Decimal, Enum)
# In place of a value that is not valid, and of what needs one.
INVALID = object()
# In the order in which FastAPI reads them: the list of parameters, and the attribute of a request that they are in.
PARTS = {
    "path_params": "path_params",
    "query_params": "query_params",
    "header_params": "headers",
    "cookie_params": "cookies",
}

type Sources = Mapping[str, Mapping[Any, Any]]


def sources_of(request: Request) -> Sources:
    """What was sent, by parts, for `Parameter.key` to look up."""
    text = request.scope["query_string"].decode("latin-1")
    headers = state_of(request.scope).headers
    return {
        "path_params": request.path_params,
        # Starlette's own way there takes as long for each parameter as this does for all.
        "query_params": dict(parse_qsl(text, keep_blank_values=True)) if text else {},
        "headers": headers,
        "cookies": request.cookies if b"cookie" in headers else {},
    }


class NotPlannableError(Exception):
    """There is something that only FastAPI knows how to do."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A part of the path, the query or the headers; one that was not sent has its default."""

    name: str
    field: Any  # FastAPI's
    default: Any
    part: str
    key: Any
    location: tuple[str, str]
    is_simple: bool  # not to be gathered from several values, or taken apart

    @classmethod
    def of(cls, field: Any, part: str) -> Self:
        info, (alias, *others) = field.field_info, [alias for _, alias in get_param_aliases(field)]
        default = Undefined if info.is_required() else field.get_default()
        if others or info.validate_default or not isinstance(default, IMMUTABLE):
            raise NotPlannableError
        is_taken_apart = get_param_model(field) or is_json_field(field) or field_annotation_is_sequence(info.annotation)
        key = alias.lower().encode() if part == "headers" else alias
        return cls(field.name, field, default, part, key, (info.in_.value, alias), not is_taken_apart)

    def read(self, request: Request, sources: Sources, faults: list[Any]) -> Any:
        """The value, or INVALID; what is wrong with it goes to the faults."""
        value = sources[self.part].get(self.key)
        if value is None and self.default is not Undefined:
            return self.default
        if value is not None and self.is_simple:
            text = value.decode("latin-1") if self.part == "headers" else value
            value, wrong = self.field.validate(text, loc=self.location)
        else:
            read, wrong = request_params_to_args([self.field], getattr(request, self.part))
            value = read.get(self.name)
        faults += wrong
        return INVALID if wrong else value
