"""Errors of sign-in and sessions."""

from app.core.errors import ForbiddenError, InvalidTokenError, UnauthorizedError


class InvalidCredentialsError(UnauthorizedError):
    def __init__(self) -> None:
        super().__init__("The username or the password is wrong.")
        self.code = "invalid_credentials"


class PasswordReplacedError(InvalidCredentialsError):
    """The stored hash changed during the check: a new password, or a rehash of the same one."""


class InactiveUserError(ForbiddenError):
    code = "inactive_user"
    detail = "This account has been deactivated."


class SessionEndedError(InvalidTokenError):
    def __init__(self) -> None:
        super().__init__("The session has ended. Log in again.", code="token_revoked")


class TokenReusedError(InvalidTokenError):
    """A refresh token was reused: the session ends, for the holder of its successor too."""

    keeps_changes = True

    def __init__(self) -> None:
        super().__init__("The refresh token was used before; the session has ended. Log in again.", code="token_reused")
