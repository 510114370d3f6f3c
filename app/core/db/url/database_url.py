"""What DATABASE_URL may say; light enough for the settings to import. Connecting is in engine.py."""

import re

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from app.core.db.url.postgresql_url import NO_URL, parse_conninfo, parse_postgresql_url, postgresql_url

POSTGRESQL, SQLITE = "postgresql+asyncpg", "sqlite+aiosqlite"
# What other programs write for the same, whatever driver they use.
DIALECTS = {
    **dict.fromkeys(("postgres", "postgresql", "pgsql", POSTGRESQL), POSTGRESQL),
    **dict.fromkeys((f"postgresql+{driver}" for driver in ("psycopg2", "psycopg", "pg8000")), POSTGRESQL),
    **dict.fromkeys(("sqlite", SQLITE), SQLITE),
}
HINTS = {
    "jdbc": "is a JDBC URL: write postgresql://user:password@host:5432/name, without `jdbc:`",
    "prisma": "is for Prisma's proxy: take the URL of the database itself, postgresql://…",
    "prisma+postgres": "is for Prisma's proxy: take the URL of the database itself, postgresql://…",
    "cockroachdb": "is for CockroachDB, which lacks what Strata needs: use PostgreSQL",
}
# What may stand in the URL of a file: those of Python's driver, and with `uri=true` those of SQLite.
SQLITE_NUMBERS = {"timeout", "cached_statements"}
SQLITE_URI = {"mode", "cache", "vfs", "immutable", "nolock", "psow"}
BOOLEANS = {"true", "false", "1", "0"}


def parse_database_url(text: str, sslmode: str | None = None) -> URL:
    """Turn what people paste into a URL whose parameters are of libpq, each with a meaning for `driver_arguments`.

    `sslmode` is for a URL of PostgreSQL that says nothing of it.

    Raises:
        ValueError: if it is none, of a database that Strata does not support, or asks for what the driver cannot do.
            Without its values: one may be the password, or a part of one that is not escaped.
    """
    text = unwrap(text)
    scheme, mark, rest = text.partition(":")
    if not mark and "=" not in text:
        raise ValueError(NO_URL)
    if "://" not in text and re.match(r"\w+\s*=", text):
        return postgresql_url(POSTGRESQL, parse_conninfo(text), sslmode)
    if (hint := HINTS.get(scheme.lower())) is not None:
        raise ValueError(hint)
    if not rest.startswith("//"):
        raise ValueError(NO_URL)
    if (dialect := DIALECTS.get(scheme.lower())) is None:
        raise ValueError("must start with postgresql:// or sqlite://")
    if dialect == SQLITE:
        return parse_sqlite_url(f"{SQLITE}:{rest}")
    return postgresql_url(POSTGRESQL, parse_postgresql_url(rest.removeprefix("//")), sslmode)


def unwrap(text: str) -> str:
    """Without blanks and quotes around it, and without the `psql` before what hosters have people copy."""
    text = text.strip()
    text = re.sub(r"^psql\s+(?=\S)", "", text)
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"`":
        text = text[1:-1].strip()
    return text


def parse_sqlite_url(text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError(NO_URL) from None
    if url.host or url.username or url.password or url.port:
        raise ValueError("must have three slashes before a relative path and four before an absolute one")
    if is_in_memory(url):
        raise ValueError("must name a file, as in sqlite:///var/strata.db")
    check_sqlite_query(url)
    return url


def check_sqlite_query(url: URL) -> None:
    allowed = {"uri", *SQLITE_NUMBERS, *(SQLITE_URI if "uri" in url.query else ())}
    if not url.query.keys() <= allowed or not all(isinstance(value, str) for value in url.query.values()):
        raise ValueError(
            f"has parameters that do not fit: of SQLite there are uri, {', '.join(sorted(SQLITE_NUMBERS))} "
            f"and, with uri=true, {', '.join(sorted(SQLITE_URI))}"
        )
    if str(url.query.get("uri", "true")).lower() not in BOOLEANS:
        raise ValueError("uri must be true or false")
    if not all(re.fullmatch(r"\d{1,6}", str(url.query.get(name, "1"))) for name in SQLITE_NUMBERS):
        raise ValueError(f"{' and '.join(sorted(SQLITE_NUMBERS))} must be whole numbers")
    if "\0" in (url.database or "") or any("\0" in str(value) for value in url.query.values()):
        raise ValueError(NO_URL)


def is_in_memory(url: URL) -> bool:
    """Whether each connection would get an SQLite database of its own, lost when it closes."""
    return not url.database or ":memory:" in url.database or url.query.get("mode") == "memory"


def shown_url(url: URL) -> str:
    """Without the password, and without the query, which may hold one too; several hosts and sockets stand there."""
    hosts = {name: url.query[name] for name in ("host", "port") if name in url.query}
    return url.set(query=hosts).render_as_string()
