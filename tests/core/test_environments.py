"""Nothing runs as development, or as another environment than was meant, without a word."""

from collections.abc import Callable
from pathlib import Path

import pytest

from app.core.config.settings import Settings, SettingsError

ALLOWED = "development, test, staging or production"
SECRET = "q7Vd0mXbN3zLr9TjKcYh5WgPfAuEi1So8Bx2Ry6C"

type Env = Callable[..., None]
type Files = Callable[..., None]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("ENV", "ENVIRONMENT", "APP_ENV", "APP_ENVIRONMENT", "STRATA_ENV", "STRATA_ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def write(folder: Path) -> Files:
    def write(name: str, *lines: str) -> None:
        (folder / name).write_text("".join(f"{line}\n" for line in lines))

    return write


def faults() -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    return caught.value.faults


@pytest.mark.parametrize("name", ["prod", "live", "staging-eu", "producton", "Prod"])
def test_an_app_env_that_is_no_environment_is_refused_where_nothing_sets_the_environment(env: Env, name: str) -> None:
    env(APP_ENV=name)
    (fault,) = faults()
    assert fault.startswith(f"APP_ENV: must be {ALLOWED};")


@pytest.mark.parametrize("place", ["process", ".env", ".env.staging-eu"])
def test_such_a_name_chooses_a_file_where_something_sets_the_environment(env: Env, write: Files, place: str) -> None:
    write(".env.staging-eu", "JWT_ISSUER=eu")
    env(APP_ENV="staging-eu", JWT_SECRET_KEY=SECRET, TRUSTED_HOSTS="api.example")
    if place == "process":
        env(ENVIRONMENT="staging")
    else:
        write(place, "ENVIRONMENT=staging", "JWT_ISSUER=eu")
    settings = Settings.load()
    assert (settings.environment, settings.jwt_issuer) == ("staging", "eu")


def test_a_name_that_only_chooses_a_file_needs_none_where_the_process_says_the_environment(env: Env) -> None:
    env(APP_ENV="staging-eu", ENVIRONMENT="staging", JWT_SECRET_KEY=SECRET, TRUSTED_HOSTS="api.example")
    assert Settings.load().environment == "staging"


def test_a_file_that_was_named_and_is_missing_does_not_leave_what_the_common_file_says(env: Env, write: Files) -> None:
    write(".env", "ENVIRONMENT=development")
    env(APP_ENV="prod")
    (fault,) = faults()
    assert fault.startswith("APP_ENV: there is no file .env.prod in the working directory;")
    write(".env.prod", "ENVIRONMENT=test")
    assert Settings.load().environment == "test"


@pytest.mark.parametrize("place", ["process", ".env", ".env.production"])
@pytest.mark.parametrize("said", ["development", "staging"])
def test_an_app_env_and_an_environment_that_contradict_each_other_are_refused(
    env: Env, write: Files, place: str, said: str
) -> None:
    env(APP_ENV="production", JWT_SECRET_KEY=SECRET, TRUSTED_HOSTS="api.example")
    if place == "process":
        env(ENVIRONMENT=said)
    else:
        write(place, f"ENVIRONMENT={said}")
    assert faults() == [f"APP_ENV: is production, but ENVIRONMENT is {said}; leave one of them out"]


@pytest.mark.parametrize("variables", [{"APP_ENV": " Production "}, {"ENVIRONMENT": " PRODUCTION "}])
def test_blanks_and_capitals_change_no_environment(env: Env, write: Files, variables: dict[str, str]) -> None:
    write(".env.production", "JWT_ISSUER=prod")
    env(**variables, JWT_SECRET_KEY=SECRET, TRUSTED_HOSTS="api.example")
    settings = Settings.load()
    assert (settings.environment, settings.jwt_issuer) == ("production", "prod")


def test_app_env_is_found_in_any_letter_case_as_every_setting_is(env: Env) -> None:
    env(app_env="production", JWT_SECRET_KEY=SECRET, TRUSTED_HOSTS="api.example")
    assert Settings.load().environment == "production"


def test_the_environment_of_the_common_file_chooses_the_other_file(write: Files) -> None:
    """Else `.env.development`, where a developer has left one, would be laid over production."""
    write(".env", "ENVIRONMENT=production", f"JWT_SECRET_KEY={SECRET}", "TRUSTED_HOSTS=api.example")
    write(".env.development", "ENVIRONMENT=development", "JWT_ISSUER=dev")
    write(".env.production", "JWT_ISSUER=prod")
    settings = Settings.load()
    assert (settings.environment, settings.jwt_issuer) == ("production", "prod")


def test_an_app_env_in_a_file_is_told_to_be_of_no_use(env: Env, write: Files) -> None:
    write(".env", "APP_ENV=production")
    (fault,) = faults()
    assert fault.startswith("APP_ENV: is read from the process alone,")
    env(ENVIRONMENT="test")
    assert Settings.load().environment == "test"


@pytest.mark.parametrize("name", ["ENV", "APP_ENVIRONMENT", "STRATA_ENV", "STRATA_ENVIRONMENT"])
@pytest.mark.parametrize("value", ["production", "Prod", "staging", "live"])
@pytest.mark.parametrize("is_in_file", [False, True])
def test_an_environment_under_another_name_is_told_to_be_of_no_use(
    env: Env, write: Files, name: str, value: str, is_in_file: bool
) -> None:
    if is_in_file:
        write(".env", f"{name}={value}")
    else:
        env(**{name: value})
    assert faults() == [f"{name}: is not read; set ENVIRONMENT to {ALLOWED}"]
    env(ENVIRONMENT="development")
    assert Settings.load().environment == "development"


@pytest.mark.parametrize("name", ["ENVIROMENT", "enviroment", "ENVIRONMENTS", "APPENV"])
@pytest.mark.parametrize("is_in_file", [False, True])
def test_a_slip_of_the_pen_does_not_leave_it_in_development(
    env: Env, write: Files, name: str, is_in_file: bool
) -> None:
    if is_in_file:
        write(".env", f"{name}=Production")
    else:
        env(**{name: '"production"'})
    assert faults() == [f"{name}: is not read; set ENVIRONMENT to {ALLOWED}"]
    env(ENVIRONMENT="test")
    assert Settings.load().environment == "test"


@pytest.mark.parametrize("value", ["/root/.shrc", "development", "local", ""])
def test_what_else_these_names_hold_is_none_of_ours(env: Env, value: str) -> None:
    env(ENV=value)
    assert Settings.load().environment == "development"


def test_a_fault_of_the_environment_is_told_beside_the_others(env: Env) -> None:
    env(APP_ENV="prod", LOG_LEVEL="loud")
    assert [fault.partition(":")[0] for fault in faults()] == ["APP_ENV", "LOG_LEVEL"]
