"""Exception handlers: every error, the framework's own included, becomes problem+json (RFC 9457)."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Self

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Match

from app.api.faults import describe_errors
from app.api.request_state import state_of
from app.core.db.errors import Meaning, code_name, meaning
from app.core.errors import (
    AppError,
    BodyTooLargeError,
    ConflictError,
    DatabaseUnavailableError,
    InsufficientStorageError,
)
from app.schemas.base import Problem, ValidationProblem

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
FRAMEWORK_CODES = {
    400: "bad_request",
    401: "not_authenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
    416: "range_not_satisfiable",
    431: "headers_too_large",
}
FRAMEWORK_DETAILS = {
    401: "Log in and send the access token as `Authorization: Bearer <token>`.",
    404: "There is nothing at this address.",
    405: "This address does not take this method; `Allow` lists those it does.",
    413: BodyTooLargeError.detail,
}
# Log events; the database's own error code is logged with them.
EVENTS = {
    Meaning.UNAVAILABLE: "database unavailable",
    Meaning.WRONG_SERVER: "the database is read-only: is it a standby?",
    Meaning.FULL: "there is no room left",
    Meaning.TRY_AGAIN: "transactions kept conflicting",
    Meaning.PLAN_AGAIN: "the schema kept changing",
}
BUSY = "The database is busy; try again shortly."

OAUTH_CODES = {"invalid_scope": "invalid_scope", "unsupported_media_type": "invalid_request"}
OAUTH_FORM = "Send the parameters as a form in UTF-8, none longer than the documentation says."


class OAuthError(Exception):
    """An error in the format of RFC 6749 section 5.2, used by the token endpoint only."""

    def __init__(self, status: int, error: str, description: str, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.error = error
        self.description = description
        self.headers = {"Cache-Control": "no-store", "Pragma": "no-cache", **(headers or {})}
        if status == 401:
            self.headers["WWW-Authenticate"] = 'Basic realm="Strata"'

    @classmethod
    def of(cls, error: AppError) -> Self:
        if error.status in {429, 503, 507}:
            return cls(error.status, "temporarily_unavailable", error.detail, error.headers)
        return cls(400, OAUTH_CODES.get(error.code, "invalid_grant"), error.detail)


class EarlyResponse(Exception):  # noqa: N818 - a response, not an error
    """Ends the request with a response that exists already: a 304, or a stored response."""

    def __init__(self, response: Response) -> None:
        self.response = response


def problem(
    request_id: str,
    status: int,
    code: str,
    detail: str,
    headers: dict[str, str] | None = None,
    errors: Sequence[dict[str, Any]] | None = None,
) -> JSONResponse:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }
    if errors is not None:
        body["errors"] = errors
    return JSONResponse(body, status, headers, MEDIA_TYPE)


def install_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(AppError, on_app_error)
    app.add_exception_handler(OAuthError, on_oauth_error)
    app.add_exception_handler(EarlyResponse, on_early_response)
    app.add_exception_handler(RequestValidationError, on_validation_error)
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_exception_handler(SQLAlchemyError, on_database_error)
    # asyncpg's refused connections and SQLite's MemoryError arrive unwrapped.
    app.add_exception_handler(OSError, on_database_error)
    app.add_exception_handler(MemoryError, on_database_error)


async def on_app_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AppError)
    if is_token_endpoint(request):
        return await on_oauth_error(request, OAuthError.of(error))
    return problem(state_of(request.scope).id, error.status, error.code, error.detail, error.headers)


def is_token_endpoint(request: Request) -> bool:
    return str(request.scope["path"]).endswith("/auth/token")


async def on_oauth_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, OAuthError)
    return JSONResponse({"error": error.error, "error_description": error.description}, error.status, error.headers)


async def on_early_response(_: Request, error: Exception) -> Response:
    assert isinstance(error, EarlyResponse)
    return error.response


async def on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if is_token_endpoint(request):
        return await on_oauth_error(request, OAuthError(400, "invalid_request", OAUTH_FORM))
    detail = "The request is not valid; see `errors`."
    return problem(state_of(request.scope).id, 422, "validation_error", detail, errors=describe_errors(error.errors()))


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Errors that Starlette and FastAPI raise: unknown paths, wrong methods, oversized bodies."""
    assert isinstance(error, HTTPException)
    if error.status_code == 400 and is_token_endpoint(request):
        return await on_oauth_error(request, OAuthError(400, "invalid_request", OAUTH_FORM))
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(allowed_methods(request))
    return framework_problem(state_of(request.scope).id, error.status_code, str(error.detail), headers)


def framework_problem(request_id: str, status: int, text: str, headers: dict[str, str]) -> JSONResponse:
    """A framework error as a problem; `text` is its own message, used if there is no better one."""
    detail = FRAMEWORK_DETAILS.get(status) or text or HTTPStatus(status).phrase
    return problem(request_id, status, FRAMEWORK_CODES.get(status, "http_error"), detail, headers)


def allowed_methods(request: Request) -> list[str]:
    """The methods of every route at this path; the framework lists only those of the first."""
    methods: set[str] = set()
    for route in iter_route_contexts(request.app.routes):
        if route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))


async def on_database_error(request: Request, error: Exception) -> Response:
    found = meaning(error)
    if found is Meaning.OUR_BUG:
        raise error
    if found is Meaning.CONFLICT:
        # A constraint without an error code: respond 409 without revealing its name.
        log.warning("constraint violated", error=str(error.orig if isinstance(error, DBAPIError) else error))
        return await on_app_error(request, ConflictError())
    log.error(EVENTS[found], error=type(error).__name__, code=code_name(error))
    return await on_app_error(request, refusal(found))


def refusal(found: Meaning) -> AppError:
    if found is Meaning.FULL:
        return InsufficientStorageError()
    is_busy = found in {Meaning.TRY_AGAIN, Meaning.PLAN_AGAIN}
    return DatabaseUnavailableError(BUSY if is_busy else None)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI entries for the responses of an operation besides success: problems, and 304."""
    return {status: describe(status) for status in statuses}


def describe(status: int) -> dict[str, Any]:
    if status == 304:
        return {"description": "You have the current version."}
    models = [ValidationProblem, Problem] if status == 422 else [Problem]
    references = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]
    schema = {"anyOf": references} if len(references) > 1 else references[0]
    return {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
