"""Bodies of account operations, for users and administrators."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import MISSING, ConfigDict, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from app.core.security.addresses import PlainAddress
from app.core.security.opaque_string import NewPassword
from app.core.security.usernames import Username
from app.schemas.base import Flag, In, MoneyOut, Out
from app.schemas.item import ItemRead
from app.schemas.order import OrderCounts, OrderRead
from app.schemas.parameters import IdParameter
from app.schemas.user import FullName, RoleName, UserCreate, UserRead

CurrentPassword = Annotated[SecretStr, Field(max_length=1024, examples=["correct horse battery"])]
MailToken = Annotated[
    str, Field(min_length=1, max_length=200, examples=["vhPq0T5yGJ3f1rZk8mXw2bNc7dLs4aEu6oIiR9tQkHA"])
]

MailCode = Annotated[
    str,
    Field(
        min_length=1,
        max_length=20,
        description="In any letter case, with or without the hyphen.",
        examples=["WDJB-MJHT"],
    ),
]


class ProfileUpdate(In):
    """What to change of your own account; the address changes by mail, the password with the old one."""

    username: Username | MISSING = MISSING
    full_name: FullName | None | MISSING = MISSING
    password: Annotated[
        CurrentPassword | MISSING, Field(description="Your password: needed where `username` is another than before.")
    ] = MISSING

    model_config = ConfigDict(json_schema_extra={"dependentRequired": {"password": ["username"]}})

    @field_validator("password")
    @classmethod
    def goes_with_a_name(cls, password: SecretStr, info: ValidationInfo) -> SecretStr:
        """Whoever sends a new password here must not believe that it was taken."""
        if info.data.get("username") is MISSING:
            raise ValueError("goes with `username`; a new password is set by PUT /users/me/password")
        return password

    @property
    def given_password(self) -> str | None:
        return self.password.get_secret_value() if isinstance(self.password, SecretStr) else None


class PasswordChange(In):
    current_password: CurrentPassword
    new_password: NewPassword


class AccountDeletion(In):
    password: CurrentPassword


class EmailChange(In):
    email: PlainAddress
    password: CurrentPassword


class ForgottenPassword(In):
    email: PlainAddress


class MailProof(In):
    """What proves that a mail was read: the token of its link, or the address it went to and its code."""

    token: MailToken | MISSING = MISSING
    email: Annotated[PlainAddress | MISSING, Field(description="Where the mail went; with `code`.")] = MISSING
    code: MailCode | MISSING = MISSING

    model_config = ConfigDict(json_schema_extra={"dependentRequired": {"email": ["code"], "code": ["email"]}})

    @model_validator(mode="after")
    def require_one_form(self) -> Self:
        given = {name for name in ("token", "email", "code") if name in self.model_fields_set}
        if given not in ({"token"}, {"email", "code"}):
            raise PydanticCustomError("mail_proof", "Must have either `token`, or `email` and `code`")
        return self

    @property
    def email_and_code(self) -> tuple[str, str]:
        assert isinstance(self.email, str)
        assert isinstance(self.code, str)
        return self.email, self.code


class PasswordReset(MailProof):
    """A new password, with the token of the mail or its code."""

    new_password: NewPassword


class EmailVerification(MailProof):
    """The token of the mail or its code."""


class AccountCreate(UserCreate):
    """An account made by an administrator."""

    role: RoleName = "user"
    is_active: Flag = True
    is_verified: Flag = False


class AccountUpdate(In):
    """What an administrator may change of any account."""

    username: Username | MISSING = MISSING
    email: PlainAddress | MISSING = MISSING
    full_name: FullName | None | MISSING = MISSING
    role: RoleName | MISSING = MISSING
    is_active: Flag | MISSING = MISSING
    is_verified: Flag | MISSING = MISSING


class SessionRead(Out):
    """A signed-in device."""

    id: Annotated[int, Field(examples=[12])]
    created_at: datetime
    last_used_at: datetime
    ip: Annotated[str | None, Field(examples=["203.0.113.7"])]
    user_agent: Annotated[str | None, Field(examples=["Mozilla/5.0 (iPhone)"])]
    current: Annotated[bool, Field(description="Whether this very request comes from it.")]


class AuditEventRead(Out):
    """Who did what to whom."""

    id: Annotated[int, Field(examples=[1042])]
    at: datetime
    action: Annotated[
        str, Field(description="As the list's filter `action` names them; more may come.", examples=["signed_in"])
    ]
    actor_id: Annotated[int | None, Field(description="Who did it; null where nobody was signed in.", examples=[7])]
    subject_id: Annotated[int | None, Field(description="The account it was done to.", examples=[7])]
    ip: Annotated[str | None, Field(examples=["203.0.113.7"])]
    user_agent: Annotated[str | None, Field(examples=["Mozilla/5.0 (iPhone)"])]
    request_id: Annotated[str | None, Field(examples=["4f1c2a9be07d4c1b8c55f4b1a0f3d9e2"])]
    details: dict[str, Any]


class Export(Out):
    """Everything that is stored about an account."""

    exported_at: datetime
    user: UserRead
    sessions: list[SessionRead]
    items: list[ItemRead]
    orders: list[OrderRead]
    audit: list[AuditEventRead]


class UserCounts(Out):
    total: int
    active: int
    verified: int
    admins: int


class ItemCounts(Out):
    total: int
    open: int


class Day(Out):
    """What was new on one day, in UTC."""

    day: Annotated[str, Field(examples=["2026-11-22"])]
    users: int
    items: int
    orders: int


class Dashboard(Out):
    users: UserCounts
    items: ItemCounts
    orders: OrderCounts
    revenue: Annotated[MoneyOut, Field(description="The total of all paid orders.")]
    sessions: Annotated[int, Field(description="Devices signed in now.")]
    days: Annotated[list[Day], Field(description="The last 30 days, the oldest first.")]


AccountId = Annotated[IdParameter, Field(examples=[7])]
