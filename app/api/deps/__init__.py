"""Every alias that a handler may ask for; together they say what a request needs and may do."""

from app.api.deps.app_services import AccountsDep, AppServicesDep, AuthDep
from app.api.deps.caching import CachedDep
from app.api.deps.conditional import ConditionalDep, CreatedDep, ETagDep, IfMatchDep
from app.api.deps.identity import AccountUser, AdminUser, CurrentUser, DeviceDep
from app.api.deps.paging import CursorPagingDep, PagingDep
from app.api.deps.sessions import AutocommitSessionDep, ReadSessionDep, SessionDep
from app.services.app_services import AppServices

__all__ = [
    "AccountUser",
    "AccountsDep",
    "AdminUser",
    "AppServices",
    "AppServicesDep",
    "AuthDep",
    "AutocommitSessionDep",
    "CachedDep",
    "ConditionalDep",
    "CreatedDep",
    "CurrentUser",
    "CursorPagingDep",
    "DeviceDep",
    "ETagDep",
    "IfMatchDep",
    "PagingDep",
    "ReadSessionDep",
    "SessionDep",
]
