"""An account as requests see it: a user's columns except the password, read-only."""

from dataclasses import dataclass
from datetime import datetime

from app.models.user import Role


@dataclass(frozen=True, slots=True)
class Account:
    """Who wants the row itself, to change it or to see the hash, loads it in a transaction."""

    id: int
    username: str
    email: str
    full_name: str | None
    role: Role
    is_active: bool
    is_verified: bool
    created_at: datetime
    updated_at: datetime
    version: int
