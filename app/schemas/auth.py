"""Tokens on the wire."""

from typing import Annotated, Literal

from pydantic import Field

from app.schemas.base import In, Out

RefreshToken = Annotated[str, Field(min_length=1, max_length=4096)]


class RefreshRequest(In):
    refresh_token: RefreshToken


class TokenRead(Out):
    """RFC 6749 section 5.1."""

    access_token: str
    refresh_token: str
    token_type: Literal["bearer"]
    expires_in: Annotated[int, Field(description="Seconds until the access token expires.", examples=[1800])]
    scope: Annotated[str, Field(examples=["items:read items:write"])]
