"""Where an SQLite database is, and what SQLite keeps beside it."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from sqlalchemy.engine import URL

from app.core.config.private_files import make_private_file

SUFFIXES = ("", "-wal", "-shm", "-journal")


def database_path(url: URL) -> Path:
    database = url.database or ""
    return Path(unquote(urlsplit(database).path) if "uri" in url.query else database)


def database_files(url: URL) -> list[Path]:
    path = database_path(url)
    return [path.with_name(path.name + suffix) for suffix in SUFFIXES]


def make_database_file(url: URL) -> None:
    """SQLite itself would leave the mode to the umask. To the files beside it it gives that of the database."""
    if url.query.get("mode", "rwc") == "rwc":
        make_private_file(database_path(url))
