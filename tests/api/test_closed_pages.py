"""What `DOCS_ENABLED` and `INFO_ENABLED` close, and what stays open."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.core.config.settings import Settings
from tests.conftest import connected, running

DOCS = ["/docs", "/docs/oauth2-redirect", "/docs/assets/favicon.png", "/redoc", "/openapi.json"]


def closed(settings: Settings, *names: str) -> Settings:
    return settings.model_copy(update=dict.fromkeys(names, False))


@pytest.mark.parametrize(
    ("name", "gone", "there"), [("docs_enabled", DOCS, ["/info"]), ("info_enabled", ["/info"], DOCS)]
)
async def test_what_a_setting_closes_is_not_found_as_any_unknown_path(
    settings: Settings, name: str, gone: list[str], there: list[str]
) -> None:
    async with running(closed(settings, name)) as (_, manager, _), connected(manager.app) as client:
        unknown = (await client.get("/nothing")).json()
        for path in gone:
            answer = await client.get(path)
            assert answer.status_code == 404
            assert answer.json() | {"request_id": ""} == unknown | {"request_id": ""}, path
            assert (await client.post(path)).status_code == 404, path
        for path in ["/health", *there]:
            assert (await client.get(path)).status_code == 200, path


def test_a_closed_info_is_not_in_the_document_and_closed_docs_still_have_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCS_ENABLED", "false")
    monkeypatch.setenv("INFO_ENABLED", "false")
    answer = CliRunner().invoke(cli, ["openapi"], catch_exceptions=False)
    paths = json.loads(answer.stdout)["paths"]
    assert "/api/v1/items" in paths
    assert "/health" in paths
    assert "/info" not in paths
