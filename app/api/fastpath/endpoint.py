"""A route whose dependencies are planned: from a request's body to the bytes of its answer.

FastAPI's own handler does the same, with three exit stacks and two wrappers for each request, for which such routes
have no use.
`tests/api/test_fast_path.py` compares the responses.
"""

import json
from typing import Any, Self

from fastapi import Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from fastapi.utils import is_body_allowed_for_status_code
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from app.api.body import loads
from app.api.fastpath._fastapi import DefaultPlaceholder, Undefined
from app.api.fastpath.plan import Plan
from app.api.fastpath.written_plan import written
from app.api.request_state import request_header
from app.api.rows import RowEncoder
from app.core.errors import BadRequestError, BodyTooLargeError

JSON = (b"content-type", b"application/json")
WITHOUT_BODY = {status for status in range(100, 600) if not is_body_allowed_for_status_code(status)}


class PlannedResponse(Response):
    """What dependencies and handlers put their headers on; the body comes last."""

    def __init__(self) -> None:  # not Response's: it would encode a body, and headers that change again
        self.status_code: Any = None  # unless somebody sets it
        self.background = None
        self.body = b""
        self.raw_headers = []

    def complete(self, status: int, body: bytes) -> Self:
        self.status_code = status = self.status_code or status
        # In its place: what has looked at the headers before shares the list.
        self.raw_headers.insert(0, JSON)
        if status not in WITHOUT_BODY:
            self.body = body
            self.raw_headers.insert(0, (b"content-length", b"%d" % len(body)))
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.background is not None:
            await super().__call__(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body})


class Endpoint:
    def __init__(self, plan: Plan, status: int, field: Any, rows: RowEncoder | None, max_body_size: int | None) -> None:
        self.function = plan.handler.call
        # What `dependency_overrides` may replace.
        self.calls = frozenset(step.call for step in plan.dependencies)
        self.takes_body = plan.body is not None
        self.run = written(plan)
        self.status = status
        self.field = field
        self.rows = rows
        self.max_body_size = max_body_size

    @classmethod
    def of(cls, route: Any) -> Self | None:
        """None where FastAPI has to answer: the route has no plan, or answers with something else than plain JSON."""
        plan = Plan.of(route.dependant) if has_plain_response(route) else None
        if plan is None:
            return None
        status, rows = route.status_code or 200, RowEncoder.of(route.response_model)
        return cls(plan, status, route.response_field, rows, route.max_body_size)

    async def __call__(self, request: Request) -> Response:
        body = await read_json(request, self.max_body_size) if self.takes_body else Undefined
        response = PlannedResponse()
        content = await self.run(request, response, body)
        return content if isinstance(content, Response) else response.complete(self.status, self.encode(content))

    def encode(self, content: Any) -> bytes:
        encoded = None if self.rows is None else self.rows.encode(content)
        if encoded is not None:
            return encoded
        if self.field is None:
            return bytes(JSONResponse(jsonable_encoder(content)).body)
        value, errors = self.field.validate(content, loc=("response",))
        if errors:
            raise ResponseValidationError(errors, body=content)
        return bytes(self.field.serialize_json(value))


def has_plain_response(route: Any) -> bool:
    """Takes JSON or nothing, and responds with its model, all of it, as JSON."""
    alters = (
        route.response_model_include,
        route.response_model_exclude,
        route.response_model_exclude_unset,
        route.response_model_exclude_defaults,
        route.response_model_exclude_none,
        route.stream_item_field,
    )
    is_default = isinstance(route.response_class, DefaultPlaceholder)
    is_usual = route.response_model_by_alias and bool(route.strict_content_type)
    return is_default and is_usual and not any(alters)


async def read_json(request: Request, limit: int | None) -> Any:
    """The body as FastAPI hands it on: parsed where it says that it is JSON.

    Raises:
        BodyTooLargeError: it is larger than this route takes.
        RequestValidationError: it says so, and is not.
        BadRequestError: it is not even text.
    """
    body = await request.body()
    if not body:
        return Undefined
    if limit is not None and len(body) > limit:
        raise BodyTooLargeError
    if not is_json(request_header(request, b"content-type") or ""):
        return body
    try:
        return loads(body)
    except json.JSONDecodeError as error:
        fault = {
            "type": "json_invalid",
            "loc": ("body", error.pos),
            "msg": "JSON decode error",
            "input": {},
            "ctx": {"error": error.msg},
        }
        raise RequestValidationError([fault], body=error.doc) from error
    except Exception as error:
        raise BadRequestError from error


def is_json(content_type: str) -> bool:
    """As `email.message` reads it, by which FastAPI goes."""
    if content_type == "application/json":
        return True
    kind, _, subtype = content_type.partition(";")[0].strip().lower().partition("/")
    return kind == "application" and (subtype == "json" or (subtype.endswith("+json") and "/" not in subtype))
