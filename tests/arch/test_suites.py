"""Which tests run again on a second database: all that get one, and no other."""

import re

import pytest

from app.core.db.migrations import ROOT

VARIABLE = "STRATA_TEST_DATABASE_URL"


@pytest.mark.usefixtures("is_postgresql")
def test_a_test_with_a_database_is_marked(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("database") is not None


def test_a_test_without_one_is_not(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("database") is None


def test_which_database_it_is_stands_in_one_place() -> None:
    reading = re.compile(rf"(?:environ|getenv).*{VARIABLE}")
    readers = [path for path in (ROOT / "tests").rglob("*.py") if reading.search(path.read_text())]
    assert readers == [ROOT / "tests/conftest.py"]
