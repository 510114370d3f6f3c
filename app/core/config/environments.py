"""The environment of a server, and mistakes that would silently leave it in development."""

import os
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from re import fullmatch
from typing import Annotated, Literal, Self, get_args

from pydantic import BeforeValidator

from app.core.config.env_files import file_faults, pairs_in
from app.core.config.sources import PlainSettings, plain_value

type Environment = Literal["development", "test", "staging", "production"]

ENVIRONMENTS: tuple[str, ...] = get_args(Environment.__value__)
EXPOSED = {"staging", "production"}
# Names that other programs use. ENV is a file for shells, so these names count only with such values.
LOOKALIKES = ("env", "app_environment", "strata_env", "strata_environment")
LOOKALIKE_VALUES = {"prod", "production", "live", "stage", "staging"}
# The similarity of a likely typo: all but a letter or so, to ignore variables of other programs.
LIKENESS = 0.85
# A name that only chooses a file.
FILE_NAME = r"[\w.-]{1,100}"
CHOICE = f"{', '.join(ENVIRONMENTS[:-1])} or {ENVIRONMENTS[-1]}"


def tidy(value: object) -> object:
    """Strip; lower-case names of environments. Other names may be those of files."""
    if not isinstance(value, str):
        return value
    return value.strip().lower() if value.strip().lower() in ENVIRONMENTS else value.strip()


def tidy_or_none(value: object) -> object:
    return tidy(value) or None


Word = Annotated[str | None, BeforeValidator(tidy_or_none)]


class Names(PlainSettings):
    """Names of the environment, read as every setting."""

    app_env: Word = None
    environment: Word = None
    env: Word = None
    app_environment: Word = None
    strata_env: Word = None
    strata_environment: Word = None

    @classmethod
    def of_process(cls) -> Self:
        return cls()


def env_files() -> tuple[str, str]:
    """`.env`, and the file that overrides it: of APP_ENV, else of the environment named by the process or `.env`."""
    name = Names.of_process().app_env or Names(_env_file=".env").environment or "development"
    return ".env", f".env.{name if fullmatch(FILE_NAME, name) else 'development'}"


def env_file_faults() -> list[str]:
    """Errors of `.env`, and then of the file that it chooses."""
    try:
        Path.cwd()
    except OSError:  # without the files a server would start with the defaults
        return ["working directory: is gone; go to the folder again"]
    return file_faults(Path(".env")) or file_faults(Path(env_files()[1]))


def environment_faults(files: tuple[str, str]) -> list[str]:
    """Mistakes that would silently run the server in development or another environment.

    `files` are those of `env_files`.
    """
    process, found = Names.of_process(), Names(_env_file=files)
    if process.app_env is not None and not fullmatch(FILE_NAME, process.app_env):
        return [f"APP_ENV: must be {CHOICE}, or what a file's name can have: letters, digits and `_ . -`"]
    if found.environment is None:
        fault = unset_fault(process, found, files)
    elif process.app_env in ENVIRONMENTS:
        fault = contradiction(process, found)
    else:
        fault = missing_file_fault(process, found, files[1])
    return [] if fault is None else [fault]


def unset_fault(process: Names, found: Names, files: tuple[str, str]) -> str | None:
    if process.app_env in ENVIRONMENTS:
        return None
    if process.app_env is not None:
        return f"APP_ENV: must be {CHOICE}; another name only chooses a file, and needs ENVIRONMENT to be set as well"
    if found.app_env is not None:
        return f"APP_ENV: is read from the process alone, and not from a file; set ENVIRONMENT to {CHOICE} there"
    for name in LOOKALIKES:
        if str(getattr(found, name)).lower() in LOOKALIKE_VALUES:
            return f"{name.upper()}: is not read; set ENVIRONMENT to {CHOICE}"
    slips = (
        name for name, value in all_pairs(files) if value.lower() in LOOKALIKE_VALUES and is_likely_typo(name.upper())
    )
    return next((f"{name}: is not read; set ENVIRONMENT to {CHOICE}" for name in slips), None)


def all_pairs(files: tuple[str, str]) -> Iterator[tuple[str, str]]:
    yield from ((name, plain_value(value, is_quoted=True)) for name, value in os.environ.items())
    for file in files:
        yield from pairs_in(Path(file))


def is_likely_typo(name: str) -> bool:
    return bool(get_close_matches(name, ["ENVIRONMENT", "APP_ENV"], cutoff=LIKENESS))


def contradiction(process: Names, found: Names) -> str | None:
    if found.environment not in ENVIRONMENTS or found.environment == process.app_env:
        return None
    return f"APP_ENV: is {process.app_env}, but ENVIRONMENT is {found.environment}; leave one of them out"


def missing_file_fault(process: Names, found: Names, file: str) -> str | None:
    """Report a missing file of APP_ENV, unless the process itself sets ENVIRONMENT."""
    if process.app_env is None or process.environment is not None or found.environment in EXPOSED:
        return None
    if Path(file).exists():
        return None
    return f"APP_ENV: there is no file {file} in the working directory; make it, or set ENVIRONMENT in the process too"
