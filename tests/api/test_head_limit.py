"""Requests whose head is too large are refused by the application itself, whichever server it runs on."""

from collections.abc import AsyncIterator

import httpx
import pytest

from app.api.middleware.head_limit import MAX_BYTES, MAX_FIELDS
from app.core.config.settings import Settings
from tests.api.test_conventions import assert_problem
from tests.conftest import connected, running

ORIGIN = "https://app.example.com"
TARGET = "/info?x=1"


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    usual = settings.model_copy(update={"cors_origins": (ORIGIN,)})
    async with running(usual) as (_, manager, _), connected(manager.app) as client:
        client.headers.clear()
        yield client


def fields(number: int) -> list[tuple[str, str]]:
    """So many, with the client's `Host`."""
    return [("X-Many", "1")] * (number - 1)


def of_size(size: int) -> dict[str, str]:
    """Fields that make a head of so many bytes of target, names and values."""
    return {"X-Long": "x" * (size - len("/infox=1hosttestx-long"))}


async def test_a_hundred_fields_are_taken_and_one_more_is_not(client: httpx.AsyncClient) -> None:
    assert (await client.get(TARGET, headers=fields(MAX_FIELDS))).status_code == 200
    assert_problem(await client.get(TARGET, headers=fields(MAX_FIELDS + 1)), 431, "headers_too_large")


async def test_exactly_the_bound_is_taken_and_one_byte_more_is_not(client: httpx.AsyncClient) -> None:
    assert (await client.get(TARGET, headers=of_size(MAX_BYTES))).status_code == 200
    assert_problem(await client.get(TARGET, headers=of_size(MAX_BYTES + 1)), 431, "headers_too_large")


@pytest.mark.parametrize("target", [f"/{'x' * 40_000}", f"/info?{'x' * 40_000}", f"/{'%20' * 14_000}"])
async def test_the_target_counts(client: httpx.AsyncClient, target: str) -> None:
    assert_problem(await client.get(target, headers=of_size(30_000)), 431, "headers_too_large")


@pytest.mark.parametrize("path", ["/health", "/ready", "/api/v1/items", "/docs/assets/favicon.png", "/nothing"])
async def test_no_path_is_spared(client: httpx.AsyncClient, path: str) -> None:
    assert_problem(await client.get(path, headers=fields(101)), 431, "headers_too_large")


async def test_the_refusal_has_the_headers_of_every_other_answer(client: httpx.AsyncClient) -> None:
    mine = {"Origin": ORIGIN, "X-Request-ID": "mine"}
    usual = await client.get("/nothing", headers=mine)
    refused = await client.get("/nothing", headers=mine | of_size(MAX_BYTES))
    assert refused.json()["request_id"] == "mine"
    assert "100 fields or 64 KiB" in refused.json()["detail"]
    timings = {"x-process-time", "server-timing"}
    assert usual.headers.keys() - timings == refused.headers.keys()
    changed = timings | {"content-length"}
    assert {name for name in usual.headers.keys() - changed if usual.headers[name] != refused.headers[name]} == set()


async def test_a_preflight_and_a_head_are_refused_as_well(client: httpx.AsyncClient) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
    assert_problem(await client.options("/info", headers=asked | of_size(MAX_BYTES)), 431, "headers_too_large")
    refused = await client.head(TARGET, headers=of_size(MAX_BYTES + 1))
    assert (refused.status_code, refused.content) == (431, b"")
