"""The guard that counts statements: it sees what a request sends, and what it says when that is too much."""

import pytest
from sqlalchemy import text

from app.api.deps import AppServices
from app.core.config.settings import Settings
from tests.conftest import connected, running
from tests.factories import PASSWORD, Factory
from tests.statements import MaxQueries, at_most


async def ask(services: AppServices, times: int) -> None:
    async with services.database.read() as session:
        for number in range(times):
            await session.execute(text("SELECT :secret"), {"secret": f"{PASSWORD}{number}"})


async def test_as_many_as_are_allowed_pass(services: AppServices, max_queries: MaxQueries) -> None:
    with max_queries(2) as sent:
        await ask(services, 2)
    assert len(sent) == 2


async def test_one_more_fails_and_all_are_shown_without_their_values(
    services: AppServices, max_queries: MaxQueries
) -> None:
    with pytest.raises(AssertionError) as caught, max_queries(2):
        await ask(services, 3)
    first, *shown = str(caught.value).splitlines()[:4]
    assert first == "3 statements were sent, 2 are allowed:"
    assert [line.split(". ")[0] for line in shown] == ["  1", "  2", "  3"]
    assert all("SELECT" in line for line in shown)
    assert PASSWORD not in str(caught.value)


async def test_an_error_inside_is_not_hidden_by_the_count(services: AppServices, max_queries: MaxQueries) -> None:
    async def fail() -> None:
        await ask(services, 1)
        raise LookupError

    with pytest.raises(LookupError), max_queries(0):
        await fail()


def test_a_measurement_of_nothing_fails(max_queries: MaxQueries) -> None:
    with max_queries(0):
        pass
    with pytest.raises(AssertionError, match="nothing was sent"), max_queries(1):
        pass


async def test_the_begin_and_end_of_transactions_do_not_count(services: AppServices, max_queries: MaxQueries) -> None:
    with max_queries(1):
        async with services.database.transaction() as session:
            await session.execute(text("SELECT 1"))


@pytest.mark.real_database
async def test_real_transactions_and_reads_cost_what_those_of_a_test_do(real_settings: Settings) -> None:
    # A caller who is known from before is checked along with BEGIN.
    settings = real_settings.model_copy(update={"session_cache": False})
    async with running(settings) as (_, manager, services), connected(manager.app) as client:
        make = Factory(services)
        headers = await make.bearer(await make.user())
        for path, expected in (("/items", 2), ("/users/me/export", 8)):
            with at_most(expected, services.database) as sent:
                assert (await client.get(f"/api/v1{path}", headers=headers)).status_code == 200
            assert len(sent) == expected
