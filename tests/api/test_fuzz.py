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


# What can end the session of the one who calls: apart, or all that comes after would only see 401.
ENDING = ["auth_logout_all", "auth_delete_session", "users_update", "users_delete"]
# Refuses whoever sends an Authorization header.
ANONYMOUS = ["auth_token"]


def names(option: str, operation_ids: list[str]) -> list[str]:
    return [word for operation_id in operation_ids for word in (option, operation_id)]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("selection", "is_signed_in"),
    [
        pytest.param(["--include-method", "GET"], True, id="reading"),
        pytest.param(
            ["--exclude-method", "GET", *names("--exclude-operation-id", ENDING + ANONYMOUS)], True, id="writing"
        ),
        pytest.param(names("--include-operation-id", ENDING), True, id="signing-out"),
        pytest.param(names("--include-operation-id", ANONYMOUS), False, id="anonymous"),
    ],
)
async def test_no_made_up_request_gets_an_undocumented_answer(
    server: Server, tmp_path: Path, selection: list[str], *, is_signed_in: bool, is_postgresql: bool
) -> None:
    make = Factory(server.services)
    admin = await make.admin()
    for _ in range(3):
        await make.item(admin)
    arguments = ["--config-file", str(CONFIG), "run", f"{server.url}/openapi.json", *selection]
    if is_signed_in:
        arguments += ["-H", f"Authorization: {(await make.bearer(admin))['Authorization']}"]
    bounds = ["--seed", "20261122", "--max-examples", "8" if is_postgresql else "4", "--no-color"]
    if not is_postgresql:
        # Without the longest phase: it tries every way to break a schema, and none of them gets to the database.
        bounds += ["--phases", "examples,fuzzing,stateful"]
    process = await asyncio.create_subprocess_exec(
        COMMAND, *arguments, *bounds, cwd=tmp_path, stdout=PIPE, stderr=STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert re.search(r"Tested: [1-9]", output.decode()), output.decode()
