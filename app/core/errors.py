"""The errors that reach clients, each with an HTTP status and a stable code."""

from collections.abc import Mapping
from typing import ClassVar


class AppError(Exception):
    """Raise anywhere below a handler; `app/api/errors.py` turns it into problem+json.

    The request's transaction is rolled back, unless `keeps_changes` is set because the change is the reaction to the
    failure (a reused token ends its session).
    """

    status: ClassVar[int] = 500
    code: str = "internal_error"
    detail: str = "Something went wrong on our side."
    keeps_changes: bool = False

    def __init__(
        self, detail: str | None = None, *, code: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self.detail = detail or self.detail
        self.code = code or self.code
        self.headers = dict(headers or {})
        super().__init__(self.detail)


class BadRequestError(AppError):
    status = 400
    code = "bad_request"
    detail = "There was an error parsing the body"


class UnauthorizedError(AppError):
    """RFC 6750: the request has no usable token."""

    status = 401
    code = "not_authenticated"
    detail = "Log in and send the access token as `Authorization: Bearer <token>`."

    def __init__(self, detail: str | None = None, *, code: str | None = None) -> None:
        challenge = "Bearer" if code is None else 'Bearer error="invalid_token"'
        super().__init__(detail, code=code, headers={"WWW-Authenticate": challenge})


class InvalidTokenError(UnauthorizedError):
    def __init__(self, detail: str = "The token is not valid.", *, code: str = "invalid_token") -> None:
        super().__init__(detail, code=code)


class ForbiddenError(AppError):
    status = 403
    code = "forbidden"
    detail = "You may not do this."


class InsufficientScopeError(ForbiddenError):
    """RFC 6750 section 3.1: the token is good, but not for this."""

    code = "insufficient_scope"

    def __init__(self, scopes: str) -> None:
        super().__init__(
            f"The access token lacks the scope {scopes}.",
            headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scopes}"'},
        )


class NotOwnerError(ForbiddenError):
    code = "not_owner"
    detail = "Only the owner may change this."


class NotFoundError(AppError):
    status = 404
    code = "not_found"
    detail = "There is nothing here."


class ConflictError(AppError):
    status = 409
    code = "conflict"
    detail = "The request conflicts with what is stored."


class VersionConflictError(ConflictError):
    code = "version_conflict"
    detail = "Somebody changed this since you read it; read it again and repeat the change."


class PreconditionFailedError(AppError):
    status = 412
    code = "version_mismatch"
    detail = "`If-Match` does not name the current version; read the resource again."


class BodyTooLargeError(AppError):
    status = 413
    code = "body_too_large"
    detail = "The body is larger than this server accepts."


class UnsupportedMediaTypeError(AppError):
    status = 415
    code = "unsupported_media_type"
    detail = "The server does not read bodies of this type."


class UnprocessableError(AppError):
    status = 422
    code = "unprocessable"
    detail = "The request is well-formed but cannot be carried out."


class UnavailableError(AppError):
    status = 503
    code = "unavailable"
    detail = "A service this request needs is down; try again shortly."

    def __init__(self, detail: str | None = None, *, code: str | None = None, retry_after: int = 5) -> None:
        super().__init__(detail, code=code, headers={"Retry-After": str(retry_after)})


class DatabaseUnavailableError(UnavailableError):
    code = "database_unavailable"
    detail = "The database cannot serve this now; try again shortly."


class InsufficientStorageError(AppError):
    """RFC 4918 section 11.5; lasts until an operator frees space."""

    status = 507
    code = "insufficient_storage"
    detail = "There is no room left to store anything; try again later."


class OverloadedError(UnavailableError):
    """The queue is longer than clients would wait."""

    code = "overloaded"
    detail = "Too much is waiting to be served; try again shortly."

    def __init__(self, retry_after: int = 3) -> None:
        super().__init__(retry_after=retry_after)


class RateLimitedError(AppError):
    """RFC 6585 section 4. `headers` describe the limit that was reached."""

    status = 429
    code = "rate_limited"

    def __init__(self, retry_after: int, headers: Mapping[str, str] | None = None) -> None:
        unit = "second" if retry_after == 1 else "seconds"
        super().__init__(
            f"Too many requests; try again in {retry_after} {unit}.",
            headers={**(headers or {}), "Retry-After": str(retry_after)},
        )
