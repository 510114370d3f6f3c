"""The scopes of tokens, and those that each role allows."""

from functools import cache

from app.models.user import Role

SCOPES = {
    "account": "See and change your own account, and sign its devices out",
    "items:read": "See items",
    "items:write": "Offer, change and withdraw items",
    "orders:read": "See orders",
    "orders:write": "Place and cancel orders",
    "files:read": "See files",
    "files:write": "Upload and delete files",
    "chat": "Take part in chats",
    "books:read": "See books",
    "books:write": "Create, change and delete books",
    "users:read": "See all accounts",
    "users:write": "Change all accounts",
    "admin": "Run the service",
}
ADMIN_ONLY = {"books:write", "users:read", "users:write", "admin"}


@cache
def allowed_scopes(role: Role) -> frozenset[str]:
    return frozenset(SCOPES if role is Role.ADMIN else SCOPES.keys() - ADMIN_ONLY)


def scope_text(scopes: frozenset[str]) -> str:
    """RFC 6749 section 3.3: separated by spaces, in the order of `SCOPES`."""
    return " ".join(scope for scope in SCOPES if scope in scopes)
