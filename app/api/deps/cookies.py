"""The refresh token in a cookie, for single-page apps: inaccessible to scripts and to other sites."""

from typing import Annotated, Any

from fastapi import Cookie, Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError

from app.api.deps import AppServicesDep
from app.core.config.settings import Settings
from app.core.errors import ForbiddenError
from app.schemas.auth import RefreshRequest
from app.schemas.parameters import FlagQuery
from app.services.auth.auth import TokenPair

COOKIE = "refresh_token"
PATH = "/api/v1/auth"
SENT_BY_BROWSERS = {"origin", "sec-fetch-site"}


class CrossSiteError(ForbiddenError):
    code = "csrf"
    detail = "The cookie only works from an allowed origin; see CORS_ORIGINS."


class AmbiguousCookieError(ForbiddenError):
    code = "csrf"
    detail = "More than one cookie can be taken for refresh_token: delete the cookies of this site and sign in again."


class RefreshCookie:
    """Where a request's refresh token is, and where the response puts the next one."""

    def __init__(
        self, request: Request, response: Response, settings: Settings, token: str | None, *, is_wanted: bool
    ) -> None:
        self.request = request
        self.response = response
        self.settings = settings
        self.token = token
        self.is_wanted = is_wanted
        if is_wanted and not SENT_BY_BROWSERS.isdisjoint(request.headers):
            # Or another site could sign its visitors in as somebody else. Here, before a session is opened or a
            # token is used up for an answer that is then refused.
            self.refuse_other_sites()

    def read(self, body: RefreshRequest | None) -> str:
        """The token of the body, else that of the cookie, which then goes on in cookie mode."""
        if body is not None and body.refresh_token is not None:
            return body.refresh_token
        if is_ambiguous(self.request):
            raise AmbiguousCookieError
        if self.token is None:
            missing = {"loc": ("body", "refresh_token"), "msg": "Field required", "type": "missing", "input": None}
            raise RequestValidationError([missing])
        self.refuse_other_sites()
        self.is_wanted = True
        return self.token

    def answer(self, pair: TokenPair) -> dict[str, Any]:
        """RFC 6749 section 5.1, the refresh token where the client wants it."""
        body: dict[str, Any] = {
            "access_token": pair.access_token,
            "token_type": "bearer",
            "expires_in": pair.expires_in,
            "scope": pair.scope,
        }
        if not self.is_wanted:
            return {**body, "refresh_token": pair.refresh_token}
        self.set(pair.refresh_token, int(self.settings.refresh_token_ttl.total_seconds()))
        return body

    def clear(self) -> None:
        if self.token is not None:
            self.set("", 0)

    def set(self, value: str, max_age: int) -> None:
        self.response.set_cookie(
            COOKIE,
            value,
            max_age=max_age,
            path=self.settings.root_path + PATH,
            secure=True,
            httponly=True,
            samesite="strict",
        )

    def refuse_other_sites(self) -> None:
        """Browsers say where a request comes from; SameSite alone trusts every subdomain."""
        origin = self.request.headers.get("origin")
        if origin is None:
            if self.request.headers.get("sec-fetch-site") == "same-origin":
                return
            raise CrossSiteError
        own = f"{self.request.scope['scheme']}://{self.request.headers.get('host', '')}"
        if origin not in {own, *self.settings.cors_origins} - {"*"}:
            raise CrossSiteError


def is_ambiguous(request: Request) -> bool:
    """Whether there are several of our name, or one that only some take for it.

    Any subdomain of the site can add one, and which of them is the visitor's own the request does not tell.
    """
    pairs = ";".join(request.headers.getlist("cookie")).split(";")
    names = [pair.partition("=")[0].strip(" \t") for pair in pairs]
    alike = [name for name in names if name.strip().strip('"').strip() == COOKIE]
    return alike not in ([], [COOKIE])


async def get_refresh_cookie(
    request: Request,
    response: Response,
    services: AppServicesDep,
    # An empty one is a token that is no good, like any other.
    refresh_token: Annotated[
        str | None, Cookie(max_length=4096, description="In cookie mode, instead of the body.")
    ] = None,
    cookie: Annotated[FlagQuery, Query(description="Put the refresh token in a cookie instead of the body.")] = False,
) -> RefreshCookie:
    return RefreshCookie(request, response, services.settings, refresh_token, is_wanted=cookie)


RefreshCookieDep = Annotated[RefreshCookie, Depends(get_refresh_cookie)]
