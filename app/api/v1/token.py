"""`/auth/token`: the token endpoint of RFC 6749, for standard OAuth 2 clients."""

from typing import Annotated, Any

from fastapi import Form, Request, Response

from app.api.deps import AuthDep, DeviceDep
from app.api.deps.limits import LoginLimit
from app.api.errors import OAuthError
from app.api.forms import FORM_LIMITS
from app.api.router import Router
from app.schemas.auth import OAuthFault, TokenForm, TokenRead
from app.services.audit import Device
from app.services.auth.auth import Auth, TokenPair

router = Router(prefix="/auth", tag="auth", takes_little=True)

FAULTS: dict[int | str, dict[str, Any]] = {
    400: {"model": OAuthFault, "description": "RFC 6749 section 5.2"},
    401: {"model": OAuthFault, "description": "Clients have no secrets here"},
    429: {"model": OAuthFault, "description": "Too many sign-ins"},
    503: {"model": OAuthFault, "description": "The database cannot serve this now"},
    507: {"model": OAuthFault, "description": "There is no room left to store anything"},
}


@router.post(
    "/token",
    response_model=TokenRead,
    summary="Get tokens (OAuth 2)",
    responses=FAULTS,
    dependencies=[LoginLimit],
    form_limits=FORM_LIMITS,
)
async def token(
    request: Request,
    response: Response,
    auth: AuthDep,
    device: DeviceDep,
    form: Annotated[TokenForm, Form()],
) -> dict[str, Any]:
    """Errors have the form of RFC 6749 section 5.2; clients are public and only name themselves, if at all."""
    response.headers["Pragma"] = "no-cache"  # RFC 6749 section 5.1
    if form.client_secret or request.headers.get("authorization"):
        raise OAuthError(401, "invalid_client", "Clients have no secrets here: leave client authentication out.")
    pair = await grant(auth, device, form)
    return {
        "access_token": pair.access_token,
        "refresh_token": pair.refresh_token,
        "token_type": "bearer",
        "expires_in": pair.expires_in,
        "scope": pair.scope,
    }


async def grant(auth: Auth, device: Device, form: TokenForm) -> TokenPair:
    if form.grant_type == "password" and form.username and form.password:
        return await auth.login(form.username, form.password, form.scope, device)
    if form.grant_type == "refresh_token" and form.refresh_token:
        return await auth.refresh(form.refresh_token, device)
    if form.grant_type in {"password", "refresh_token", ""}:
        needed = "refresh_token" if form.grant_type == "refresh_token" else "username and password"
        raise OAuthError(400, "invalid_request", f"Send grant_type, and {needed}, as form parameters.")
    raise OAuthError(400, "unsupported_grant_type", "grant_type must be `password` or `refresh_token`.")
