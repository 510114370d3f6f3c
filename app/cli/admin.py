"""`strata admin …`: manages administrators."""

import asyncio
import sys
from typing import Annotated

import typer
from typer import Option

cli = typer.Typer(help="Look after administrators.", no_args_is_help=True)


@cli.callback()
def group() -> None:
    """Keeps `create` a subcommand while it is the only one."""


@cli.command()
def create(
    username: Annotated[str, Option(prompt=True, help="3 to 50 letters, digits and `_ . -`.")],
    email: Annotated[str, Option(prompt=True, help="E-mail address.")],
) -> None:
    """Make an administrator. The password is asked for, or read from standard input when that is no terminal."""
    user = asyncio.run(create_admin(username, email, ask_password()))
    typer.secho(f"Administrator {user} created.", fg="green")


def ask_password() -> str:
    if sys.stdin.isatty():
        password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
        return password
    return sys.stdin.readline().rstrip("\r\n")


async def create_admin(username: str, email: str, password: str) -> str:
    """Raises ValidationError or AppError if the account cannot be created."""
    from pydantic import SecretStr

    from app.core.config.settings import Settings
    from app.core.db.engine import Database
    from app.core.db.startup import wait_for_database
    from app.core.security.passwords import PasswordHasher
    from app.schemas.user import UserCreate
    from app.services.accounts.admins import add_admin
    from app.services.accounts.password_policy import check_password

    settings = Settings.load()
    account = UserCreate(username=username, email=email, password=SecretStr(password))
    await check_password(password, settings, username=account.username, email=account.email)
    database = Database(settings)
    try:
        await wait_for_database(database.engine, settings)
        return (await add_admin(database, PasswordHasher(), username, email, password)).username
    finally:
        await database.close()
