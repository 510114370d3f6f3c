"""What DATABASE_URL may say; light enough for the settings to import. Connecting is in database.py."""

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

DIALECTS = {
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
}


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


def shown_url(url: URL) -> str:
    """Without the password, and without the query, which may hold one too."""
    return url.set(query={}).render_as_string()
