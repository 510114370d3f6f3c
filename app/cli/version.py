"""`strata version`."""

from importlib import metadata

import typer


def describe() -> str:
    return f"Strata {metadata.version('strata')}"


def version() -> None:
    """Print the version."""
    typer.echo(describe())
