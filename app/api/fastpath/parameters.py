"""A part of the path, the query, the headers or the cookies, as a step reads it."""

from collections.abc import Callable
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
from app.api.request_state import request_header

# Defaults that need no copy for each request.
IMMUTABLE = (type(Undefined), type(None), str, int, float, Decimal, Enum)
QUERY = "strata.query"

type Find = Callable[[Request, str], Any]


def find_in_path(request: Request, alias: str) -> Any:
    return request.path_params.get(alias)


def find_in_query(request: Request, alias: str) -> str | None:
    # Starlette's own way there takes as long for each parameter as this does for all.
    sent: dict[str, str] | None = request.scope.get(QUERY)
    if sent is None:
        text = request.scope["query_string"].decode("latin-1")
        sent = request.scope[QUERY] = dict(parse_qsl(text, keep_blank_values=True)) if text else {}
    return sent.get(alias)


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


class NotPlannableError(Exception):
    """There is something that only FastAPI knows how to do."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A part of the path, the query or the headers; one that was not sent has its default."""

    name: str
    alias: str
    field: Any  # FastAPI's
    default: Any
    part: str
    find: Find
    location: tuple[str, str]
    is_simple: bool  # not to be gathered from several values, or taken apart

    @classmethod
    def of(cls, field: Any, part: str, find: Find) -> Self:
        info, (alias, *others) = field.field_info, [alias for _, alias in get_param_aliases(field)]
        default = Undefined if info.is_required() else field.get_default()
        if others or info.validate_default or not isinstance(default, IMMUTABLE):
            raise NotPlannableError
        is_taken_apart = get_param_model(field) or is_json_field(field) or field_annotation_is_sequence(info.annotation)
        return cls(field.name, alias, field, default, part, find, (info.in_.value, alias), not is_taken_apart)

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
