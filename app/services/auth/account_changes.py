"""Invalidates the account cache: by notifications from triggers, and at once for commits of this process."""

from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import event, inspect
from sqlalchemy.orm import ORMExecuteState, SessionTransaction, UOWTransaction
from sqlalchemy.orm import Session as SQLSession

from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.core.db.session import SharedConnectionSession
from app.core.fallback import Fallback
from app.models.device_session import DeviceSession
from app.models.user import User
from app.services.auth.account_cache import AccountCache

if TYPE_CHECKING:
    from app.core.db.listener import Listener

CHANNEL = "strata_accounts"
TABLES = (User.__tablename__, DeviceSession.__tablename__)
TRIGGERS = (
    *("strata_account_changed", "strata_account_deleted", "strata_accounts_truncated"),
    *("strata_session_shortened", "strata_session_ended", "strata_sessions_truncated"),
)
CHANGED = "accounts_changed"


def open_listener(settings: Settings, database: Database, cache: AccountCache) -> "Listener | None":
    """The listener that keeps the cache's lease; None where notifications are unavailable."""
    if database.engine.dialect.name != "postgresql" or settings.db_pgbouncer or not settings.session_cache:
        return None
    from app.core.db.listener import Listener, Source, listener_arguments  # noqa: PLC0415 - its driver costs SQLite 10 MB

    listener = Listener(
        database.engine,
        listener_arguments(settings),
        Source(CHANNEL, TABLES, TRIGGERS),
        cache,
        Fallback(
            (), "account notifications lost: every request queries the database", "account notifications are back"
        ),
    )
    cache.ask_again = listener.hurry
    watch(database, cache)
    return listener


def watch(database: Database, cache: AccountCache) -> None:
    """Suspend the cache when a transaction of this process may have ended a session or changed an account.

    The notification arrives a moment later; the next request to this process must see the change at once.
    """
    session_class = type("SharedConnectionSession", (SharedConnectionSession,), {})  # of this application alone
    database.write.configure(sync_session_class=session_class)
    event.listen(session_class, "after_flush", mark_flush)
    event.listen(session_class, "do_orm_execute", mark_statement)
    event.listen(session_class, "after_transaction_end", partial(suspend_after, cache))


def mark_flush(session: SQLSession, _: UOWTransaction) -> None:
    if any(isinstance(row, User | DeviceSession) for row in session.deleted) or any(map(takes_away, session.dirty)):
        session.info[CHANGED] = True


def mark_statement(state: ORMExecuteState) -> None:
    if not state.is_select:
        table = getattr(state.statement, "table", None)
        if table is None or table.name in TABLES:  # no table: textual SQL, which may do anything
            state.session.info[CHANGED] = True


def suspend_after(cache: AccountCache, session: SQLSession, ended: SessionTransaction) -> None:
    # Also after an error: the COMMIT may have succeeded although its response was lost.
    if ended.parent is None and session.info.pop(CHANGED, False):
        cache.suspend()


def takes_away(row: object) -> bool:
    """Whether a changed row matters; a refreshed session does not."""
    if not isinstance(row, DeviceSession):
        return isinstance(row, User)
    attributes = inspect(row).attrs
    ends = attributes.expires_at.history
    lasts = not ends.has_changes() or bool(ends.deleted and row.expires_at >= ends.deleted[0])
    return not lasts or any(attributes[name].history.has_changes() for name in ("user_id", "key"))
