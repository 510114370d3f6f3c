"""What the Dockerfile and the compose file promise, as far as it can be read from them."""

import asyncio
import json
import re
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import AliasChoices

from app.core.config.settings import Settings
from tests.server import Server

ROOT = Path(__file__).resolve().parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = ["app", "migrate", "worker"]
# As the comment at the head of the file asks for them.
SECRETS = {
    "POSTGRES_PASSWORD": "01234567" * 8,
    "STRATA_DB_PASSWORD": "89abcdef" * 8,
    "REDIS_PASSWORD": "76543210" * 8,
    "JWT_SECRET_KEY": "pNd7Xv2kQmZr9sTbY4wLhC6gJf1uAe3o",
}
# `${NAME}`, `${NAME:-default}` and `${NAME:?message}`
VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<operator>:?[-?])(?P<text>[^}]*))?\}")


def dockerfile() -> list[list[str]]:
    """The Dockerfile's instructions, as the word and the rest, one list for each stage."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [stage.strip().splitlines() for stage in re.split(r"^(?=FROM )", text, flags=re.MULTILINE) if stage.strip()]


def last(word: str) -> str:
    """What the last such instruction of the image that is shipped says."""
    said = [line.partition(" ")[2].strip() for line in dockerfile()[-1] if line.startswith(f"{word} ")]
    assert said, f"the final stage has no {word}"
    return said[-1]


def variables() -> list[re.Match[str]]:
    """Every variable that the compose file takes from outside, wherever in it."""
    return [match for value in strings(COMPOSE) for match in VARIABLE.finditer(value)]


def strings(node: object) -> list[str]:
    if isinstance(node, dict):
        return [text for value in node.values() for text in strings(value)]
    if isinstance(node, list):
        return [text for value in node for text in strings(value)]
    return [node] if isinstance(node, str) else []


def filled_in(text: str) -> str:
    """As Compose fills it in."""
    return VARIABLE.sub(lambda match: SECRETS.get(match["name"], match["text"]), text).replace("$$", "$")


def setting_names() -> set[str]:
    """Every name under which the environment may hold a setting."""
    names = set(Settings.model_fields)
    for field in Settings.model_fields.values():
        if isinstance(field.validation_alias, AliasChoices):
            names |= {str(choice) for choice in field.validation_alias.choices}
    return {name.upper() for name in names}


def test_the_image_runs_as_a_numbered_user_that_is_not_root() -> None:
    user, _, group = last("USER").partition(":")
    assert int(user) >= 1000
    assert int(group) >= 1000


def test_strata_is_the_first_process_and_gets_the_signals() -> None:
    assert json.loads(last("ENTRYPOINT")) == ["strata"]
    assert json.loads(last("CMD"))[0] == "serve"
    assert last("STOPSIGNAL") == "SIGTERM"


async def health_check(port: int) -> int | None:
    """The exit status of the image's own health check, against a server on that port."""
    python, *arguments = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    assert python == "python"
    arguments = [argument.replace("8000", str(port)) for argument in arguments]
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stderr=asyncio.subprocess.DEVNULL)
    return await process.wait()


@pytest.mark.real_database
async def test_the_health_check_passes_while_the_server_answers(server: Server) -> None:
    assert await health_check(server.port) == 0


async def test_the_health_check_fails_where_nothing_answers() -> None:
    with socket.socket() as taken_but_silent:
        taken_but_silent.bind(("127.0.0.1", 0))
        assert await health_check(taken_but_silent.getsockname()[1]) == 1


def test_the_image_has_no_tools_to_build_with() -> None:
    copied = [line for line in dockerfile()[-1] if line.startswith("COPY ")]
    assert copied == ["COPY --from=builder /app /app"]
    assert not any("apt-get" in line or "uv " in line for line in dockerfile()[-1])


def test_the_builder_and_the_image_share_one_interpreter() -> None:
    froms = {line.split()[1] for stage in dockerfile() for line in stage if line.startswith("FROM python:")}
    assert len(froms) == 1
    assert froms.pop().startswith(f"python:{(ROOT / '.python-version').read_text().strip()}-")


def test_whatever_the_dockerfile_copies_is_let_through_by_dockerignore() -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignore
    copied = {
        name
        for stage in dockerfile()
        for line in stage
        if line.startswith("COPY ") and "--from=" not in line
        for name in line.split()[1:-1]
    }
    assert {f"!{name}" for name in copied} == {line for line in ignore if line.startswith("!")}


def test_the_app_waits_for_the_migrations_and_for_both_servers() -> None:
    waits = {name: service["condition"] for name, service in SERVICES["app"]["depends_on"].items()}
    assert waits == {
        "migrate": "service_completed_successfully",
        "postgres": "service_healthy",
        "redis": "service_healthy",
    }
    assert SERVICES["worker"]["depends_on"] == SERVICES["app"]["depends_on"]
    assert SERVICES["worker"]["command"] == ["worker"]
    assert SERVICES["migrate"]["command"] == ["db", "upgrade"]
    assert SERVICES["migrate"]["restart"] == "no"
    assert all("healthcheck" in SERVICES[name] for name in ("postgres", "redis"))


def test_no_secret_has_a_default() -> None:
    secret = [match for match in variables() if re.search("PASSWORD|SECRET|KEY|TOKEN", match["name"])]
    assert {match["name"] for match in secret if match["operator"] == ":?"} >= SECRETS.keys()
    assert [match[0] for match in secret if match["operator"] != ":?" and match["text"]] == []


def test_compose_serves_in_production_unless_told_otherwise() -> None:
    environment = SERVICES["app"]["environment"]
    assert environment["ENVIRONMENT"] == "${ENVIRONMENT:-production}"
    assert environment["TRUSTED_HOSTS"] == "${TRUSTED_HOSTS:-localhost}"


def test_only_the_app_publishes_a_port_and_on_this_machine_alone() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["app"]
    (port,) = SERVICES["app"]["ports"]
    assert VARIABLE.sub(lambda match: match["text"], port) == "127.0.0.1:8000:8000"


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_can_do_no_more_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert name in OURS or service["user"] not in {"0", "root"}
    assert service.get("read_only") is True or name == "postgres"


@pytest.mark.parametrize("name", OURS)
def test_every_variable_that_compose_sets_is_a_setting(name: str) -> None:
    assert SERVICES[name]["environment"].keys() - setting_names() == set()


def test_the_settings_of_compose_are_fit_for_production() -> None:
    """Filled in as the comment at its head says, the environment is one that the server starts with."""
    environment = {name.lower(): filled_in(value) for name, value in SERVICES["app"]["environment"].items()}
    settings = Settings.model_validate({name: value for name, value in environment.items() if value})
    assert settings.is_exposed
    assert (settings.database.host, settings.database.username) == ("postgres", "strata")
    assert settings.database.password == SECRETS["STRATA_DB_PASSWORD"]
    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == f"redis://:{SECRETS['REDIS_PASSWORD']}@redis:6379/0"
