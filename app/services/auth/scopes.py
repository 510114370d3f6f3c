"""The scopes of tokens, and those that each role allows."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from app.models.user import Role


@dataclass(frozen=True, slots=True)
class Scope:
    name: str
    text: str
    admin_only: bool = False


type Group = tuple[Scope, ...]

ACCOUNT = Scope("account", "See and change your own account, and sign its devices out")
ADMIN = Scope("admin", "Run the service", admin_only=True)
# Promised to clients before there is an operation that asks for them: sessions keep the scopes they were opened with.
PROMISED: tuple[Group, ...] = (
    (Scope("files:read", "See files"), Scope("files:write", "Upload and delete files")),
    (Scope("chat", "Take part in chats"),),
)


@dataclass(frozen=True, slots=True)
class Scopes:
    """All scopes of an application, by name, in the order in which tokens and the OpenAPI document list them."""

    by_name: dict[str, Scope]
    by_role: dict[Role, frozenset[str]]
    # These ask who the caller is now: their services open transactions of their own, in which nobody asks again.
    never_recalled: frozenset[str]

    @classmethod
    def of(cls, resources: Iterable[Group]) -> Self:
        """Each resource's scopes together: those that everybody may have first, those of administrators alone last."""
        groups = sorted([(ACCOUNT,), *resources, *PROMISED, (ADMIN,)], key=admin_share)
        by_name = {scope.name: scope for group in groups for scope in group}
        for_admins = frozenset(scope.name for scope in by_name.values() if scope.admin_only)
        by_role = {role: frozenset(by_name) - (frozenset() if role is Role.ADMIN else for_admins) for role in Role}
        return cls(by_name, by_role, for_admins | {ACCOUNT.name})

    def allowed(self, role: Role) -> frozenset[str]:
        return self.by_role[role]

    def text(self, scopes: frozenset[str]) -> str:
        """RFC 6749 section 3.3: a list separated by spaces."""
        return " ".join(name for name in self.by_name if name in scopes)


def admin_share(group: Group) -> tuple[bool, bool]:
    return any(scope.admin_only for scope in group), all(scope.admin_only for scope in group)
