"""Tokens on the wire."""

from typing import Annotated, Literal

from pydantic import Field

from app.schemas.base import In, Out

RefreshToken = Annotated[str, Field(min_length=1, max_length=4096)]


class RefreshRequest(In):
    """In cookie mode the body may be empty or left out."""

    refresh_token: RefreshToken | None = None


class TokenRead(Out):
    """RFC 6749 section 5.1."""

    access_token: str
    refresh_token: Annotated[str | None, Field(description="Left out in cookie mode.")] = None
    token_type: Literal["bearer"]
    expires_in: Annotated[int, Field(description="Seconds until the access token expires.", examples=[1800])]
    scope: Annotated[str, Field(examples=["items:read items:write"])]


class OAuthFault(Out):
    """An error of the token endpoint, as RFC 6749 section 5.2 has it."""

    error: Annotated[str, Field(examples=["invalid_grant"])]
    error_description: Annotated[str, Field(examples=["The username or the password is wrong."])]
