"""Warnings for names that look like settings but are not read."""

import os
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from app.core.config.env_files import pairs_in, repeated_names
from app.core.config.environments import LIKENESS, env_files

if TYPE_CHECKING:
    from app.core.config.settings import Settings

# Names that other programs use, too different to be found by similarity.
OTHER_NAMES = {
    "ALLOWED_HOSTS": "TRUSTED_HOSTS",
    "ALLOWED_ORIGINS": "CORS_ORIGINS",
    "CORS_ALLOWED_ORIGINS": "CORS_ORIGINS",
    "CORS_ALLOW_ORIGINS": "CORS_ORIGINS",
    "DATABASE_DSN": "DATABASE_URL",
    "DB_NAME": "DB_DATABASE",
    "DB_PASS": "DB_PASSWORD",
    "DB_URI": "DATABASE_URL",
    "DB_URL": "DATABASE_URL",
    "DEFAULT_FROM_EMAIL": "MAIL_FROM",
    "EMAIL_FROM": "MAIL_FROM",
    "EMAIL_URL": "MAIL_URL",
    "JWT_SECRET": "JWT_SECRET_KEY",
    "SECRET_KEY": "JWT_SECRET_KEY",
    "SMTP_URL": "MAIL_URL",
}


def file_warnings(settings: "Settings") -> list[str]:
    """Names in the `.env` files that are not read. Raises ValueError for an unreadable file."""
    warnings: list[str] = []
    for path in map(Path, env_files()):
        warnings += repeated_names(path)
        warnings += (f"{path}: {warning}" for warning in unread_names(settings, dict(pairs_in(path))))
    return warnings


def process_warnings(settings: "Settings") -> list[str]:
    return list(unread_names(settings, os.environ))


def unread_names(settings: "Settings", names: Iterable[str]) -> Iterator[str]:
    """The suggested setting; none if that is set, since the name then belongs to another program."""
    known = {"APP_ENV", "DB_DSN", *(name.upper() for name in type(settings).model_fields)}
    for name in names:
        meant = None if name.upper() in known else suggestion_for(name.upper(), known)
        if meant is not None and meant.lower() not in settings.model_fields_set:
            yield f"{name} is not read; did you mean {meant}?"


def suggestion_for(name: str, known: Iterable[str]) -> str | None:
    near = get_close_matches(name, known, n=1, cutoff=LIKENESS)
    return OTHER_NAMES.get(name) or (near[0] if near else None)
