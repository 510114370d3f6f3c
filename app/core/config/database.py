"""Settings of the database: the URL, or its parts, and settings that the URL implies."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr
from sqlalchemy.engine import URL

from app.core.db.url.database_url import DIALECTS, POSTGRESQL, SQLITE, parse_database_url
from app.core.db.url.driver_arguments import check_files, driver_arguments
from app.core.db.url.postgresql_url import postgresql_url

if TYPE_CHECKING:
    from app.core.config.settings import Settings

PARTS = ("db_driver", "db_host", "db_port", "db_user", "db_password", "db_database")
NEEDED = ("db_host", "db_user", "db_database")
# Host names of poolers in transaction mode.
POOLERS = ((re.compile(r"-pooler\..*\.neon\.tech$"), None), (re.compile(r"\.supabase\.(com|co)$"), 6543))


def resolve_database(values: Mapping[str, Any]) -> dict[str, Any]:
    """Resolve the settings: a URL overrides the parts, and implies other settings.

    An invalid URL implies nothing; `database_faults` reports it.
    """
    resolved = dict(values)
    urls = {name: url_in(values, name) for name in ("database_url", "db_dsn", "database_read_url")}
    primary = urls["database_url"] or urls["db_dsn"]
    if primary is not None or values.get("database_url") or values.get("db_dsn"):
        resolved = {name: value for name, value in resolved.items() if name not in PARTS}
    for url in filter(None, (urls["database_read_url"], primary)):
        if is_pooler(url):
            resolved.setdefault("db_pgbouncer", True)
        if url.query.get("pgbouncer") == "true" or (url is primary and "pgbouncer" in url.query):
            resolved["db_pgbouncer"] = url.query["pgbouncer"]
    if primary is not None and "connection_limit" in primary.query:
        resolved |= {"db_pool_size": primary.query["connection_limit"], "db_max_overflow": 0}
    if primary is not None and "pool_timeout" in primary.query:
        resolved["db_pool_timeout"] = primary.query["pool_timeout"]
    return resolved


def url_in(values: Mapping[str, Any], name: str) -> URL | None:
    value = values.get(name)
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    try:
        return parse_database_url(text) if isinstance(text, str) else None
    except ValueError:
        return None


def is_pooler(url: URL) -> bool:
    return any(name.search(url.host or "") and port in (None, url.port) for name, port in POOLERS)


def database_in_parts(settings: "Settings") -> URL | None:
    """The URL that `DB_*` describe; None if none is set.

    Raises:
        ValueError: if they describe no database; values are not quoted.
    """
    if DIALECTS[settings.db_driver] == SQLITE:
        return parts_of_sqlite(settings)
    if settings.db_host is None:
        return None
    return postgresql_url(
        POSTGRESQL,
        {
            "host": settings.db_host,
            "port": str(settings.db_port or ""),
            "user": settings.db_user or "",
            "password": settings.db_password.get_secret_value() if settings.db_password else "",
            "dbname": settings.db_database or "",
        },
        settings.db_ssl,
    )


def parts_of_sqlite(settings: "Settings") -> URL | None:
    if not parts_in_use(settings):
        return None
    # In URL syntax, with forward slashes.
    url = URL.create(SQLITE, database=settings.db_database)
    return parse_database_url(url.render_as_string(hide_password=False))


def parts_in_use(settings: "Settings") -> list[str]:
    """The parts that are set, except the driver, which always has a default."""
    return [name for name in PARTS[1:] if getattr(settings, name) is not None]


def part_faults(settings: "Settings") -> list[str]:
    """A message if only some of the required parts are set, instead of guessing the rest."""
    if settings.db_driver not in DIALECTS:
        return [f"DB_DRIVER: must be one of {', '.join(DIALECTS)}"]
    if settings.database_url is not None or DIALECTS[settings.db_driver] == SQLITE:
        return []
    given = parts_in_use(settings)
    missing = [name.upper() for name in NEEDED if getattr(settings, name) is None]
    if not given or not missing:
        return []
    verb = "is" if len(missing) == 1 else "are"
    return [f"{given[0].upper()}: {join(missing)} {verb} missing beside it; set DATABASE_URL, or all of these"]


def check_database(settings: "Settings") -> None:
    """Raises ValueError, without values, if the URL or the parts are invalid or name a missing file."""
    check_url(settings.database)


def check_replica(text: str, settings: "Settings") -> None:
    """The replica's pools use the primary's settings."""
    url = parse_database_url(text, settings.db_ssl)
    for name, setting in (("connection_limit", "DB_POOL_SIZE"), ("pool_timeout", "DB_POOL_TIMEOUT")):
        if name in url.query:
            raise ValueError(f"{name} is not understood here: set {setting}, which is for both pools")
    check_url(url)


def check_url(url: URL) -> None:
    if url.get_backend_name() == "postgresql":
        driver_arguments(url)
        check_files(url)


def join(names: list[str]) -> str:
    *before, last = names
    return f"{', '.join(before)} and {last}" if before else last
