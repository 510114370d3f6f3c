"""`strata db …`: the database's schema."""

from typing import Annotated

import typer
from typer import Argument, Option

cli = typer.Typer(help="Look after the database's schema.", no_args_is_help=True)


@cli.callback()
def configure() -> None:
    from app.core.config.settings import Settings
    from app.core.observability.logging import configure_logging

    configure_logging(Settings.load())


@cli.command()
def upgrade(
    revision: Annotated[str, Argument(help="Migration to go up to.")] = "head",
    sql: Annotated[bool, Option("--sql", help="Print the SQL instead of running it.")] = False,
) -> None:
    """Apply migrations, under a lock: several instances may do it at once."""
    from alembic import command

    from app.core.db.migrations import alembic_config

    command.upgrade(alembic_config(), revision, sql=sql)
    if not sql:
        show_current()


@cli.command(context_settings={"ignore_unknown_options": True})  # so that `-1` is a revision
def downgrade(
    revision: Annotated[str, Argument(help="Migration to go back to, `-1` for one step, or `base`.")],
) -> None:
    """Take migrations back. This can lose data: back up first."""
    from alembic import command

    from app.core.db.migrations import alembic_config

    command.downgrade(alembic_config(), revision)
    show_current()


@cli.command()
def current() -> None:
    """Say which migration the database is at, and which one the code needs."""
    show_current()


@cli.command()
def revision(
    message: Annotated[str, Option("--message", "-m", help="What it does, as in `add orders`.")],
    empty: Annotated[bool, Option("--empty", help="Do not compare the models with the database.")] = False,
    drop_foreign: Annotated[
        bool, Option("--drop-foreign", help="Also drop what neither a model nor a migration has: others' tables too.")
    ] = False,
) -> None:
    """Write a new migration from what the models and the database differ in. Read it before you commit it."""
    from alembic import command

    from app.cli.checkout import require_checkout
    from app.core.db import migrations

    require_checkout(migrations.ROOT, "strata db revision", ["alembic.ini"])
    config = migrations.alembic_config()
    config.attributes["drops_foreign"] = drop_foreign
    command.revision(config, message=message, autogenerate=not empty)


@cli.command()
def check() -> None:
    """Fail if the models and the migrated database differ."""
    from alembic import command

    from app.core.db.migrations import alembic_config

    command.check(alembic_config())


def show_current() -> None:
    import asyncio

    from app.core.config.settings import Settings
    from app.core.db.migrations import migration_head, read_revision

    at, head = asyncio.run(read_revision(Settings.load())), migration_head()
    state = "up to date" if at == head else f"the code needs {head}: run `strata db upgrade`"
    typer.echo(f"The database is at {at or 'no migration'}, {state}.")
