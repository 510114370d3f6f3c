"""Why somebody is not signed in."""

from app.core.errors import ForbiddenError, InvalidTokenError, UnauthorizedError


class InvalidCredentialsError(UnauthorizedError):
    def __init__(self) -> None:
        super().__init__("The username or the password is wrong.")
        self.code = "invalid_credentials"


class PasswordReplacedError(InvalidCredentialsError):
    """Another hash is stored than the one that was checked: a new password's, or a better one of the same."""


class InactiveUserError(ForbiddenError):
    code = "inactive_user"
    detail = "This account has been deactivated."


class SessionEndedError(InvalidTokenError):
    def __init__(self) -> None:
        super().__init__("The session has ended. Log in again.", code="token_revoked")


class TokenReusedError(InvalidTokenError):
    """A refresh token came back after it had been used: whoever holds its successor loses it too."""

    keeps_changes = True

    def __init__(self) -> None:
        super().__init__("The refresh token was used before; the session has ended. Log in again.", code="token_reused")
