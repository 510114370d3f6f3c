"""What the command says when it is done, or would be."""

import difflib
from collections.abc import Iterator, Mapping

from app.cli.scaffold.files import SNAPSHOT
from app.cli.scaffold.resource import Resource


def preview(new: Mapping[str, str], changed: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    for path, text in new.items():
        yield f"would write   {path} ({text.count(chr(10))} lines)"
    for path in changed:
        yield f"would change  {path}"
    yield f"would renew   {SNAPSHOT}"
    for path, (old, text) in changed.items():
        lines = difflib.unified_diff(old.splitlines(), text.splitlines(), path, path, n=1, lineterm="")
        yield "\n" + "\n".join(lines)


def summary(resource: Resource, new: Mapping[str, str], changed: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    for path in new:
        yield f"wrote    {path}"
    for path in changed:
        yield f"changed  {path}"
    yield f"renewed  {SNAPSHOT}"
    for field in resource.refs:
        does = "goes too" if field.on_delete == "CASCADE" else "has null there"
        target = field.target_name
        yield f"{field.column}: when the {target} is deleted, the {resource.names.noun} {does} ({field.on_delete})."
    one, many = resource.names.singular, resource.names.plural
    yield "\nNext:"
    yield "  uv run strata db upgrade"
    yield f"  uv run pytest tests/api/test_{many}.py tests/api/test_openapi.py tests/core/test_migrations.py"
    yield "and put into your own words:"
    yield f"  app/models/{one}.py      what the table is for"
    yield f"  app/schemas/{one}.py     examples, descriptions, bounds"
    yield f"  app/api/v1/{many}.py     what the tag and the scopes are about"
    yield "  CHANGELOG.md, docs/clients.md     what clients should know"
    yield "Tokens that are out do not have the new scopes: their users sign in again."
