"""In-process cache of the accounts behind sessions, valid while a lease on change notifications lasts."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.core import clock
from app.crud.account import Account

# The longest delay until another instance sees that a session has ended.
LEASE = timedelta(seconds=1)
# An upper bound on the age of an entry, whatever was overlooked.
MAX_AGE = timedelta(minutes=1)
MAX_ENTRIES = 10_000


@dataclass(frozen=True, slots=True)
class Entry:
    """`expires_at` is wall-clock time; the time of reading is monotonic."""

    account: Account
    expires_at: float
    read_at: float


class AccountCache:
    """Caches the accounts that `Auth` loads.

    Entries are used only while the lease lasts: one second from the last time the database confirmed that no
    notifications are pending. Triggers notify of every change to sessions and accounts, and a notification drops the
    user's entries. Without a lease there is no cache.
    """

    def __init__(self, *, max_age: timedelta = MAX_AGE, max_entries: int = MAX_ENTRIES) -> None:
        self.max_age_seconds = max_age.total_seconds()
        self.max_entries = max_entries
        # By session key: a restored database reuses ids.
        self.of_users: dict[int, dict[str, Entry]] = {}
        self.size = 0
        # Counts invalidations; what was read before one must not be stored after it.
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
        """Store an account read after `changes` was sampled, unless there was an invalidation since."""
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
        """Bypass the cache until every commit up to now has been notified."""
        self.changes += 1
        self.lease_until = 0.0
        self.suspended_at = clock.seconds()
        self.ask_again()

    # Called by the Listener.

    def gain(self) -> None:
        self.lose()
        self.is_open = True

    def hear(self, payload: str) -> None:
        """`payload` is the id of a user, or empty for all users."""
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
