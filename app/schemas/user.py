"""Accounts on the wire."""

import re
import unicodedata
from datetime import datetime
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, EmailStr, Field, SecretStr, StringConstraints, model_validator

from app.schemas.base import In, Out
from app.schemas.text import Characters

MAX_EMAIL = 254


def check_username(name: str) -> str:
    """Letters and digits of any script, in one spelling (Unicode NFKC)."""
    name = unicodedata.normalize("NFKC", name)
    if not re.fullmatch(r"[\w.-]{3,50}", name):
        raise ValueError("must be 3 to 50 letters, digits and `_ . -`")
    return name


def refuse_long_address(address: object) -> object:
    """Before anybody looks at its parts (RFC 5321 section 4.5.3.1.3, without the brackets)."""
    if isinstance(address, str) and len(address) > MAX_EMAIL:
        raise ValueError(f"must have at most {MAX_EMAIL} characters")
    return address


def check_password(password: SecretStr) -> SecretStr:
    if "\0" in password.get_secret_value():
        raise ValueError("must not contain a NUL character")
    return password


Username = Annotated[
    str,
    StringConstraints(min_length=3, max_length=50, pattern=r"^[\w.-]+$"),
    AfterValidator(check_username),
    Field(examples=["alice"]),
]
Email = Annotated[
    EmailStr, BeforeValidator(refuse_long_address), Field(max_length=MAX_EMAIL, examples=["alice@example.com"])
]
Password = Annotated[
    SecretStr, Field(min_length=8, max_length=128, examples=["correct horse battery"]), AfterValidator(check_password)
]
FullName = Annotated[str, Characters(100, is_line=True), Field(examples=["Alice Liddell"])]


class UserCreate(In):
    username: Username
    email: Email
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
    role: Annotated[str, Field(examples=["user"])]
    is_active: bool
    is_verified: bool
    created_at: datetime
    updated_at: datetime
