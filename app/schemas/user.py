"""Accounts on the wire."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from app.core.security.addresses import PlainAddress
from app.core.security.invisible import BASIC, refuse_invisible
from app.core.security.opaque_string import MAX_LENGTH, MAX_TYPED_LENGTH, NewPassword, opaque_string
from app.core.security.usernames import Username
from app.schemas.base import In, Out
from app.schemas.text import CONTROL_CHARACTERS, Characters

FullName = Annotated[
    str,
    Characters(100, is_line=True),
    AfterValidator(refuse_invisible),
    Field(
        examples=["Alice Liddell"],
        description="Without invisible characters and marks of direction.",
        json_schema_extra={"pattern": rf"^[^{CONTROL_CHARACTERS}{BASIC}]*$"},
    ),
]


RoleName = Annotated[
    Literal["user", "admin"], Field(description="What the account may do: `admin` all, `user` what is its own.")
]
TypedAgain = Annotated[SecretStr, Field(max_length=MAX_TYPED_LENGTH, json_schema_extra={"maxLength": MAX_LENGTH})]


class UserCreate(In):
    username: Username
    email: PlainAddress
    password: NewPassword
    full_name: FullName | None = None


class Registration(UserCreate):
    """A new account; `confirm_password`, where a form has one, must equal `password`."""

    confirm_password: (
        Annotated[SecretStr, Field(max_length=MAX_TYPED_LENGTH, json_schema_extra={"maxLength": MAX_LENGTH})] | None
    ) = None

    @model_validator(mode="after")
    def passwords_agree(self) -> Self:
        again = self.confirm_password
        if again is not None and opaque_string(again.get_secret_value()) != self.password.get_secret_value():
            raise ValueError("confirm_password must equal password")
        return self


class UserRead(Out):
    id: Annotated[int, Field(examples=[7])]
    username: Annotated[str, Field(examples=["alice"])]
    email: Annotated[str, Field(examples=["alice@example.com"])]
    full_name: Annotated[str | None, Field(examples=["Alice Liddell"])]
    role: Annotated[RoleName, Field(examples=["user"])]
    is_active: bool
    is_verified: bool
    created_at: datetime
    updated_at: datetime
