"""What is kept of accounts, and when it is not used; what it hears is in `tests/e2e/test_account_cache.py`."""

import time
from datetime import timedelta

import pytest

from app.core import clock
from app.core.clock import utc_now
from app.crud.account import Account
from app.models.user import Role
from app.services.auth.account_cache import LEASE, AccountCache


def account(user_id: int = 1) -> Account:
    now = utc_now()
    return Account(user_id, "alice", "a@example.com", None, Role.USER, True, False, now, now, 1)


def key(session_id: int = 1) -> str:
    return f"{session_id:032x}"


def store(cache: AccountCache, session_id: int = 1, user_id: int = 1, lives: timedelta = timedelta(days=1)) -> None:
    cache.store(key(session_id), account(user_id), utc_now() + lives, cache.changes)


@pytest.fixture
def cache() -> AccountCache:
    """One whose listener has just confirmed that it hears."""
    cache = AccountCache()
    cache.gain()
    cache.confirm(clock.seconds())
    return cache


def test_what_is_kept_is_found_by_session_and_user(cache: AccountCache) -> None:
    store(cache)
    found = cache.find(key(1), 1)
    assert found is not None
    assert found.username == "alice"
    assert cache.find(key(2), 1) is None
    assert cache.find(key(1), 2) is None


def test_before_a_listener_hears_nothing_is_kept() -> None:
    cache = AccountCache()
    store(cache)
    assert cache.size == 0
    cache.gain()
    store(cache)
    assert cache.find(key(1), 1) is None, "kept, but not used before it is confirmed"
    cache.confirm(clock.seconds())
    assert cache.find(key(1), 1) is not None


def test_nothing_is_used_when_the_lease_has_ended() -> None:
    cache = AccountCache()
    cache.gain()
    store(cache)
    cache.confirm(clock.seconds() - LEASE.total_seconds() + 0.05)
    assert cache.find(key(1), 1) is not None
    time.sleep(0.06)
    assert cache.find(key(1), 1) is None


def test_an_answer_that_comes_too_late_for_a_lease_leaves_nothing(cache: AccountCache) -> None:
    store(cache)
    cache.confirm(clock.seconds() - LEASE.total_seconds())
    assert cache.size == 0


def test_nothing_is_left_when_the_listener_is_lost(cache: AccountCache) -> None:
    store(cache)
    cache.lose()
    assert (cache.find(key(1), 1), cache.size) == (None, 0)
    store(cache)
    cache.gain()
    cache.confirm(clock.seconds())
    assert cache.find(key(1), 1) is None, "what was read while nobody listened"


def test_an_entry_is_not_used_for_longer_than_its_time_and_its_sessions() -> None:
    cache = AccountCache(max_age=timedelta(0))
    cache.gain()
    cache.confirm(clock.seconds())
    store(cache)
    assert cache.find(key(1), 1) is None
    cache = AccountCache()
    cache.gain()
    cache.confirm(clock.seconds())
    store(cache, lives=timedelta(0))
    assert cache.find(key(1), 1) is None


@pytest.mark.parametrize(("payload", "left"), [("1", 1), ("3", 3), ("", 0), ("whatever", 0)])
def test_what_is_heard_of_a_user_ends_that_users_entries_and_anything_else_all(
    cache: AccountCache, payload: str, left: int
) -> None:
    store(cache, 1, 1)
    store(cache, 2, 1)
    store(cache, 3, 2)
    cache.hear(payload)
    assert cache.size == left
    assert (cache.find(key(3), 2) is not None) == (left > 0)


@pytest.mark.parametrize("happening", ["hear", "suspend", "lose", "gain"])
def test_what_was_read_before_something_happened_is_not_kept_after_it(cache: AccountCache, happening: str) -> None:
    changes = cache.changes
    if happening == "hear":
        cache.hear("1")
    else:
        getattr(cache, happening)()
    cache.store(key(), account(), utc_now() + timedelta(days=1), changes)
    assert cache.size == 0


def test_after_a_commit_here_only_a_later_question_confirms(cache: AccountCache) -> None:
    store(cache)
    asked_before = clock.seconds()
    asked: list[bool] = []
    cache.ask_again = lambda: asked.append(True)
    cache.suspend()
    assert asked == [True]
    cache.confirm(asked_before)
    assert cache.find(key(1), 1) is None
    cache.confirm(clock.seconds())
    assert cache.find(key(1), 1) is not None


def test_of_too_many_the_oldest_go() -> None:
    cache = AccountCache(max_entries=3)
    cache.gain()
    cache.confirm(clock.seconds())
    for number in range(1, 6):
        store(cache, number, number)
        store(cache, number, number)
    assert cache.size == 3
    assert [cache.find(key(number), number) is not None for number in range(1, 6)] == [False, False, True, True, True]
