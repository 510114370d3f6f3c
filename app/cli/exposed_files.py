"""Finds private files that other users of the machine can read; they are reported, not changed."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.core.config.settings import Settings


def exposed_files(settings: "Settings") -> list[Path]:
    """Files with mails, accounts and passwords; key files are checked when they are read."""
    from app.core.config.private_files import is_read_by_others

    return [path for path in private_files(settings) if path.exists() and is_read_by_others(path)]


def private_files(settings: "Settings") -> Iterator[Path]:
    from app.core.config.mail_url import MailFolder, parse_mail_url
    from app.core.db.sqlite_files import database_files
    from app.services.accounts.admins import password_path

    yield settings.data_dir
    yield password_path(settings.data_dir)
    for url in filter(None, (settings.database, settings.read_database)):
        if url.get_backend_name() == "sqlite":
            yield from database_files(url)
    target = parse_mail_url(settings.mail_url.get_secret_value()) if settings.mail_url else None
    if target is None or isinstance(target, MailFolder):
        folder = settings.data_dir / "mail" if target is None else target.path
        yield folder
        yield from sorted(folder.glob("*.eml"))


def advice(paths: list[Path]) -> str:
    return f"others can read {', '.join(map(str, paths))}: chmod go= {' '.join(map(str, paths))}"
