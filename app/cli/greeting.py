"""Start and stop messages of `strata serve` and `strata worker`: text for people, or log lines."""

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


def greet_worker(settings: "Settings") -> None:
    import structlog

    from app.cli.version import describe

    if settings.uses_json_logs:
        structlog.get_logger().info("running jobs", **facts(settings), concurrency=settings.jobs_concurrency)
        return
    many = "1 job" if settings.jobs_concurrency == 1 else f"{settings.jobs_concurrency} jobs"
    typer.echo(f"  {describe()} · {settings.environment} · runs up to {many} at once. Ctrl+C stops it.")
    sys.stdout.flush()


def report_stop(settings: "Settings") -> None:
    import structlog

    if settings.uses_json_logs:
        structlog.get_logger().info("stopped")
    else:
        typer.echo("  Stopped.")


def log_start(settings: "Settings", url: str, admin: "FirstAdmin | None") -> None:
    """Log the path of the file with the generated password, not the password itself."""
    import structlog

    from app.services.accounts.admins import password_path

    log = structlog.get_logger()
    if admin is not None:
        kept = {} if admin.password is None else {"password_file": str(password_path(settings.data_dir))}
        log.warning("first administrator created", username=admin.username, **kept)
    log.info("serving", url=url, **facts(settings))
    if not settings.runs_jobs:
        log.info("jobs are run by `strata worker`, which must run beside the servers")


def facts(settings: "Settings") -> dict[str, str]:
    from importlib import metadata

    from app.core.db.url.database_url import shown_url

    version, database = metadata.version("strata"), shown_url(settings.database)
    return {"environment": settings.environment, "version": version, "database": database}


def show_start(settings: "Settings", url: str, admin: "FirstAdmin | None") -> None:
    """Print the URLs, and the generated password, which is shown only once."""
    from app.cli.version import describe
    from app.core.db.url.database_url import shown_url

    typer.echo()
    typer.secho(f"  {describe()} · {settings.environment}", bold=True)
    typer.echo()
    docs = [("Docs", f"{url}/docs")] if settings.docs_enabled else []
    jobs = [] if settings.runs_jobs else [("Jobs", "need `strata worker` beside this server")]
    for name, value in [("API", f"{url}/api/v1"), *docs, ("Database", shown_url(settings.database)), *jobs]:
        typer.echo(f"  {name:<10}{typer.style(value, fg='cyan')}")
    if admin is not None:
        typer.echo()
        typer.echo(f"  {'Admin':<10}{typer.style(admin.username, fg='green')}")
        if admin.password is not None:
            note = typer.style("(shown only this once)", dim=True)
            typer.echo(f"  {'Password':<10}{typer.style(admin.password, fg='green')}  {note}")
    typer.echo("\n  Ctrl+C stops the server.\n")
    sys.stdout.flush()
