"""The list of common passwords: what it holds."""

import pytest

from app.core.security.common_passwords import MIN_LENGTH, common_passwords
from tests.factories import PASSWORD


def test_it_holds_thousands_all_long_enough_and_in_lower_case() -> None:
    words = common_passwords()
    assert 5_000 < len(words) < 20_000
    assert all(len(word) >= MIN_LENGTH and word == word.casefold() for word in words)


@pytest.mark.parametrize("password", ["password", "12345678", "password1", "qwertyuiop", "iloveyou", "trustno1"])
def test_it_holds_what_is_tried_first(password: str) -> None:
    assert password in common_passwords()


def test_it_does_not_hold_what_nobody_guesses() -> None:
    assert PASSWORD not in common_passwords()


def test_it_is_loaded_once() -> None:
    assert common_passwords() is common_passwords()
