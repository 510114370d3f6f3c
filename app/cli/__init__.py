"""The `strata` command; subcommands import late, so that `strata version` is quick."""

import sys

import typer

from app.cli import admin, db, doctor, job_worker, jobs, keys, new, openapi, serve, version

cli = typer.Typer(
    name="strata",
    help="Run and look after a Strata server.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
cli.command()(serve.serve)
cli.command()(job_worker.worker)
cli.add_typer(db.cli, name="db")
cli.add_typer(admin.cli, name="admin")
cli.add_typer(jobs.cli, name="jobs")
cli.add_typer(keys.cli, name="keys")
cli.add_typer(new.cli, name="new")
cli.command()(openapi.openapi)
cli.command()(doctor.doctor)
cli.command()(version.version)


def main() -> None:
    """Run the command; a user error prints one clear line and exits non-zero, never with a traceback."""
    try:
        cli()
    except Exception as error:
        from app.cli.faults import explain

        lines = explain(error)
        if lines is None:
            raise
        for line in lines:
            typer.secho(f"error: {line}", fg="red", err=True)
        sys.exit(1)
