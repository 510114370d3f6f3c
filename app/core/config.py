"""Every setting Strata reads, where it comes from, and what it may be."""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from limits import parse_many
from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    ByteSize,
    EmailStr,
    Field,
    HttpUrl,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from app.core.mail_url import parse_address, parse_mail_url
from app.core.pem import HOW_TO_MAKE, KEY_MARKS, read_key, read_private_key

type Environment = Literal["development", "test", "staging", "production"]

MIN_SECRET_BYTES = 32
MIN_SECRET_VARIETY = 10
REDIS_SCHEMES = ("redis", "rediss", "unix")
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


def check_rate(text: str) -> str:
    """As the library `limits` reads them: one or several, separated by `;`."""
    parse_many(text)
    return text


CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_commas)]
SecretList = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(split_commas)]
RateLimit = Annotated[str, AfterValidator(check_rate)]


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

    redis_url: SecretStr | None = None

    jwt_algorithm: Literal["HS256", "RS256", "ES256"] = "HS256"
    jwt_secret_key: SecretStr | None = None
    jwt_previous_keys: SecretList = ()
    jwt_issuer: str = "strata"
    jwt_audience: str = "strata"
    access_token_expire_minutes: int = Field(default=30, ge=1)
    refresh_token_expire_days: int = Field(default=7, ge=1)
    refresh_reuse_grace_seconds: int = Field(default=10, ge=0)
    session_max_days: int = Field(default=90, ge=1)

    password_require_lower: bool = False
    password_require_upper: bool = False
    password_require_digit: bool = False
    password_require_symbol: bool = False

    rate_limit_enabled: bool = True
    rate_limit_default: RateLimit = "300/minute"
    rate_limit_login: RateLimit = "10/minute"
    rate_limit_register: RateLimit = "30/minute"
    rate_limit_mail: RateLimit = "5/hour"

    mail_url: SecretStr | None = None
    mail_from: str = "Strata <strata@localhost>"
    frontend_url: str = "http://localhost:3000"

    inventory_url: SecretStr | None = None

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
        faults = [*self.database_faults(), *self.key_faults(), *self.mail_faults(), *self.redis_faults()]
        faults += self.inventory_faults()
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
    def session_max_age(self) -> timedelta:
        return timedelta(days=self.session_max_days)

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

    def key_faults(self) -> list[str]:
        """What is wrong with the signing keys, without telling anything of them: a path may be a misplaced secret."""
        faults = []
        if self.jwt_secret_key is None and self.jwt_algorithm != "HS256":
            wanted = f"must be the path of a PEM private key for {self.jwt_algorithm}"
            faults.append(f"JWT_SECRET_KEY: {wanted}; try `{HOW_TO_MAKE[self.jwt_algorithm]}`")
        for name, key in self.named_keys():
            try:
                self.check_key(name, key)
            except ValueError as error:
                faults.append(f"{name}: {error}")
        return faults

    def named_keys(self) -> Iterator[tuple[str, str]]:
        """Each key that is set, after the name that a fault gives it."""
        if self.jwt_secret_key is not None:
            yield "JWT_SECRET_KEY", self.jwt_secret_key.get_secret_value()
        for number, key in enumerate(self.jwt_previous_keys, start=1):
            yield f"JWT_PREVIOUS_KEYS: number {number}", key.get_secret_value()

    def check_key(self, name: str, key: str) -> None:
        if self.jwt_algorithm == "HS256":
            check_secret(key)
            if self.is_exposed and is_guessable(key):
                raise ValueError(
                    f"is guessable; in {self.environment} use a random one, as of `openssl rand -base64 48`"
                )
        elif name == "JWT_SECRET_KEY":
            read_private_key(key, self.jwt_algorithm)
        else:
            read_key(key, self.jwt_algorithm)

    def mail_faults(self) -> list[str]:
        faults = []
        try:
            _ = self.mail_url and parse_mail_url(self.mail_url.get_secret_value())
        except ValueError as error:
            faults.append(f"MAIL_URL: {error}")
        try:
            # A sender outside ASCII would want SMTPUTF8 of every server on the way.
            if not parse_address(self.mail_from).addr_spec.isascii():
                faults.append("MAIL_FROM: the address must be ASCII; write its domain in Punycode")
        except ValueError as error:
            faults.append(f"MAIL_FROM: {error}")
        if not self.frontend_url.startswith(("https://", "http://")) or "#" in self.frontend_url:
            faults.append("FRONTEND_URL: must be the address of the front end, as in https://app.example.com")
        return faults

    def redis_faults(self) -> list[str]:
        if self.redis_url is None or is_redis_url(self.redis_url.get_secret_value()):
            return []
        return ["REDIS_URL: must be like redis://:password@host:6379/0, rediss:// for TLS, or unix:///path"]

    def inventory_faults(self) -> list[str]:
        if self.inventory_url is None or is_http_url(self.inventory_url.get_secret_value()):
            return []
        return ["INVENTORY_URL: must be like https://user:password@host:8080/path, without ? and #"]

    def exposure_faults(self) -> list[str]:
        """What is convenient in development and dangerous where strangers can reach it."""
        faults = []
        where = f"in {self.environment}"
        if self.jwt_secret_key is None and self.jwt_algorithm == "HS256":
            faults.append(f"JWT_SECRET_KEY: must be set {where}; try `openssl rand -base64 48`")
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


def is_redis_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in REDIS_SCHEMES and bool(url.port or url.netloc or url.path)
    except ValueError:  # of a port that is no number
        return False


def is_http_url(text: str) -> bool:
    """Whether paths can be added to it: without a query and a fragment."""
    try:
        url = HttpUrl(text)
    except ValidationError:
        return False
    return url.query is None and url.fragment is None


def is_in_memory(url: URL) -> bool:
    """Whether each connection would get an SQLite database of its own, lost when it closes."""
    return not url.database or ":memory:" in url.database or url.query.get("mode") == "memory"


def check_secret(secret: str) -> None:
    """Raises ValueError for what must not be an HMAC secret: too short, or a key that others may know."""
    if any(mark in secret for mark in KEY_MARKS) or secret.endswith(".pem"):
        raise ValueError("is a key or the path of one, which HS256 cannot use; set JWT_ALGORITHM to RS256 or ES256")
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise ValueError(f"must have at least {MIN_SECRET_BYTES} bytes; try `openssl rand -base64 48`")


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
