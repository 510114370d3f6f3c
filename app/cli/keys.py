"""`strata keys …`: manages signing keys."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from app.core.config.settings import Settings
    from app.core.security.pem import KeyPairAlgorithm

WHY = "REFRESH_TOKEN_EXPIRE_DAYS; by then all that it has signed has expired"

cli = typer.Typer(help="Look after the keys that tokens are signed with.", no_args_is_help=True)


@cli.callback()
def group() -> None:
    """Keeps `rotate` a subcommand while it is the only one."""


@cli.command()
def rotate() -> None:
    """Make a new signing key, and say how to put it to use. What the old one has signed stays valid."""
    from app.core.config.settings import Settings

    settings = Settings.load()
    if settings.jwt_algorithm != "HS256":
        add_key_file(settings, settings.jwt_algorithm)
    elif settings.jwt_secret_key is not None:
        propose_secret(settings)
    else:
        replace_generated_secret(settings)


def replace_generated_secret(settings: "Settings") -> None:
    from app.core.config.settings import SettingsError
    from app.core.security.secret_file import generated_secrets, replace_secret, replaced_path, secret_path

    path, replaced = secret_path(settings.data_dir), replaced_path(settings.data_dir)
    if not path.exists():
        raise SettingsError([f"{path}: there is no secret to replace yet; `strata serve` makes one"])
    generated_secrets(settings.data_dir)  # raises for a truncated secret
    replace_secret(settings.data_dir)
    typer.echo(f"There is a new secret in {path}; the old one is kept in {replaced}.")
    typer.echo("Restart the server: then the new secret signs, and what the old one has signed stays valid.")
    typer.echo(f"Delete {replaced} {settings.refresh_token_expire_days} days after that ({WHY}).")


def propose_secret(settings: "Settings") -> None:
    from app.core.security.secret_file import new_secret

    older = ["<those JWT_PREVIOUS_KEYS has>"] if settings.jwt_previous_keys else []
    typer.echo("Nothing has been changed, since JWT_SECRET_KEY is set. Here is a new secret, shown only this once:\n")
    print_settings(new_secret(), ["<the value JWT_SECRET_KEY has now>", *older])
    advise(settings)


def add_key_file(settings: "Settings", algorithm: "KeyPairAlgorithm") -> None:
    from pathlib import Path

    from app.core.config.home_folder import expand_home
    from app.core.config.settings import SettingsError
    from app.core.security.keys import Key
    from app.core.security.pem import generate_key, write_private_key

    assert settings.jwt_secret_key is not None
    current = settings.jwt_secret_key.get_secret_value()
    key = generate_key(algorithm)
    path = expand_home(Path(current)).with_name(f"jwt-{algorithm.lower()}-{Key.of_pair(key).id[:8]}.pem")
    try:
        write_private_key(path, key)
    except OSError as error:
        raise SettingsError([f"{path}: cannot be written: {error.strerror}"]) from None
    typer.echo(f"There is a new key in {path}. Nothing uses it until you set:\n")
    print_settings(str(path), [current, *(older.get_secret_value() for older in settings.jwt_previous_keys)])
    advise(settings)


def print_settings(current: str, previous: list[str]) -> None:
    typer.echo(f"  JWT_SECRET_KEY={current}")
    typer.echo(f"  JWT_PREVIOUS_KEYS={','.join(previous)}\n")


def advise(settings: "Settings") -> None:
    assert settings.jwt_secret_key is not None
    if "," in settings.jwt_secret_key.get_secret_value():
        warning = "The present value has a comma, which JWT_PREVIOUS_KEYS cannot hold: everybody must log in again."
        typer.secho(warning, fg="yellow")
    typer.echo("Restart the server: then the new key signs, and what the old one has signed stays valid.")
    typer.echo("Of several servers, each must know the new key before any signs with it: first add it to the")
    typer.echo("JWT_PREVIOUS_KEYS of all and restart them, then set the above and restart them again.")
    days = settings.refresh_token_expire_days
    typer.echo(f"Take the old key out of JWT_PREVIOUS_KEYS {days} days after that ({WHY}).")
