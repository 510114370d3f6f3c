"""The accounts behind sessions, kept in the process for as long as nothing can have happened to them unheard."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.core import clock
from app.crud.account import Account

# The most that another instance may be late to see that a session has ended.
LEASE = timedelta(seconds=1)
# Bounds what nobody has thought of.
MAX_AGE = timedelta(minutes=1)
MAX_ENTRIES = 10_000


@dataclass(frozen=True, slots=True)
class Entry:
    """When the session will expire is of the time of day, when the entry was read is not."""

    account: Account
    expires_at: float
    read_at: float


class AccountCache:
    """What `Auth` found, to be found again without a statement.

    An entry is used while the lease lasts: for a second from when the database was last asked whether there is
    more to hear, if it answered. Whoever ends a session, wherever, is heard by then (the triggers of the migration
    "tell of accounts" tell), and their users' entries are gone. In every other case there is no cache.
    """

    def __init__(self, *, max_age: timedelta = MAX_AGE, max_entries: int = MAX_ENTRIES) -> None:
        self.max_age_seconds = max_age.total_seconds()
        self.max_entries = max_entries
        # By the keys of sessions: their ids come again in a database that was restored.
        self.of_users: dict[int, dict[str, Entry]] = {}
        self.size = 0
        # Counts all after which what was read before must not be kept.
        self.changes = 0
        self.is_open = False
        self.lease_until = 0.0
        self.suspended_at = 0.0
        self.ask_again: Callable[[], None] = lambda: None

    def find(self, session_key: str, user_id: int) -> Account | None:
        entry = self.of_users.get(user_id, {}).get(session_key)
        if entry is None:
            return None
        now = clock.seconds()
        is_good = now < self.lease_until and now - entry.read_at < self.max_age_seconds
        return entry.account if is_good and time.time() < entry.expires_at else None

    def store(self, session_key: str, account: Account, expires_at: datetime, changes: int) -> None:
        """Keep what was read since `changes` was looked at, unless something happened meanwhile."""
        if not self.is_open or changes != self.changes:
            return
        entries = self.of_users.setdefault(account.id, {})
        self.size += session_key not in entries
        entries[session_key] = Entry(account, expires_at.timestamp(), clock.seconds())
        while self.size > self.max_entries:
            self.drop(next(iter(self.of_users)))

    def drop(self, user_id: int) -> None:
        self.changes += 1
        self.size -= len(self.of_users.pop(user_id, ()))

    def clear(self) -> None:
        self.changes += 1
        self.of_users.clear()
        self.size = 0

    def suspend(self) -> None:
        """Ask as long as it is not sure that all has been heard that was committed until now."""
        self.changes += 1
        self.lease_until = 0.0
        self.suspended_at = clock.seconds()
        self.ask_again()

    # What a Listener tells.

    def gain(self) -> None:
        self.lose()
        self.is_open = True

    def hear(self, payload: str) -> None:
        """The id of a user, or nothing for all of them."""
        if payload.isdecimal():
            self.drop(int(payload))
        else:
            self.clear()

    def confirm(self, asked_at: float) -> None:
        if not self.is_open or asked_at <= self.suspended_at:
            return
        lease_until = asked_at + LEASE.total_seconds()
        if clock.seconds() < lease_until:
            self.lease_until = lease_until
        else:
            self.clear()

    def lose(self) -> None:
        self.is_open = False
        self.lease_until = 0.0
        self.clear()
