"""Every setting Strata reads, where it comes from, and what it may be."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AliasChoices,
    BeforeValidator,
    ByteSize,
    EmailStr,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

type Environment = Literal["development", "test", "staging", "production"]

MIN_SECRET_BYTES = 32
MIN_SECRET_VARIETY = 10
PLACEHOLDERS = ("changeme", "change-me", "change_me", "secret", "password", "example", "insecure", "default")
DIALECTS = {
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
}


class SettingsError(Exception):
    """Some settings are wrong; the message has one line for each fault."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def split_commas(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_commas)]


class Settings(BaseSettings):
    """The process environment, then `.env.<APP_ENV>`, then `.env`, then these defaults."""

    model_config = SettingsConfigDict(
        extra="ignore",
        env_ignore_empty=True,
        frozen=True,
        hide_input_in_errors=True,
        validate_by_name=True,
        validate_by_alias=True,
    )

    environment: Environment = "development"
    debug: bool = False
    data_dir: Path = Path("var")
    git_commit: str | None = None

    database_url: SecretStr | None = Field(default=None, validation_alias=AliasChoices("database_url", "db_dsn"))
    database_read_url: SecretStr | None = None
    db_driver: str = "postgresql+asyncpg"
    db_host: str | None = None
    db_port: int | None = Field(default=None, ge=1, le=65535)
    db_user: str | None = None
    db_password: SecretStr | None = None
    db_database: str | None = None
    db_pool_size: int = Field(default=10, ge=1)
    db_max_overflow: int = Field(default=20, ge=0)
    db_pool_recycle: int = Field(default=3600, ge=-1)
    db_echo: bool = False
    db_ssl: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] | None = None
    db_pgbouncer: bool = False
    db_connect_timeout: float = Field(default=10, gt=0)
    db_statement_timeout: float = Field(default=30, gt=0)
    db_retry_limit: int = Field(default=10, ge=1)
    db_retry_interval: float = Field(default=1, ge=0)

    jwt_secret_key: SecretStr | None = None
    jwt_issuer: str = "strata"
    jwt_audience: str = "strata"
    access_token_expire_minutes: int = Field(default=30, ge=1)
    refresh_token_expire_days: int = Field(default=7, ge=1)
    refresh_reuse_grace_seconds: int = Field(default=10, ge=0)

    first_admin_username: str = Field(default="admin", min_length=3, max_length=50, pattern=r"^[\w.-]+$")
    first_admin_email: EmailStr = "admin@example.com"
    first_admin_password: SecretStr | None = Field(default=None, min_length=8, max_length=128)

    cors_origins: CommaList = ()
    trusted_hosts: CommaList = ()
    forwarded_allow_ips: CommaList = ()
    max_body_size: ByteSize = Field(default=ByteSize(1024 * 1024), ge=1)

    log_level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    log_format: Literal["console", "json"] | None = None

    @classmethod
    def load(cls) -> Self:
        """Read the environment and the `.env` files of the working directory.

        Raises:
            SettingsError: naming every setting that is wrong and what it may be.
        """
        app_env = os.environ.get("APP_ENV") or os.environ.get("ENVIRONMENT") or "development"
        try:
            return cls(_env_file=(".env", f".env.{app_env}"))
        except ValidationError as error:
            raise SettingsError([describe_fault(fault) for fault in error.errors()]) from None

    @model_validator(mode="before")
    @classmethod
    def environment_follows_app_env(cls, values: dict[str, object]) -> dict[str, object]:
        """`APP_ENV=production` alone must never leave the server in development mode."""
        app_env = os.environ.get("APP_ENV")
        if app_env and app_env in Environment.__value__.__args__:
            values.setdefault("environment", app_env)
        return values

    @model_validator(mode="after")
    def is_consistent(self) -> Self:
        faults = [*self.database_faults(), *self.secret_faults()]
        if self.is_exposed:
            faults += self.exposure_faults()
        if faults:
            raise ValueError("\n".join(faults))
        return self

    @property
    def is_exposed(self) -> bool:
        """Whether strangers may reach this server, so that nothing may be left at a convenient default."""
        return self.environment in {"staging", "production"}

    @property
    def database(self) -> URL:
        """Where rows are written: `DATABASE_URL`, else the `DB_*` parts, else SQLite in `DATA_DIR`."""
        if self.database_url is not None:
            return parse_database_url(self.database_url.get_secret_value())
        parts = (self.db_host, self.db_port, self.db_user, self.db_password, self.db_database)
        if any(part is not None for part in parts):
            return URL.create(
                DIALECTS[self.db_driver],
                username=self.db_user,
                password=self.db_password.get_secret_value() if self.db_password else None,
                host=self.db_host,
                port=self.db_port,
                database=self.db_database,
            )
        return URL.create(DIALECTS["sqlite"], database=str(self.data_dir / "strata.db"))

    @property
    def read_database(self) -> URL | None:
        """The replica that `ReadSessionDep` uses, if there is one."""
        if self.database_read_url is None:
            return None
        return parse_database_url(self.database_read_url.get_secret_value())

    @property
    def access_token_ttl(self) -> timedelta:
        return timedelta(minutes=self.access_token_expire_minutes)

    @property
    def refresh_token_ttl(self) -> timedelta:
        return timedelta(days=self.refresh_token_expire_days)

    @property
    def refresh_reuse_grace(self) -> timedelta:
        return timedelta(seconds=self.refresh_reuse_grace_seconds)

    @property
    def uses_json_logs(self) -> bool:
        return self.log_format == "json" or (self.log_format is None and self.environment != "development")

    def database_faults(self) -> list[str]:
        faults = []
        if self.db_driver not in DIALECTS:
            faults.append(f"DB_DRIVER: must be one of {', '.join(DIALECTS)}")
        for name in ("database_url", "database_read_url"):
            secret: SecretStr | None = getattr(self, name)
            try:
                _ = secret and parse_database_url(secret.get_secret_value())
            except ValueError as error:
                faults.append(f"{name.upper()}: {error}")
        if not faults:
            try:
                parse_database_url(self.database.render_as_string(hide_password=False))
            except ValueError as error:
                faults.append(f"DB_DATABASE: {error}")
        return faults

    def secret_faults(self) -> list[str]:
        if self.jwt_secret_key and len(self.jwt_secret_key.get_secret_value().encode()) < MIN_SECRET_BYTES:
            return [f"JWT_SECRET_KEY: must have at least {MIN_SECRET_BYTES} bytes; try `openssl rand -base64 48`"]
        return []

    def exposure_faults(self) -> list[str]:
        """What is convenient in development and dangerous where strangers can reach it."""
        faults = []
        where = f"in {self.environment}"
        if self.jwt_secret_key is None:
            faults.append(f"JWT_SECRET_KEY: must be set {where}; try `openssl rand -base64 48`")
        elif is_guessable(self.jwt_secret_key.get_secret_value()):
            faults.append(f"JWT_SECRET_KEY: is guessable; {where} use a random one, as of `openssl rand -base64 48`")
        if "*" in self.cors_origins:
            faults.append(f"CORS_ORIGINS: `*` is not allowed {where}; list the origins of your front ends")
        if self.debug:
            faults.append(f"DEBUG: must be off {where}")
        if not self.trusted_hosts or "*" in self.trusted_hosts:
            faults.append(f"TRUSTED_HOSTS: must list the host names this server answers to {where}")
        return faults


