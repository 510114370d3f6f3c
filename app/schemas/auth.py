"""Bodies of the token operations."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from app.core.security.invisible import strip_around
from app.schemas.base import In, Out

RefreshToken = Annotated[str, Field(min_length=1, max_length=4096)]
# Longer than any name or address of an account, surrounding white space included.
Login = Annotated[str, Field(max_length=320), AfterValidator(strip_around)]
Secret = Annotated[str, Field(max_length=1024, json_schema_extra={"format": "password"})]
ScopeText = Annotated[str, Field(max_length=1000)]


class OAuthForm(BaseModel):
    """RFC 6749 section 3.2: parameters that the server does not know are ignored."""

    model_config = ConfigDict(hide_input_in_errors=True)


class LoginForm(OAuthForm):
    """RFC 6749 section 4.3.2. `grant_type` may be left out, and clients need no name."""

    grant_type: Literal["password"] | None = None
    username: Login
    password: Secret
    scope: ScopeText = ""
    client_id: Annotated[str | None, Field(max_length=255)] = None
    client_secret: Secret | None = None


class TokenForm(OAuthForm):
    """RFC 6749 sections 4.3.2 and 6."""

    grant_type: Annotated[
        str, Field(max_length=1000, description="`password` or `refresh_token`.", examples=["password"])
    ] = ""
    username: Login = ""
    password: Secret = ""
    refresh_token: Annotated[str, Field(max_length=4096)] = ""
    scope: ScopeText = ""
    client_id: Annotated[str, Field(max_length=255)] = ""
    client_secret: Annotated[Secret, Field(description="Refused: apps that users install can keep none.")] = ""


class RefreshRequest(In):
    """In cookie mode the body may be empty or left out."""

    refresh_token: RefreshToken | None = None


class TokenRead(Out):
    """RFC 6749 section 5.1."""

    # Null fields are omitted.
    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    access_token: str
    refresh_token: Annotated[str | SkipJsonSchema[None], Field(description="Left out in cookie mode.")] = None
    token_type: Literal["bearer"]
    expires_in: Annotated[int, Field(description="Seconds until the access token expires.", examples=[1800])]
    scope: Annotated[str, Field(examples=["items:read items:write"])]


class OAuthFault(Out):
    """An error of the token endpoint, as RFC 6749 section 5.2 has it."""

    error: Annotated[str, Field(examples=["invalid_grant"])]
    error_description: Annotated[str, Field(examples=["The username or the password is wrong."])]
