"""Settings: where they come from, what they may be, and what is said of those that are wrong."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from app.core.config.settings import Settings, SettingsError

RANDOM_SECRET = "q7Vd0mXbN3zLr9TjKcYh5WgPfAuEi1So8Bx2Ry6C"
PASSWORD = "hunter2-Zq8"

type Env = Callable[..., None]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def faults() -> list[str]:
    """The lines that a server refusing to start would print."""
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    lines = str(caught.value).splitlines()
    assert lines == [line for fault in caught.value.faults for line in fault.splitlines()]
    return lines


def test_nothing_needs_to_be_set() -> None:
    settings = Settings.load()
    assert settings.environment == "development"
    assert settings.database.render_as_string() == "sqlite+aiosqlite:///var/strata.db"
    assert settings.read_database is None
    assert settings.jwt_secret_key is None
    assert not settings.is_exposed
    assert not settings.uses_json_logs


def test_the_environment_wins_over_the_environments_file_over_the_common_file(empty_folder: Path, env: Env) -> None:
    env(APP_ENV="staging-blue", ENVIRONMENT="test")
    (empty_folder / ".env").write_text("JWT_ISSUER=common\nJWT_AUDIENCE=common\nDB_POOL_SIZE=3\n")
    assert (Settings.load().jwt_issuer, Settings.load().db_max_overflow) == ("common", 20)
    (empty_folder / ".env.staging-blue").write_text("JWT_ISSUER=blue\nDB_POOL_SIZE=4\n")
    (empty_folder / ".env.production").write_text("JWT_ISSUER=never\n")
    env(DB_POOL_SIZE="5")
    settings = Settings.load()
    assert (settings.jwt_issuer, settings.jwt_audience, settings.db_pool_size) == ("blue", "common", 5)


def test_without_app_env_the_environment_names_the_file(empty_folder: Path, env: Env) -> None:
    (empty_folder / ".env.development").write_text("JWT_ISSUER=dev\n")
    (empty_folder / ".env.test").write_text("JWT_ISSUER=tested\n")
    assert Settings.load().jwt_issuer == "dev"
    env(ENVIRONMENT="test")
    assert Settings.load().jwt_issuer == "tested"


def test_names_are_read_in_any_letter_case_and_what_nobody_knows_is_left_alone(empty_folder: Path, env: Env) -> None:
    (empty_folder / ".env").write_text("jwt_issuer=small\nSOMEBODY_ELSES=x\n")
    env(SOMEBODY_ELSES_TOO="x")
    assert Settings.load().jwt_issuer == "small"


def test_an_empty_variable_counts_as_not_set(env: Env) -> None:
    env(DATABASE_URL="", DB_PORT="", ENVIRONMENT="", APP_ENV="", LOG_FORMAT="", JWT_SECRET_KEY="")
    assert Settings.load() == Settings()


@pytest.mark.parametrize("name", ["DATABASE_URL", "DB_DSN"])
def test_a_database_url_wins_over_the_parts_wherever_each_is_set(empty_folder: Path, env: Env, name: str) -> None:
    (empty_folder / ".env").write_text(f"{name}=postgresql://from-url/a\n")
    env(DB_HOST="from-parts", DB_DATABASE="b", DB_USER="c", DB_PASSWORD="d", DB_PORT="1", DB_DRIVER="sqlite")
    assert Settings.load().database.render_as_string() == "postgresql+asyncpg://from-url/a"


def test_the_environments_dsn_wins_over_a_files_url(empty_folder: Path, env: Env) -> None:
    (empty_folder / ".env").write_text("DATABASE_URL=postgresql://from-file/a\n")
    env(DB_DSN="postgresql://from-environment/a")
    assert Settings.load().database.host == "from-environment"


def test_the_parts_make_a_url_whatever_the_password_holds(env: Env) -> None:
    env(DB_HOST="db", DB_PORT="6432", DB_USER="strata", DB_PASSWORD="p@ss:w/rd?#%", DB_DATABASE="shop")
    url = Settings.load().database
    assert (url.drivername, url.host, url.port, url.username) == ("postgresql+asyncpg", "db", 6432, "strata")
    assert (url.password, url.database) == ("p@ss:w/rd?#%", "shop")
    assert url.render_as_string() == "postgresql+asyncpg://strata:***@db:6432/shop"


def test_the_parts_can_name_an_sqlite_file(env: Env) -> None:
    env(DB_DRIVER="sqlite", DB_DATABASE="shop.db")
    assert Settings.load().database.render_as_string() == "sqlite+aiosqlite:///shop.db"


def test_the_default_database_follows_the_data_folder(env: Env) -> None:
    env(DATA_DIR="/srv/strata")
    assert Settings.load().database.database == "/srv/strata/strata.db"


def test_the_replica_is_read_like_the_primary(env: Env) -> None:
    env(DATABASE_URL="postgresql://primary/d", DATABASE_READ_URL="postgres://replica/d?sslmode=require")
    settings = Settings.load()
    assert settings.read_database is not None
    assert settings.read_database.render_as_string() == "postgresql+asyncpg://replica/d?sslmode=require"


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite+aiosqlite:///:memory:",
        "sqlite:///file::memory:?uri=true",
        "sqlite:///file:shop?mode=memory&cache=shared&uri=true",
    ],
)
@pytest.mark.parametrize("name", ["DATABASE_URL", "DATABASE_READ_URL"])
def test_a_database_in_memory_is_refused(env: Env, name: str, url: str) -> None:
    env(**{name: url})
    assert faults() == [f"{name}: must name a file, as in sqlite:///var/strata.db"]


@pytest.mark.parametrize("parts", [{"DB_DATABASE": ":memory:"}, {"DB_HOST": "localhost"}])
def test_a_database_in_memory_is_refused_in_parts_too(env: Env, parts: dict[str, str]) -> None:
    env(DB_DRIVER="sqlite", **parts)
    assert faults() == ["DB_DATABASE: must name a file, as in sqlite:///var/strata.db"]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"DATABASE_URL": f"mysql://u:{PASSWORD}@h/d"}, "DATABASE_URL: must start with postgresql:// or sqlite://"),
        ({"DATABASE_URL": f"postgresql://u:{PASSWORD}@h:port/d"}, "DATABASE_URL: is not a database URL such as "),
        ({"DATABASE_URL": f"postgresql://u:{PASSWORD}@h/d?{PASSWORD}=1"}, "DATABASE_URL: has a parameter that is not "),
        ({"DB_DSN": PASSWORD}, "DATABASE_URL: is not a database URL such as "),
        ({"DB_DRIVER": "mysql"}, "DB_DRIVER: must be one of postgres, "),
        ({"DB_PORT": "65536"}, "DB_PORT: input should be less than or equal to 65535"),
        ({"DB_POOL_SIZE": "many"}, "DB_POOL_SIZE: input should be a valid integer"),
        ({"DB_SSL": "yes"}, "DB_SSL: input should be 'disable', "),
        ({"DEBUG": "perhaps"}, "DEBUG: input should be a valid boolean"),
        ({"ENVIRONMENT": "prod"}, "ENVIRONMENT: input should be 'development', 'test', 'staging' or 'production'"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL: input should be 'debug', "),
        ({"LOG_FORMAT": "xml"}, "LOG_FORMAT: input should be 'console' or 'json'"),
        ({"MAX_BODY_SIZE": "large"}, "MAX_BODY_SIZE: could not parse "),
        ({"MAX_BODY_SIZE": "0"}, "MAX_BODY_SIZE: input should be greater than or equal to 1"),
        ({"MAX_CONCURRENT_REQUESTS": "0"}, "MAX_CONCURRENT_REQUESTS: input should be greater than or equal to 1"),
        ({"ACCESS_TOKEN_EXPIRE_MINUTES": "0"}, "ACCESS_TOKEN_EXPIRE_MINUTES: input should be greater than or equal "),
        ({"FIRST_ADMIN_USERNAME": "not a name"}, "FIRST_ADMIN_USERNAME: must be 3 to 50 letters, digits "),
        ({"FIRST_ADMIN_EMAIL": "nowhere"}, "FIRST_ADMIN_EMAIL: value is not a valid email address"),
        ({"FIRST_ADMIN_USERNAME": "\u0430dmin"}, "FIRST_ADMIN_USERNAME: must have the letters of one script only"),
        ({"FIRST_ADMIN_EMAIL": "Evil <a@example.com>"}, "FIRST_ADMIN_EMAIL: must be an e-mail address alone"),
        ({"FIRST_ADMIN_PASSWORD": PASSWORD[:7]}, "FIRST_ADMIN_PASSWORD: value should have at least 8 characters"),
        ({"JWT_SECRET_KEY": PASSWORD}, "JWT_SECRET_KEY: must have at least 32 bytes; try `openssl rand -base64 48`"),
    ],
)
def test_a_wrong_value_is_told_in_one_line_with_its_name_and_without_the_value(
    env: Env, variables: dict[str, str], expected: str
) -> None:
    env(**variables)
    (line,) = faults()
    assert line.startswith(expected)
    assert PASSWORD not in line


def test_several_wrong_values_are_all_told(env: Env) -> None:
    env(LOG_LEVEL="loud", DB_PORT="0", DEBUG="perhaps")
    assert sorted(line.partition(":")[0] for line in faults()) == ["DB_PORT", "DEBUG", "LOG_LEVEL"]


@pytest.mark.parametrize(
    ("text", "size"),
    [("20MiB", 20 * 1024**2), ("20 MB", 20_000_000), ("1048576", 1024**2), ("1.5KiB", 1536), ("1gib", 1024**3)],
)
def test_sizes_take_units(env: Env, text: str, size: int) -> None:
    env(MAX_BODY_SIZE=text)
    assert Settings.load().max_body_size == size


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("CORS_ORIGINS", "https://a.example", "https://b.example"),
        ("TRUSTED_HOSTS", "a.example", "b.example"),
        ("FORWARDED_ALLOW_IPS", "10.0.0.1", "10.0.0.2"),
        ("MODULES", "stock", "billing"),
    ],
)
def test_lists_are_separated_by_commas(empty_folder: Path, env: Env, name: str, first: str, second: str) -> None:
    (empty_folder / ".env").write_text(f'{name}=" {first} , {second},,"\n')
    assert getattr(Settings.load(), name.lower()) == (first, second)
    env(**{name: second})
    assert getattr(Settings.load(), name.lower()) == (second,)
    env(**{name: " , "})
    assert getattr(Settings.load(), name.lower()) == ()


def test_more_request_headers_are_named_one_by_one(env: Env) -> None:
    env(CORS_HEADERS="X-Tenant, x-device-id")
    assert Settings.load().cors_headers == ("X-Tenant", "x-device-id")
    for wrong in ("*", "X-Tenant: 1", "X-Tenant,*", "é"):
        env(CORS_HEADERS=wrong)
        assert faults() == ["CORS_HEADERS: must be names of request headers, separated by commas, without `*`"]


@pytest.mark.parametrize("seconds", ["0", "86401", "soon"])
def test_connections_stay_open_for_a_bounded_time(env: Env, seconds: str) -> None:
    assert Settings.load().keep_alive_seconds == 75
    env(KEEP_ALIVE_SECONDS=seconds)
    assert [fault.partition(":")[0] for fault in faults()] == ["KEEP_ALIVE_SECONDS"]


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_where_strangers_come_every_convenience_is_refused_at_once(env: Env, environment: str) -> None:
    env(ENVIRONMENT=environment, CORS_ORIGINS="https://a.example,*", DEBUG="true", DB_ECHO="true")
    lines = faults()
    names = ["JWT_SECRET_KEY", "CORS_ORIGINS", "DEBUG", "DB_ECHO", "TRUSTED_HOSTS"]
    assert [line.partition(":")[0] for line in lines] == names
    assert lines[0].startswith(f"JWT_SECRET_KEY: must be set in {environment};")
    assert all(f"in {environment}" in line for line in lines)


@pytest.mark.parametrize("environment", ["development", "test"])
def test_conveniences_are_fine_where_no_stranger_comes(env: Env, environment: str) -> None:
    env(ENVIRONMENT=environment, CORS_ORIGINS="*", DEBUG="true", DB_ECHO="true", JWT_SECRET_KEY="a" * 32)
    assert Settings.load().environment == environment


@pytest.mark.parametrize("app_env", ["staging", "production"])
def test_app_env_alone_sets_the_environment(env: Env, app_env: str) -> None:
    env(APP_ENV=app_env)
    assert f"JWT_SECRET_KEY: must be set in {app_env}; try `openssl rand -base64 48`" in faults()
    env(JWT_SECRET_KEY=RANDOM_SECRET, TRUSTED_HOSTS="api.example")
    settings = Settings.load()
    assert settings.environment == app_env
    assert settings.is_exposed
    assert settings.uses_json_logs


@pytest.mark.parametrize(
    "secret",
    [
        "a" * 64,
        "abcabcabcabcabcabcabcabcabcabcabcabc",
        "012345678012345678012345678012345678",
        f"changeme-{RANDOM_SECRET}",
        f"My-SECRET-{RANDOM_SECRET}",
        f"{RANDOM_SECRET}-Password",
    ],
)
def test_a_guessable_secret_is_refused_in_production(env: Env, secret: str) -> None:
    env(ENVIRONMENT="production", TRUSTED_HOSTS="api.example", JWT_SECRET_KEY=secret)
    (line,) = faults()
    assert line.startswith("JWT_SECRET_KEY: is guessable;")
    assert secret not in line


def test_a_short_secret_is_refused_by_its_bytes_not_its_letters(env: Env) -> None:
    env(JWT_SECRET_KEY="é" * 15 + "x")
    assert faults() == ["JWT_SECRET_KEY: must have at least 32 bytes; try `openssl rand -base64 48`"]
    env(JWT_SECRET_KEY="é" * 16)
    Settings.load()


def test_trusted_hosts_must_name_hosts_in_production(env: Env) -> None:
    env(ENVIRONMENT="production", JWT_SECRET_KEY=RANDOM_SECRET, TRUSTED_HOSTS="*")
    (line,) = faults()
    assert line.startswith("TRUSTED_HOSTS: must list the host names")


def test_secrets_never_show(env: Env) -> None:
    env(
        DATABASE_URL=f"postgresql://u:{PASSWORD}@h/d",
        DATABASE_READ_URL=f"postgresql://u:{PASSWORD}@replica/d",
        DB_PASSWORD=PASSWORD,
        JWT_SECRET_KEY=RANDOM_SECRET,
        FIRST_ADMIN_PASSWORD=PASSWORD,
    )
    settings = Settings.load()
    assert settings.database.password == PASSWORD
    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()} {settings.database!r}"
    assert PASSWORD not in shown
    assert RANDOM_SECRET not in shown
    env(LOG_LEVEL=PASSWORD, TRUSTED_HOSTS="*", CORS_ORIGINS="*", ENVIRONMENT=RANDOM_SECRET)
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    chain = f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"
    assert caught.value.__suppress_context__
    assert PASSWORD not in chain
    assert RANDOM_SECRET not in chain


def test_settings_do_not_change_once_they_are_made() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().debug = True  # type: ignore[misc] # that it cannot be is the point


@pytest.mark.parametrize(
    ("environment", "log_format", "is_json"),
    [("development", None, False), ("test", None, True), ("test", "console", False), ("development", "json", True)],
)
def test_logs_are_for_people_in_development_and_for_machines_elsewhere(
    environment: str, log_format: str | None, is_json: bool
) -> None:
    assert Settings.model_validate({"environment": environment, "log_format": log_format}).uses_json_logs is is_json


def test_no_setting_of_the_developers_reaches_the_tests() -> None:
    assert not {name.upper() for name in Settings.model_fields} & {name.upper() for name in os.environ}


@pytest.mark.parametrize(
    "url",
    [
        "inventory:8080",
        "ftp://me:hunter2@host",
        "http://",
        "http://host:99999",
        "http://me:hunter2@ho st",
        "http://h?a=1",
        "https://host/path#part",
        "/srv/inventory",
        "http://[::1",
    ],
)
def test_an_inventory_url_is_one_that_paths_can_be_added_to(env: Env, url: str) -> None:
    env(INVENTORY_URL=url)
    assert faults() == ["INVENTORY_URL: must be like https://user:password@host:8080/path, without ? and #"]


@pytest.mark.parametrize(
    "url", ["http://inventory", "https://me:p%40ss@inventory.example.com:8080/v1/", "http://[::1]:80"]
)
def test_an_inventory_url_may_have_a_user_a_port_and_a_path(env: Env, url: str) -> None:
    env(INVENTORY_URL=url)
    settings = Settings.load()
    assert settings.inventory_url is not None
    assert settings.inventory_url.get_secret_value() == url
    assert url not in repr(settings)


@pytest.mark.parametrize(
    ("workers", "each"),
    [("1", (10, 20)), ("2", (10, 20)), ("3", (10, 10)), ("4", (10, 5)), ("6", (10, 0)), ("8", (7, 0)), ("50", (5, 0))],
)
def test_the_workers_of_a_host_share_a_budget_of_connections(env: Env, workers: str, each: tuple[int, int]) -> None:
    env(WEB_CONCURRENCY=workers)
    settings = Settings.load()
    assert (settings.db_pool_size, settings.db_max_overflow) == each


def test_a_pool_that_is_set_is_that_large_in_each_worker(env: Env) -> None:
    env(WEB_CONCURRENCY="8", DB_POOL_SIZE="40", DB_MAX_OVERFLOW="3", DB_POOL_TIMEOUT="0.5")
    settings = Settings.load()
    assert (settings.db_pool_size, settings.db_max_overflow, settings.db_pool_timeout) == (40, 3, 0.5)
    env(DB_MAX_OVERFLOW="")
    assert Settings.load().db_max_overflow == 0


def test_a_senseless_number_of_workers_is_the_only_fault(env: Env) -> None:
    env(WEB_CONCURRENCY="many")
    (line,) = faults()
    assert line.startswith("WEB_CONCURRENCY: input should be a valid integer, ")


@pytest.mark.parametrize(
    ("text", "root_path"),
    [
        ("/shop", "/shop"),
        ("/shop/", "/shop"),
        ("/a/b-c_d.e~1/", "/a/b-c_d.e~1"),
        ("/", ""),
        ("", ""),
        ("/apis", "/apis"),
    ],
)
def test_a_root_path_has_no_slash_at_its_end(env: Env, text: str, root_path: str) -> None:
    env(ROOT_PATH=text)
    assert Settings.load().root_path == root_path


@pytest.mark.parametrize(
    "text",
    [
        "shop",
        "https://example.com/shop",
        "//example.com",
        "/shop?x=1",
        "/shop#x",
        "/a/../b",
        "/./a",
        "/a//b",
        "/sh op",
        "/caf%C3%A9",
        "/café",
        "/a;b",
        "/{a}",
    ],
)
def test_a_wrong_root_path_is_a_fault_that_says_what_it_may_be(env: Env, text: str) -> None:
    env(ROOT_PATH=text)
    assert faults() == ["ROOT_PATH: must be a path like /shop, of letters, digits and `-._~` between slashes"]


@pytest.mark.parametrize("text", ["/api", "/api/v1/", "/docs", "/health"])
def test_a_root_path_is_none_of_our_own(env: Env, text: str) -> None:
    env(ROOT_PATH=text)
    (fault,) = faults()
    assert fault.startswith(f"ROOT_PATH: must not begin with /{text.split('/')[1]}, which is a path of the API's own")
