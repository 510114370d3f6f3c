"""Malformed and unlikely input, made up by schemathesis from the served OpenAPI document.

A longer run by hand, against a server of your own:
`schemathesis --config-file tests/schemathesis.toml run URL/openapi.json -H "Authorization: Bearer …" -n 1000`
"""

import asyncio
import re
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest

from tests.factories import Factory
from tests.server import Server

COMMAND = Path(sys.executable).with_name("schemathesis")
CONFIG = Path(__file__).parents[1] / "schemathesis.toml"


@pytest.mark.timeout(300)
async def test_no_made_up_request_gets_an_undocumented_answer(server: Server, tmp_path: Path) -> None:
    make = Factory(server.resources)
    admin = await make.admin()
    for _ in range(3):
        await make.item(admin)
    authorization = (await make.bearer(admin))["Authorization"]
    arguments: list[str | Path] = [
        "--config-file",
        CONFIG,
        "run",
        f"{server.url}/openapi.json",
        "-H",
        f"Authorization: {authorization}",
    ]
    bounds = ["--seed", "20261122", "--max-examples", "15", "--no-color"]
    process = await asyncio.create_subprocess_exec(
        COMMAND, *arguments, *bounds, cwd=tmp_path, stdout=PIPE, stderr=STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert re.search(r"Tested: \d\d", output.decode()), output.decode()
