"""Modules of other packages: loaded where MODULES lists them, and never a start that hides that one is missing."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.cli.faults import explain
from app.core.config.settings import Settings
from app.core.plugins import PluginError
from app.main import create_app
from tests.conftest import connected, in_one_transaction, running
from tests.factories import Factory
from tests.plugin_packages import documented_plugin, install, on_the_path

URL = "/api/v1/stock"
SECRET_TEXT = "hunter2-Zq8"
ADDS_A_ROUTE = """
def init_app(app):
    app.add_api_route("/added", lambda: "yes", name="added")
"""

type Logs = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    with on_the_path(tmp_path / "site") as folder:
        yield folder


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Logs:
    """What went to the standard error: making an application takes pytest's own handler away."""
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def listing(settings: Settings, *names: str, **changes: object) -> Settings:
    return settings.model_copy(update={"modules": names, **changes})


def refusal(settings: Settings, *names: str) -> str:
    with pytest.raises(PluginError) as caught:
        create_app(listing(settings, *names))
    lines = explain(caught.value)
    assert lines is not None
    (line,) = lines
    assert "\n" not in line
    return line


def paths(settings: Settings, *names: str) -> set[str]:
    return set(create_app(listing(settings, *names)).openapi()["paths"])


async def test_the_plugin_of_the_documentation_answers_over_http(settings: Settings, site: Path) -> None:
    install(site, documented_plugin())
    async with (
        running(listing(settings, "stock")) as (app, manager, services),
        in_one_transaction(services),
        connected(manager.app) as client,
    ):
        make = Factory(services)
        alice, bob = await make.user(), await make.user()
        await make.item(alice, stock=3)
        await make.item(alice, stock=4)
        answer = await client.get(URL, headers=await make.bearer(alice))
        assert (answer.status_code, answer.json()) == (200, {"pieces": 7})
        nothing = await client.get(URL, headers=await make.bearer(bob))
        assert (nothing.status_code, nothing.json()["code"]) == (404, "stock_empty")
        assert nothing.headers["content-type"] == "application/problem+json"
        anonymous = await client.get(URL)
        assert (anonymous.status_code, anonymous.json()["code"]) == (401, "not_authenticated")
        document = app.openapi()
    operation = document["paths"][URL]["get"]
    assert (operation["operationId"], operation["tags"]) == ("stock_read", ["stock"])
    assert operation["security"]
    assert "stock" in {tag["name"] for tag in document["tags"]}


async def test_what_is_installed_and_not_listed_is_not_loaded(
    settings: Settings, site: Path, client: httpx.AsyncClient
) -> None:
    install(site, documented_plugin())
    assert URL not in paths(settings)
    assert "acme_stock" not in sys.modules
    assert (await client.get(URL)).status_code == 404


def test_one_application_takes_nothing_into_the_next(settings: Settings, site: Path) -> None:
    install(site, documented_plugin())
    assert URL in paths(settings, "stock")
    assert "stock" not in {tag["name"] for tag in create_app(settings).openapi()["tags"]}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        (ADDS_A_ROUTE, "acme_stock"),
        (ADDS_A_ROUTE, "acme_stock:init_app"),
        ("class stock:\n    @staticmethod" + ADDS_A_ROUTE.replace("\n", "\n    "), "acme_stock:stock"),
    ],
    ids=["a module", "the function", "an object"],
)
def test_an_entry_point_leads_to_init_app_or_to_what_has_it(
    settings: Settings, site: Path, source: str, value: str
) -> None:
    install(site, source, value=value)
    assert "/added" in paths(settings, "stock")


def test_plugins_are_loaded_in_the_order_of_the_list_and_once(settings: Settings, site: Path) -> None:
    source = 'def init_app(app): app.state.order = [*getattr(app.state, "order", []), __name__]'
    install(site, source, "first", package="acme_first")
    install(site, source, "second", package="acme_second")
    app = create_app(listing(settings, "second", "first", "second"))
    assert app.state.order == ["acme_second", "acme_first"]


async def test_a_plugin_cannot_take_a_path_of_ours(settings: Settings, site: Path) -> None:
    install(site, ADDS_A_ROUTE.replace("/added", "/health"))
    app = create_app(listing(settings, "stock"))
    async with connected(app) as client:
        assert (await client.get("/health")).json() == {"status": "ok"}


async def test_the_log_names_what_is_loaded_and_what_could_be(settings: Settings, site: Path, logged: Logs) -> None:
    install(site, ADDS_A_ROUTE)
    install(site, ADDS_A_ROUTE, "other", package="acme_other")
    async with running(listing(settings, "stock", log_level="info")):
        pass
    told = [(line["message"], line["plugin"], line["distribution"]) for line in logged() if "plugin" in line]
    assert told == [
        ("plugin loaded", "stock", "acme-stock"),
        ("plugin installed but not listed in MODULES", "other", "acme-other"),
    ]


def test_a_name_that_no_package_provides_is_reported(settings: Settings, site: Path) -> None:
    assert refusal(settings, "stock") == "MODULES: no installed package provides stock; installed: none."
    install(site, ADDS_A_ROUTE, "stick", package="acme_stick")
    assert refusal(settings, "stock") == "MODULES: no installed package provides stock; installed: stick."


def test_a_name_that_two_packages_bring_is_told(settings: Settings, site: Path) -> None:
    install(site, ADDS_A_ROUTE)
    install(site, ADDS_A_ROUTE, package="zzz_stock")
    said = "MODULES: stock is ambiguous: stock (acme-stock 1.2.3), stock (zzz-stock 1.2.3). Uninstall all but one."
    assert refusal(settings, "stock") == said


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import nowhere_to_be_found", "failed with ModuleNotFoundError (nowhere_to_be_found)."),
        (f'raise RuntimeError("{SECRET_TEXT}")', "failed with RuntimeError ({file}:1)."),
        (f'def init_app(app):\n    raise TypeError("{SECRET_TEXT}")', "failed with TypeError ({file}:2)."),
        ("def init_app(): pass", "failed with TypeError ("),
        ("x = 1", "acme_stock has no plain function init_app(app)."),
        ("async def init_app(app): pass", "acme_stock has no plain function init_app(app)."),
    ],
)
def test_a_plugin_that_fails_is_named_with_its_distribution_and_without_what_it_says(
    settings: Settings, site: Path, source: str, said: str
) -> None:
    install(site, source)
    line = refusal(settings, "stock")
    assert line.startswith("The plugin stock (acme-stock 1.2.3)")
    assert said.format(file=site / "acme_stock.py") in line
    assert SECRET_TEXT not in line


def test_the_cause_is_chained_and_in_the_debug_log(settings: Settings, site: Path, logged: Logs) -> None:
    install(site, 'raise RuntimeError("the reason")')
    with pytest.raises(PluginError) as caught:
        create_app(listing(settings, "stock", log_level="debug"))
    assert str(caught.value.__cause__) == "the reason"
    (line,) = [line for line in logged() if line["message"] == "plugin failed"]
    assert (line["plugin"], line["level"]) == ("stock", "debug")
