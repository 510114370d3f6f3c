"""Start and stop messages of `strata serve`: text for people, or log lines."""

import sys
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from app.core.config.settings import Settings
    from app.services.accounts.admins import FirstAdmin


def greet(settings: "Settings", url: str, admin: "FirstAdmin | None") -> None:
    """`url` is where the server listens; the printed URLs include ROOT_PATH, as behind the proxy."""
    url += settings.root_path
    if settings.uses_json_logs:
        log_start(settings, url, admin)
    else:
        show_start(settings, url, admin)


def report_stop(settings: "Settings") -> None:
    import structlog

    if settings.uses_json_logs:
        structlog.get_logger().info("stopped")
    else:
        typer.echo("  Stopped.")


def log_start(settings: "Settings", url: str, admin: "FirstAdmin | None") -> None:
    """Log the path of the file with the generated password, not the password itself."""
    from importlib import metadata

    import structlog

    from app.core.db.url.database_url import shown_url
    from app.services.accounts.admins import password_path

    log = structlog.get_logger()
    if admin is not None:
        kept = {} if admin.password is None else {"password_file": str(password_path(settings.data_dir))}
        log.warning("first administrator created", username=admin.username, **kept)
    facts = {"environment": settings.environment, "version": metadata.version("strata")}
    log.info("serving", url=url, **facts, database=shown_url(settings.database))


def show_start(settings: "Settings", url: str, admin: "FirstAdmin | None") -> None:
    """Print the URLs, and the generated password, which is shown only once."""
    from app.cli.version import describe
    from app.core.db.url.database_url import shown_url

    typer.echo()
    typer.secho(f"  {describe()} · {settings.environment}", bold=True)
    typer.echo()
    docs = [("Docs", f"{url}/docs")] if settings.docs_enabled else []
    for name, value in [("API", f"{url}/api/v1"), *docs, ("Database", shown_url(settings.database))]:
        typer.echo(f"  {name:<10}{typer.style(value, fg='cyan')}")
    if admin is not None:
        typer.echo()
        typer.echo(f"  {'Admin':<10}{typer.style(admin.username, fg='green')}")
        if admin.password is not None:
            note = typer.style("(shown only this once)", dim=True)
            typer.echo(f"  {'Password':<10}{typer.style(admin.password, fg='green')}  {note}")
    typer.echo("\n  Ctrl+C stops the server.\n")
    sys.stdout.flush()