def parse_database_url(text: str) -> URL:
    """Turn what people paste into what SQLAlchemy takes; `sslmode`, which asyncpg lacks, becomes `ssl`.

    Raises:
        ValueError: if it is no URL, or of a database that Strata does not support.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError("is not a database URL such as postgresql://user:password@host:5432/name") from None
    if url.drivername not in DIALECTS:
        raise ValueError("must start with postgresql:// or sqlite://")
    url = url.set(drivername=DIALECTS[url.drivername])
    if url.get_backend_name() == "sqlite" and is_in_memory(url):
        raise ValueError("must name a file, as in sqlite:///var/strata.db")
    if "sslmode" in url.query:
        url = url.update_query_dict({"ssl": url.query["sslmode"]}).difference_update_query(["sslmode"])
    return url


def is_in_memory(url: URL) -> bool:
    """Whether each connection would get an SQLite database of its own, lost when it closes."""
    return not url.database or ":memory:" in url.database or url.query.get("mode") == "memory"


def is_guessable(secret: str) -> bool:
    """Whether a secret looks typed rather than drawn at random."""
    lowered = secret.lower()
    return len(set(secret)) < MIN_SECRET_VARIETY or any(word in lowered for word in PLACEHOLDERS)


def describe_fault(fault: object) -> str:
    """One line (or one a setting) from one Pydantic error, without the value: it may be a secret."""
    assert isinstance(fault, dict)
    if fault["type"] == "value_error" and not fault["loc"]:
        return str(fault["ctx"]["error"])
    name = str(fault["loc"][0]).upper() if fault["loc"] else "settings"
    message = fault["msg"].replace(" items", " characters")  # nothing but texts has a length here
    return f"{name}: {message[0].lower()}{message[1:]}"
