"""Checks of names: which are not allowed, and which are taken."""

import builtins
import keyword
import re
from importlib.util import find_spec
from pathlib import Path

from pydantic import BaseModel
from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS

from app.cli.faults import MistakeError
from app.cli.scaffold.fields import Field
from app.cli.scaffold.names import Names
from app.cli.scaffold.resource import Resource
from app.models.base import Base

SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
MAX_NAME = 40
MAX_CONSTRAINT = 63
# Every table has these.
BASE_COLUMNS = {"id", "created_at", "updated_at", "version", "owner", "owner_id"}
# Parameters of every list.
LIST_PARAMETERS = {"q", "sort", "limit", "skip", "cursor", "include_total"}
# Names that the generated code uses itself: a field or a resource so called would hide them.
USED_NAMES = {
    "enum_type",
    "table_args",
    "conditions",
    "date",
    "datetime",
    "equal",
    "contains",
    "me",
    "status",
    "session",
    "mapped_column",
}
USED_CLASSES = {
    *("Any", "Annotated", "Base", "CachedCRUD", "Decimal", "Depends", "Enum", "Field", "Flag", "In", "Index"),
    *("Literal", "Mapped", "Money", "Out", "Page", "Path", "Query", "Response", "Router", "Sequence", "Versioned"),
    *("AmountQuery", "FlagQuery", "IdParameter", "SearchQuery"),
    *("Amount", "Day", "Email", "Factory", "Identity", "Instant", "Url", "Year"),
}


def check_ruff() -> None:
    if find_spec("ruff") is None:
        raise MistakeError("ruff, which formats what is written, is not installed: run `uv sync`.")


def check_names(names: Names) -> None:
    for name in (names.singular, names.plural):
        check_name("resource", name)
        if len(name) > MAX_NAME:
            raise MistakeError(f"{name}: a resource's name has {MAX_NAME} characters at most; take a shorter one.")
    if names.singular == names.plural:
        raise MistakeError(f"{names.singular}: singular and plural must differ; name the plural with --plural.")
    if names.model in USED_CLASSES or names.plural in USED_NAMES | {"router", "responses"}:
        raise MistakeError(f"{names.singular}: the generated code uses this name itself; take another one.")


def check_name(what: str, name: str) -> None:
    if not SNAKE_CASE.fullmatch(name):
        raise MistakeError(f"{name}: a {what}'s name is snake_case, such as price_list: small letters, digits, `_`.")
    if keyword.iskeyword(name) or keyword.issoftkeyword(name) or hasattr(builtins, name):
        raise MistakeError(f"{name}: this is a word of Python's; take another name, such as {name}_name.")
    if name in RESERVED_WORDS:
        raise MistakeError(f"{name}: this is a word of SQL's; take another name, such as {name}_name.")


def check_field(field: Field) -> None:
    for name in dict.fromkeys((field.name, field.column)):
        refuse_field_name(name)
    if field.kind.name == "ref" and field.name.endswith("_id"):
        raise MistakeError(f"{field.name}: a ref's column gets its `_id` by itself; write {field.name[:-3]}:ref:….")
    if field.kind.name == "datetime" and not field.name.endswith("_at"):
        raise MistakeError(f"{field.name}: instants have names in `_at`, a house rule; write {field.name}_at:datetime.")


def refuse_field_name(name: str) -> None:
    for reason, is_so in (
        ("every resource has this column, or may have it (--owned); leave it out", name in BASE_COLUMNS),
        ("this is a parameter of every list; take another name", name in LIST_PARAMETERS),
        ("the generated code uses this name itself; take another one", name in USED_NAMES),
        ("Pydantic keeps this name for itself; take another one", hasattr(BaseModel, name) or name[:6] == "model_"),
        ("SQLAlchemy keeps this name for itself; take another one", hasattr(Base, name)),
    ):
        if is_so:
            raise MistakeError(f"{name}: {reason}.")
    check_name("field", name)


def check_resource(resource: Resource) -> None:
    columns: set[str] = set()
    aliases: dict[str, Field] = {}
    for field in resource.fields:
        check_field(field)
        if field.column in columns:
            raise MistakeError(f"{field.column}: this field is given twice; leave one out.")
        columns.add(field.column)
        if (other := aliases.setdefault(field.alias, field)).alias != "Flag" and other is not field:
            raise MistakeError(
                f"{field.name}: its type would have the name of that of {other.name}; take another name."
            )
    for name in resource.constraints:
        if len(name) > MAX_CONSTRAINT:
            raise MistakeError(
                f"{name}: this constraint's name would have {len(name)} characters, and PostgreSQL keeps "
                f"{MAX_CONSTRAINT}; take shorter names."
            )


def check_free(names: Names, root: Path) -> None:
    """That nothing has these names yet."""
    one, many = names.singular, names.plural
    files = [f"app/{layer}/{one}.py" for layer in ("models", "schemas", "crud")]
    for name in [*files, f"app/api/v1/{many}.py", f"app/api/v2/{many}.py", f"tests/api/test_{many}.py"]:
        if (root / name).exists():
            raise MistakeError(f"{name} is there already: take another name, or remove the resource first.")
    for what, places, pattern in (
        (f"the class {names.model}", "app/models/*.py", rf"^class {names.model}\("),
        (f"the schema {names.model}Read", "app/schemas/*.py", rf"^class {names.model}(Create|Replace|Update|Read)\("),
        (f"the table {names.plural}", "app/models/*.py", rf'__tablename__ = "{names.plural}"'),
        (f"the table {names.plural}", "alembic/versions/*.py", rf'create_table\(\s*"{names.plural}"'),
        (f"the address {names.prefix}", "app/api/v[12]/**/*.py", rf'(prefix=|\.\w+\()"{names.prefix}["/]'),
        (f"the tag {names.plural}", "app/api/**/*.py", rf'tag="{names.plural}"'),
        (f"the scope {names.plural}:read", "app/**/*.py", rf'"{names.plural}:(read|write)"'),
    ):
        for path in sorted(root.glob(places)):
            if re.search(pattern, path.read_text(), re.MULTILINE):
                where = path.relative_to(root)
                raise MistakeError(f"{names.singular}: {what} is there already ({where}); take another name.")
