"""Renders new files from templates, formatted by ruff."""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli.scaffold.formatting import formatted
from app.cli.scaffold.resource import Resource
from app.cli.scaffold.samples import default, expected, sample, stored

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).resolve().parents[2] / "templates" / "resource"


def quoted(words: Iterable[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)


def listed(words: Iterable[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    *rest, final = words
    return f"{', '.join(rest)} {last} {final}" if rest else final


def environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=False,  # noqa: S701 - what is made is Python
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"quoted": quoted, "listed": listed}
    made.filters |= {"sample": sample, "stored": stored, "expected": expected, "initial": default}
    return made


def paths_of(resource: Resource, now: datetime) -> dict[str, str]:
    """The template of each new file."""
    one, many = resource.names.singular, resource.names.plural
    return {
        f"app/models/{one}.py": "model.py.j2",
        f"app/schemas/{one}.py": "schema.py.j2",
        f"app/crud/{one}.py": "crud.py.j2",
        f"app/api/v1/{many}.py": "api.py.j2",
        f"app/api/v2/{many}.py": "api_v2.py.j2",
        f"alembic/versions/{now:%Y%m%d_%H%M}_create_{many}.py": "migration.py.j2",
        f"tests/api/test_{many}.py": "test.py.j2",
    }


def render(resource: Resource, head: str, root: Path) -> dict[str, str]:
    """The text of each new file, by its path."""
    jinja = environment()
    values = {
        "r": resource,
        "revision": hashlib.sha256(f"{resource.names.plural} {head}".encode()).hexdigest()[:12],
        "down_revision": head,
        "filter_arguments": filter_arguments(resource),
        "test_imports": test_imports(resource),
    }
    paths = paths_of(resource, datetime.now(UTC))
    return {path: formatted(root, path, jinja.get_template(name).render(values)) for path, name in paths.items()}


def filter_arguments(resource: Resource) -> str:
    """In the order of the filter's fields."""
    names = ["me.user.id"] if resource.is_private else []
    names += ["q"] if resource.searched else []
    names += ["owner_id"] if resource.is_owned and resource.is_public else []
    return ", ".join([*names, *(field.column for field in resource.filters)])


def test_imports(resource: Resource) -> list[tuple[str, str]]:
    """What the tests make their rows with."""
    imports = [
        (field.target.test_module, f"store_{field.target.module}")
        for field in resource.refs
        if field.target is not None and field.target.test_module
    ]
    model = f"app.models.{resource.names.singular}"
    return sorted({*imports, *((model, field.enum) for field in resource.fields if field.kind.name == "enum")})
