"""Accounts on the wire."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from app.core.addresses import PlainAddress
from app.core.invisible import BASIC, refuse_invisible
from app.core.usernames import Username
from app.schemas.base import In, Out
from app.schemas.text import CONTROL_CHARACTERS, Characters


def check_password(password: SecretStr) -> SecretStr:
    if "\0" in password.get_secret_value():
        raise ValueError("must not contain a NUL character")
    return password


Password = Annotated[
    SecretStr, Field(min_length=8, max_length=128, examples=["correct horse battery"]), AfterValidator(check_password)
]
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


class UserCreate(In):
    username: Username
    email: PlainAddress
    password: Password
    full_name: FullName | None = None


class Registration(UserCreate):
    """A new account; `confirm_password`, where a form has one, must equal `password`."""

    confirm_password: Annotated[SecretStr, Field(max_length=128)] | None = None

    @model_validator(mode="after")
    def passwords_agree(self) -> Self:
        if self.confirm_password is not None and self.confirm_password != self.password:
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
