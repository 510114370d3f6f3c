"""Every setting Strata reads, where it comes from, and what it may be."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AliasChoices,
    BeforeValidator,
    ByteSize,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import SettingsConfigDict
from sqlalchemy.engine import URL

from app.core.config.database import database_in_parts, resolve_database
from app.core.config.environments import (
    ENVIRONMENTS,
    EXPOSED,
    Environment,
    Names,
    env_file_faults,
    env_files,
    environment_faults,
    tidy,
)
from app.core.config.faults import describe_fault, find_faults
from app.core.config.pool_share import default_max_overflow, default_pool_size
from app.core.config.root_path import RootPath
from app.core.config.sources import PlainSettings, read_text
from app.core.config.types import (
    CommaList,
    Folder,
    HeaderNames,
    Origins,
    Proxies,
    RateLimit,
    RedisPrefix,
    SecretList,
    TrustedHosts,
)
from app.core.db.url.database_url import SQLITE, parse_database_url
from app.core.security.addresses import PlainAddress
from app.core.security.opaque_string import NewPassword
from app.core.security.usernames import Username

# Bounds the list of a user's sessions.
MAX_SESSIONS = 1000
# Bounds against typos and overflow of dates.
MAX_DAYS = 36_500
MAX_BODY_SIZE = 1024**4


class SettingsError(Exception):
    """Invalid settings; the message has one line per error."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class Settings(PlainSettings):
    """The process environment, then `.env.<APP_ENV>`, then `.env`, then these defaults."""

    model_config = SettingsConfigDict(
        frozen=True,
        validate_by_name=True,
        validate_by_alias=True,
    )

    environment: Annotated[Environment, BeforeValidator(tidy)] = "development"
    debug: bool = False
    data_dir: Folder = Path("var")
    git_commit: str | None = None
    modules: CommaList = ()
    fast_path: Literal["auto", "off"] = "auto"
    web_concurrency: int = Field(default=1, ge=1, le=1000)  # before what follows from it

    database_url: SecretStr | None = Field(default=None, validation_alias=AliasChoices("database_url", "db_dsn"))
    database_read_url: SecretStr | None = None
    db_driver: str = "postgresql+asyncpg"
    db_host: str | None = None
    db_port: int | None = Field(default=None, ge=1, le=65535)
    db_user: str | None = None
    db_password: SecretStr | None = None
    db_database: str | None = None
    db_pool_size: int = Field(default_factory=default_pool_size, ge=1)
    db_max_overflow: int = Field(default_factory=default_max_overflow, ge=0)
    db_pool_timeout: float = Field(default=5, gt=0)
    db_pool_recycle: int = Field(default=3600, ge=-1)
    db_echo: bool = False
    db_ssl: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] | None = None
    db_pgbouncer: bool = False
    db_connect_timeout: float = Field(default=10, gt=0)
    db_statement_timeout: float = Field(default=30, gt=0)
    db_retry_limit: int = Field(default=10, ge=1)
    db_retry_interval: float = Field(default=1, ge=0)

    redis_url: SecretStr | None = None
    redis_prefix: RedisPrefix | None = None

    jwt_algorithm: Literal["HS256", "RS256", "ES256"] = "HS256"
    jwt_secret_key: SecretStr | None = None
    jwt_previous_keys: SecretList = ()
    jwt_issuer: str = "strata"
    jwt_audience: str = "strata"
    access_token_expire_minutes: int = Field(default=30, ge=1, le=MAX_DAYS * 24 * 60)
    refresh_token_expire_days: int = Field(default=7, ge=1, le=MAX_DAYS)
    refresh_reuse_grace_seconds: int = Field(default=10, ge=0, le=3600)
    session_max_days: int = Field(default=90, ge=1, le=MAX_DAYS)
    max_sessions_per_user: int = Field(default=100, ge=1, le=MAX_SESSIONS)
    session_cache: bool = True

    password_require_lower: bool = False
    password_require_upper: bool = False
    password_require_digit: bool = False
    password_require_symbol: bool = False

    rate_limit_enabled: bool = True
    rate_limit_default: RateLimit = "300/minute"
    rate_limit_login: RateLimit = "10/minute"
    rate_limit_register: RateLimit = "30/minute"
    rate_limit_mail: RateLimit = "5/hour"
    rate_limit_export: RateLimit = "5/hour"

    mail_url: SecretStr | None = None
    mail_from: str = "Strata <strata@localhost>"
    frontend_url: str = "http://localhost:3000"

    jobs_concurrency: int = Field(default=10, ge=1, le=1000)

    inventory_url: SecretStr | None = None

    first_admin_username: Username = "admin"
    first_admin_email: PlainAddress = "admin@example.com"
    first_admin_password: NewPassword | None = None

    cors_origins: Origins = ()
    cors_headers: HeaderNames = ()
    trusted_hosts: TrustedHosts = ()
    forwarded_allow_ips: Proxies = ()
    root_path: RootPath = ""
    keep_alive_seconds: int = Field(default=75, ge=1, le=86400)
    max_body_size: ByteSize = Field(default=ByteSize(1024 * 1024), ge=1, le=MAX_BODY_SIZE)
    max_concurrent_requests: int = Field(default=200, ge=1, le=1_000_000)
    cache_max_age: int = Field(default=10, ge=0, le=31_536_000)

    docs_enabled: bool = True
    info_enabled: bool = True

    log_level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    log_format: Literal["console", "json"] | None = None

    @classmethod
    def load(cls) -> Self:
        """Read the environment and the `.env` files of the working directory.

        Raises:
            SettingsError: naming every setting that is wrong and what it may be.
        """
        if faults := env_file_faults():
            raise SettingsError(faults)
        files, settings = env_files(), None
        faults = environment_faults(files)
        try:
            settings = cls(_env_file=files)
        except ValidationError as error:
            # Defaults derived from an invalid setting are missing: not errors of their own.
            told = [fault for fault in error.errors() if fault["type"] != "default_factory_not_called"]
            faults += [describe_fault(fault) for fault in told]
        if faults or settings is None:
            raise SettingsError(faults) from None
        return settings

    @field_validator("*", mode="before")
    @classmethod
    def is_text(cls, value: object, info: ValidationInfo) -> object:
        return read_text(cls.model_fields[str(info.field_name)].annotation, value)

    @model_validator(mode="before")
    @classmethod
    def database_url_wins(cls, values: dict[str, object]) -> dict[str, object]:
        """DATABASE_URL overrides the parts, and settings of the pool that its parameters name."""
        return resolve_database(values)

    @model_validator(mode="before")
    @classmethod
    def environment_follows_app_env(cls, values: dict[str, object]) -> dict[str, object]:
        """`APP_ENV=production` alone must never leave the server in development mode."""
        app_env = Names.of_process().app_env
        if app_env in ENVIRONMENTS:
            values.setdefault("environment", app_env)
        return values

    @model_validator(mode="after")
    def is_consistent(self) -> Self:
        faults = find_faults(self)
        if faults:
            raise ValueError("\n".join(faults))
        return self

    @property
    def is_exposed(self) -> bool:
        """Whether the server is exposed to strangers, so that development defaults are rejected."""
        return self.environment in EXPOSED

    @property
    def runs_jobs(self) -> bool:
        """Whether a server runs jobs itself; where it is exposed, `strata worker` does."""
        return not self.is_exposed

    @property
    def database(self) -> URL:
        """Where rows are written: `DATABASE_URL`, else the `DB_*` parts, else SQLite in `DATA_DIR`."""
        if self.database_url is not None:
            return parse_database_url(self.database_url.get_secret_value(), self.db_ssl)
        return database_in_parts(self) or URL.create(SQLITE, database=str(self.data_dir / "strata.db"))

    @property
    def read_database(self) -> URL | None:
        """The replica that `ReadSessionDep` uses, if there is one."""
        if self.database_read_url is None:
            return None
        return parse_database_url(self.database_read_url.get_secret_value(), self.db_ssl)

    @property
    def access_token_ttl(self) -> timedelta:
        return timedelta(minutes=self.access_token_expire_minutes)

    @property
    def refresh_token_ttl(self) -> timedelta:
        return timedelta(days=self.refresh_token_expire_days)

    @property
    def session_max_age(self) -> timedelta:
        return timedelta(days=self.session_max_days)

    @property
    def refresh_reuse_grace(self) -> timedelta:
        return timedelta(seconds=self.refresh_reuse_grace_seconds)

    @property
    def uses_json_logs(self) -> bool:
        return self.log_format == "json" or (self.log_format is None and self.environment != "development")

    def named_keys(self) -> Iterator[tuple[str, str]]:
        """Each key that is set, with the name used in error messages."""
        if self.jwt_secret_key is not None:
            yield "JWT_SECRET_KEY", self.jwt_secret_key.get_secret_value()
        for number, key in enumerate(self.jwt_previous_keys, start=1):
            yield f"JWT_PREVIOUS_KEYS: number {number}", key.get_secret_value()
