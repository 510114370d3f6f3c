"""`strata new …`: generates code in the style of the rest."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

if TYPE_CHECKING:
    from app.cli.scaffold.resource import Resource

cli = typer.Typer(help="Write new code.", no_args_is_help=True)


@cli.callback()
def group() -> None:
    """Keeps `resource` a subcommand while it is the only one."""


@cli.command()
def resource(
    name: Annotated[str, Argument(help="Its name in the singular, such as invoice or price_list.")],
    fields: Annotated[
        list[str],
        Argument(
            metavar="FIELD:TYPE…",
            help="Such as 'number:str:unique' 'paid:bool=false' 'customer:ref:user' 'kind:enum:draft|final=draft'. "
            "Types: str text int decimal bool date datetime email url year ref:OTHER enum:A|B; `?` after the type "
            "makes it nullable, `=VALUE` gives a default, `:unique` and `:index` are flags. Quote them in the shell.",
        ),
    ],
    owned: Annotated[bool, Option("--owned", help="Rows belong to users, who see and change their own.")] = False,
    public: Annotated[bool, Option("--public", help="Reading needs no token, and answers are cached.")] = False,
    plural: Annotated[str | None, Option(help="The plural, where the rules do not find it.")] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Show what would be written and changed; do nothing.")] = False,
) -> None:
    """Write a resource: model, schemas, crud, operations, migration and tests; register it everywhere."""
    from app.cli.checkout import require_checkout
    from app.cli.scaffold.check import check_free, check_ruff
    from app.cli.scaffold.edits import edit_all
    from app.cli.scaffold.files import SNAPSHOT, check_clean, write
    from app.cli.scaffold.render import render
    from app.cli.scaffold.report import preview, summary
    from app.core.db import migrations

    root = migrations.ROOT
    require_checkout(root, "strata new")
    check_ruff()
    made = describe(name, plural, fields, root, is_owned=owned, is_public=public)
    check_free(made.names, root)
    new = render(made, head_of(root), root)
    changed = edit_all(made, root)
    check_clean(root, [*changed, SNAPSHOT])
    if not dry_run:
        write(root, new | {path: text for path, (_, text) in changed.items()})
    for line in preview(new, changed) if dry_run else summary(made, new, changed):
        typer.echo(line)


def describe(
    name: str, plural: str | None, fields: list[str], root: Path, *, is_owned: bool, is_public: bool
) -> "Resource":
    """Raises MistakeError for the first invalid argument."""
    from app.cli.scaffold.check import check_names, check_resource
    from app.cli.scaffold.names import Names, plural_of
    from app.cli.scaffold.parse import parse_field
    from app.cli.scaffold.resource import Resource
    from app.cli.scaffold.targets import with_target

    names = Names(name, plural or plural_of(name))
    check_names(names)
    parsed = tuple(with_target(parse_field(text, name), root) for text in fields)
    made = Resource(names, parsed, is_owned, is_public)
    check_resource(made)
    return made


def head_of(root: Path) -> str:
    from app.cli.faults import MistakeError
    from app.core.db.migrations import migration_head

    head = migration_head(root / "alembic" / "versions")
    if head is None:
        raise MistakeError("The migrations have no single end to build on: merge them first (`alembic merge`).")
    return head
