"""A route whose dependencies are planned: from a request's body to the bytes of its response.

FastAPI's own handler does the same, with three exit stacks and two wrappers for each request, of which such routes
make no use. `tests/api/test_fast_path.py` and `tests/api/test_scripts.py` compare the responses.
"""

import json
from typing import Any, Self

from fastapi import Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from fastapi.routing import RouteContext
from fastapi.utils import is_body_allowed_for_status_code
from starlette.responses import JSONResponse

from app.api.body import is_json, loads
from app.api.fastpath._fastapi import DefaultPlaceholder, Undefined
from app.api.fastpath.plan import Plan
from app.api.request_state import request_header
from app.api.routing import Route
from app.api.rows import RowEncoder
from app.core.errors import BadRequestError, BodyTooLargeError

JSON = (b"content-type", b"application/json")
# What a route may leave out of its model.
FILTERS = "include", "exclude", "exclude_unset", "exclude_defaults", "exclude_none"
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


class Endpoint:
    """As its route is included: with the prefix and the dependencies of the routers around it."""

    def __init__(self, context: RouteContext, plan: Plan) -> None:
        self.route: Any = context.original_route
        self.path = str(context.path_format)
        self.plan = plan
        self.status = context.status_code or 200
        self.field = context.response_field
        self.rows = RowEncoder.of(context.response_model)
        self.max_body_size = context.max_body_size

    @classmethod
    def of(cls, context: RouteContext) -> Self | None:
        """None where FastAPI has to respond: the route has no plan, or its responses are not plain JSON."""
        is_ours = isinstance(context.original_route, Route)
        plan = Plan.of(context.dependant) if is_ours and has_plain_response(context) else None
        return None if plan is None else cls(context, plan)

    async def __call__(self, request: Request) -> Response:
        body = await read_json(request, self.max_body_size) if self.plan.body is not None else Undefined
        response = PlannedResponse()
        content = await self.plan.run(request, response, body)
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


def has_plain_response(route: RouteContext) -> bool:
    """Takes JSON or nothing, and responds with its model, all of it, as JSON."""
    is_default = isinstance(route.response_class, DefaultPlaceholder)
    is_usual = route.response_model_by_alias and bool(route.strict_content_type) and route.stream_item_field is None
    return is_default and is_usual and not any(getattr(route, f"response_model_{name}") for name in FILTERS)


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
        fault = {"type": "json_invalid", "loc": ("body", error.pos), "msg": "JSON decode error", "input": {}}
        raise RequestValidationError([fault | {"ctx": {"error": error.msg}}], body=error.doc) from error
    except Exception as error:
        raise BadRequestError from error
