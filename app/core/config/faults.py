"""Messages for invalid settings, one line each, without values, which may be secrets."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import HttpUrl, ValidationError

from app.core.config.database import check_database, check_replica, part_faults
from app.core.config.mail_url import parse_address, parse_mail_url
from app.core.config.redis_url import check_redis_url
from app.core.db.url.database_url import DIALECTS, SQLITE
from app.core.security.signing_secret import check_secret, is_guessable

if TYPE_CHECKING:
    from app.core.config.settings import Settings

HOW_TO_MAKE = {
    "RS256": "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out jwt.pem",
    "ES256": "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out jwt.pem",
}


def find_faults(settings: "Settings") -> list[str]:
    """Errors that involve several fields or a closer look."""
    finders = [database_faults, key_faults, mail_faults, redis_faults, inventory_faults]
    if settings.is_exposed:
        finders.append(exposure_faults)
    return [fault for find in finders for fault in find(settings)]


# Advice for Pydantic's error types.
MENDS = {
    "int_parsing": "; write a whole number in digits, without a unit",
    "int_from_float": "; write a whole number",
    "float_parsing": "; write it in digits, without a unit",
    "bool_parsing": "; write true or false",
    "byte_size": "; write bytes, or as in 512KiB or 2MiB",
    "byte_size_unit": "; write bytes, or as in 512KiB or 2MiB",
}


def describe_fault(fault: object) -> str:
    """One line (or one a setting) from one Pydantic error."""
    assert isinstance(fault, dict)
    if fault["type"] == "value_error" and not fault["loc"]:
        return str(fault["ctx"]["error"])
    name = str(fault["loc"][0]).upper() if fault["loc"] else "settings"
    message = (
        fault["msg"].removeprefix("Value error, ").replace(" items", " characters")
    )  # only strings have a length here
    return f"{name}: {message[0].lower()}{message[1:]}{MENDS.get(fault['type'], '')}"


def faults_of[**P](name: str, check: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> list[str]:
    """The message of a check's ValueError, after the setting's name; empty if it passes."""
    try:
        check(*args, **kwargs)
    except ValueError as error:
        return [f"{name}: {error}"]
    return []


def database_faults(settings: "Settings") -> list[str]:
    if faults := part_faults(settings):
        return faults
    faults = faults_of(name_of_database(settings), check_database, settings)
    if (replica := settings.database_read_url) is not None:
        faults += faults_of("DATABASE_READ_URL", check_replica, replica.get_secret_value(), settings)
    return faults


def name_of_database(settings: "Settings") -> str:
    if settings.database_url is not None:
        return "DATABASE_URL"
    return "DB_DATABASE" if DIALECTS[settings.db_driver] == SQLITE else "DB_HOST"


def key_faults(settings: "Settings") -> list[str]:
    """Errors of keys, without their values: a path may be a misplaced secret."""
    faults = []
    if settings.jwt_secret_key is None and settings.jwt_algorithm != "HS256":
        wanted = f"must be the path of a PEM private key for {settings.jwt_algorithm}"
        faults.append(f"JWT_SECRET_KEY: {wanted}; try `{HOW_TO_MAKE[settings.jwt_algorithm]}`")
    for name, key in settings.named_keys():
        faults += faults_of(name, check_key, settings, name, key)
    return faults


def check_key(settings: "Settings", name: str, key: str) -> None:
    if settings.jwt_algorithm == "HS256":
        check_secret(key)
        if settings.is_exposed and is_guessable(key):
            raise ValueError(
                f"is guessable; in {settings.environment} use a random one, as of `openssl rand -base64 48`"
            )
        return
    from app.core.security.pem import read_key, read_private_key  # noqa: PLC0415 - the library takes 9 MB, unused with a secret

    read = read_private_key if name == "JWT_SECRET_KEY" else read_key
    read(key, settings.jwt_algorithm)


def mail_faults(settings: "Settings") -> list[str]:
    faults = []
    if settings.mail_url:
        faults += faults_of("MAIL_URL", parse_mail_url, settings.mail_url.get_secret_value())
    faults += faults_of("MAIL_FROM", check_sender, settings.mail_from)
    if not is_http_url(settings.frontend_url) or "@" in settings.frontend_url:
        faults.append(
            "FRONTEND_URL: must be the address of the front end, as in https://app.example.com/shop, no user, ? or #"
        )
    return faults


def check_sender(text: str) -> None:
    # A non-ASCII local part needs SMTPUTF8 on every server on the way; the domain has an ASCII form.
    if not parse_address(text).username.isascii():
        raise ValueError("the part before the @ must be ASCII")


def redis_faults(settings: "Settings") -> list[str]:
    if settings.redis_url is None:
        return []
    return faults_of("REDIS_URL", check_redis_url, settings.redis_url.get_secret_value())


def is_http_url(text: str) -> bool:
    """Whether it is an HTTP URL without query and fragment, to which paths can be appended."""
    try:
        url = HttpUrl(text)
    except ValidationError:
        return False
    return url.query is None and url.fragment is None


def inventory_faults(settings: "Settings") -> list[str]:
    if settings.inventory_url is None or is_http_url(settings.inventory_url.get_secret_value()):
        return []
    return ["INVENTORY_URL: must be like https://user:password@host:8080/path, without ? and #"]


def exposure_faults(settings: "Settings") -> list[str]:
    """Settings that are convenient in development and dangerous on an exposed server."""
    faults = []
    where = f"in {settings.environment}"
    if settings.jwt_secret_key is None and settings.jwt_algorithm == "HS256":
        faults.append(f"JWT_SECRET_KEY: must be set {where}; try `openssl rand -base64 48`")
    if "*" in settings.cors_origins:
        faults.append(f"CORS_ORIGINS: `*` is not allowed {where}; list the origins of your front ends")
    if settings.debug:
        faults.append(f"DEBUG: must be off {where}")
    if settings.db_echo:
        faults.append(f"DB_ECHO: must be off {where}; it logs what users have entered")
    if not settings.trusted_hosts or "*" in settings.trusted_hosts:
        faults.append(f"TRUSTED_HOSTS: must list the host names this server answers to {where}")
    return faults
