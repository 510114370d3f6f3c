"""`/auth/token`: the token endpoint of RFC 6749, for clients that know nothing but the standard."""

from typing import Annotated, Any

from fastapi import Form, Request, Response

from app.api.deps import AuthDep, DeviceDep
from app.api.errors import OAuthError
from app.api.limits import LoginLimit
from app.api.routing import Router
from app.schemas.auth import OAuthFault, TokenRead
from app.services.audit import Device
from app.services.auth import Auth, TokenPair

router = Router(prefix="/auth", tags=["auth"])

FAULTS: dict[int | str, dict[str, Any]] = {
    400: {"model": OAuthFault, "description": "RFC 6749 section 5.2"},
    401: {"model": OAuthFault, "description": "Clients have no secrets here"},
    429: {"model": OAuthFault, "description": "Too many sign-ins"},
    503: {"model": OAuthFault, "description": "The database cannot be reached"},
}


@router.post(
    "/token", response_model=TokenRead, summary="Get tokens (OAuth 2)", responses=FAULTS, dependencies=[LoginLimit]
)
async def token(
    request: Request,
    response: Response,
    auth: AuthDep,
    device: DeviceDep,
    grant_type: Annotated[str, Form(description="`password` or `refresh_token`.", examples=["password"])] = "",
    username: Annotated[str, Form()] = "",
    password: Annotated[str, Form(json_schema_extra={"format": "password"})] = "",
    refresh_token: Annotated[str, Form()] = "",
    scope: Annotated[str, Form()] = "",
    client_secret: Annotated[str, Form(description="Refused: apps that users install can keep none.")] = "",
) -> dict[str, Any]:
    """Errors have the form of RFC 6749 section 5.2; clients are public and only name themselves, if at all."""
    response.headers["Pragma"] = "no-cache"  # RFC 6749 section 5.1
    if client_secret or request.headers.get("authorization"):
        raise OAuthError(401, "invalid_client", "Clients have no secrets here: leave client authentication out.")
    pair = await grant(auth, device, grant_type, username, password, refresh_token, scope)
    return {
        "access_token": pair.access_token,
        "refresh_token": pair.refresh_token,
        "token_type": "bearer",
        "expires_in": pair.expires_in,
        "scope": pair.scope,
    }


async def grant(
    auth: Auth, device: Device, grant_type: str, username: str, password: str, refresh_token: str, scope: str
) -> TokenPair:
    if grant_type == "password" and username and password:
        return await auth.login(username, password, scope, device)
    if grant_type == "refresh_token" and refresh_token:
        return await auth.refresh(refresh_token, device)
    if grant_type in {"password", "refresh_token", ""}:
        needed = "refresh_token" if grant_type == "refresh_token" else "username and password"
        raise OAuthError(400, "invalid_request", f"Send grant_type, and {needed}, as form parameters.")
    raise OAuthError(400, "unsupported_grant_type", "grant_type must be `password` or `refresh_token`.")
