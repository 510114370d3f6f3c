"""Which images run, in the Dockerfile, the compose file and the workflows, and with which rights and passwords."""

import asyncio
import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import asyncpg
import pytest
import yaml
from sqlalchemy.engine import make_url

from app.core.db import migrations
from tests.conftest import POSTGRES_URL, new_database_name, run_on_server, settings_for
from tests.test_containers import COMPOSE, OURS, ROOT, SECRETS, SERVICES, dockerfile, filled_in, strings

WORKFLOWS = {path.name: yaml.safe_load(path.read_text()) for path in (ROOT / ".github/workflows").glob("*.yml")}
PINNED = re.compile(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}")
ROLE_SQL: str = COMPOSE["configs"]["postgres-role"]["content"]


def images_of_the_dockerfile() -> set[str]:
    """Without those that are stages before them."""
    froms = [line.split() for stage in dockerfile() for line in stage if line.startswith("FROM ")]
    stages = {words[3] for words in froms if len(words) == 4}
    copied = re.findall(r"--from=(\S+)", "\n".join(line for stage in dockerfile() for line in stage))
    return ({words[1] for words in froms} | set(copied)) - stages


def images_of_compose() -> dict[str, str]:
    """Of the services whose image is not built here."""
    return {name: service["image"] for name, service in SERVICES.items() if "build" not in service}


def images_of_workflows() -> set[tuple[str, str]]:
    """Names of services, and their images."""
    jobs = [job for workflow in WORKFLOWS.values() for job in workflow["jobs"].values()]
    return {(name, service["image"]) for job in jobs for name, service in job.get("services", {}).items()}


def test_every_image_is_pinned_by_tag_and_digest() -> None:
    images = (
        images_of_the_dockerfile() | {*images_of_compose().values()} | {image for _, image in images_of_workflows()}
    )
    assert len(images) == 4
    assert [image for image in images if not PINNED.fullmatch(image)] == []
    assert not (ROOT / "Dockerfile").read_text().startswith("# syntax"), "it would name one more"


def test_ci_tests_against_the_images_that_compose_runs() -> None:
    assert images_of_workflows() == {(name, images_of_compose()[name]) for name in ("postgres", "redis")}


def test_the_documented_dockerfile_is_pinned_too() -> None:
    found = re.findall(r"^(?:FROM|COPY --from=)\s*(\S+)", (ROOT / "docs/plugins.md").read_text(), re.MULTILINE)
    assert {image for image in found if image != "strata"} < images_of_the_dockerfile()


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_action_is_pinned_by_its_commit(name: str) -> None:
    used = re.findall(r"uses: (.*)", (ROOT / ".github/workflows" / name).read_text())
    assert len(used) > 1
    assert [text for text in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", text)] == []


def test_the_newest_versions_are_tried_each_week() -> None:
    workflow = WORKFLOWS["newest.yml"]
    (job,) = workflow["jobs"].values()
    commands = [step.get("run", "") for step in job["steps"]]
    assert re.fullmatch(r"\d+ \d+ \* \* \d", workflow[True]["schedule"][0]["cron"])  # YAML reads `on` as true
    assert any("uv lock --upgrade" in command for command in commands)
    assert {"uv run pytest", "uv run pytest -m database"} <= {*commands}
    assert workflow["permissions"] == {}


def test_dependabot_keeps_what_is_pinned_fresh() -> None:
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
    assert {update["package-ecosystem"] for update in updates} >= {"docker", "docker-compose", "github-actions", "uv"}


@pytest.mark.parametrize("name", OURS)
def test_the_server_does_not_get_the_superusers_password_and_is_another_role(name: str) -> None:
    superuser = SERVICES["postgres"]["environment"].get("POSTGRES_USER", "postgres")
    assert "POSTGRES_PASSWORD" not in "".join(strings(SERVICES[name]))
    assert SERVICES[name]["environment"]["DB_USER"] != superuser


def test_the_role_is_made_when_the_volume_is() -> None:
    (config,) = SERVICES["postgres"]["configs"]
    assert config["source"] in COMPOSE["configs"]
    assert config["target"].startswith("/docker-entrypoint-initdb.d/")
    assert not SERVICES["postgres"].get("read_only"), "Compose could not put the file there"


@pytest.fixture
def role(worker_id: str) -> str:
    return new_database_name(worker_id)


def psql(script: str) -> None:
    assert POSTGRES_URL is not None
    url = make_url(POSTGRES_URL).set(drivername="postgresql").render_as_string(hide_password=False)
    command = ["psql", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--quiet", url]
    environment = os.environ | {"STRATA_DB_PASSWORD": SECRETS["STRATA_DB_PASSWORD"]}
    subprocess.run(command, input=script, text=True, check=True, env=environment, capture_output=True)


@pytest.mark.real_database
@pytest.mark.skipif(POSTGRES_URL is None or shutil.which("psql") is None, reason="needs PostgreSQL and psql")
async def test_the_role_can_migrate_its_database_and_is_no_superuser(role: str, tmp_path: Path) -> None:
    assert POSTGRES_URL is not None
    psql(re.sub(r"\bstrata\b", f'"{role}"', filled_in(ROLE_SQL)))
    url = make_url(POSTGRES_URL).set(username=role, password=SECRETS["STRATA_DB_PASSWORD"], database=role)
    try:
        await asyncio.to_thread(migrations.upgrade, settings_for(url, tmp_path))
        connection = await asyncpg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False))
        try:
            facts = await connection.fetchrow(
                "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = current_user"
            )
            assert [*facts] == [False] * 3
            assert await connection.fetchval("SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm'") == 1
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute("COPY (SELECT 1) TO PROGRAM 'true'")
        finally:
            await connection.close()
    finally:
        await run_on_server(f'DROP DATABASE "{role}" WITH (FORCE)', f'DROP ROLE "{role}"')


def test_redis_gets_its_password_past_the_list_of_processes() -> None:
    redis = SERVICES["redis"]
    assert "REDIS_PASSWORD" not in "".join(strings([redis["command"], redis["healthcheck"]]))
    assert redis["environment"]["REDISCLI_AUTH"].startswith("${REDIS_PASSWORD:?")


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs redis-server and redis-cli")
def test_redis_lets_nobody_in_without_its_password(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    shell: list[str] = SERVICES["redis"]["command"]
    command = [filled_in(part).replace("redis-server -", f"redis-server - --port {port}") for part in shell]
    outside = {name: value for name, value in os.environ.items() if name != "REDISCLI_AUTH"}
    knowing = outside | {"REDISCLI_AUTH": SECRETS["REDIS_PASSWORD"]}
    server = subprocess.Popen(command, cwd=tmp_path, env=knowing, stdout=subprocess.DEVNULL)
    try:
        _, *check = SERVICES["redis"]["healthcheck"]["test"]
        check[1:1] = ["-p", port]
        deadline = time.monotonic() + 30
        while subprocess.run(check, env=knowing, check=False, capture_output=True).returncode != 0:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        for environment in (outside, outside | {"REDISCLI_AUTH": "wrong"}):
            refused = subprocess.run(check, env=environment, check=False, capture_output=True, text=True)
            assert refused.returncode != 0
            assert "PONG" not in refused.stdout
        arguments = Path(f"/proc/{server.pid}/cmdline")
        if arguments.exists():
            assert SECRETS["REDIS_PASSWORD"] not in arguments.read_text()
    finally:
        server.terminate()
        server.wait(10)
