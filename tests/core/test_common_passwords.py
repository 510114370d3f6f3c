"""The list of common passwords: what it holds, and what loading it costs."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from app.core.security import common_passwords as module
from app.core.security.common_passwords import common_passwords
from tests.factories import PASSWORD


@pytest.fixture(autouse=True)
def not_loaded_yet() -> Iterator[None]:
    module.load.cache_clear()
    yield
    module.load.cache_clear()


def test_it_holds_thousands_all_long_enough_and_in_lower_case() -> None:
    words = common_passwords()
    assert 5_000 < len(words) < 20_000
    assert all(len(word) >= module.MIN_LENGTH and word == word.casefold() for word in words)


@pytest.mark.parametrize("password", ["password", "12345678", "password1", "qwertyuiop", "iloveyou", "trustno1"])
def test_it_holds_what_is_tried_first(password: str) -> None:
    assert password in common_passwords()


def test_it_does_not_hold_what_nobody_guesses() -> None:
    assert PASSWORD not in common_passwords()


def test_it_is_loaded_once_and_the_library_dropped() -> None:
    assert common_passwords() is common_passwords()
    assert "zxcvbn.frequency_lists" not in sys.modules


def test_threads_that_ask_at_once_get_the_same_list() -> None:
    for _ in range(5):
        module.load.cache_clear()
        together = Barrier(8)

        def ask(together: Barrier = together) -> frozenset[str]:
            together.wait()
            return common_passwords()

        with ThreadPoolExecutor(8) as pool:
            answers = [future.result() for future in [pool.submit(ask) for _ in range(8)]]
        assert all(answer is answers[0] for answer in answers)
    assert "zxcvbn.frequency_lists" not in sys.modules
