"""The house rules of AGENTS.md that no other tool checks."""

import ast
import inspect
import re
import tomllib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from pydantic import AliasChoices
from sqlalchemy import Column, DateTime, ForeignKeyConstraint, PrimaryKeyConstraint, Table, UniqueConstraint
from sqlalchemy.types import TypeDecorator, TypeEngine

from app.api.deps.paging import get_paging
from app.api.deps.sessions import get_session
from app.core.config.settings import Settings
from app.core.db.migrations import ROOT
from app.main import create_app
from app.models import metadata

MODULES = {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in sorted((ROOT / "app").rglob("*.py"))}
TABLES = sorted(metadata.tables.values(), key=lambda table: table.name)

each_table = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)


def nodes[N: ast.AST](kind: type[N], *, but: Collection[str] = ()) -> Iterator[tuple[str, N]]:
    """Every such node of the application, with the place to look at."""
    for name, tree in MODULES.items():
        for node in ast.walk(tree):
            if name not in but and isinstance(node, kind):
                yield f"{name}:{getattr(node, 'lineno', 0)}", node


def called(call: ast.Call) -> str:
    """The last part of what is called: `commit` of `session.commit()`."""
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def calls(*names: str, but: Collection[str] = ()) -> list[str]:
    return [place for place, call in nodes(ast.Call, but=but) if called(call) in names]


def mentions(word: str, *, but: Collection[str] = ()) -> list[str]:
    """Where a name is imported or used."""
    found = [place for place, name in nodes(ast.Name, but=but) if name.id == word]
    found += [place for place, attribute in nodes(ast.Attribute, but=but) if attribute.attr == word]
    return found + [place for place, alias in nodes(ast.alias, but=but) if word in {alias.name, alias.asname}]


# Sessions, and what they run on.
DATABASE = {
    f"app/core/db/{name}.py" for name in ("engine", "sqlite", "postgresql", "session", "transaction", "driver/backends")
}


def test_the_whole_application_is_looked_at() -> None:
    assert {"app/main.py", "app/core/db/engine.py", "app/api/v1/items/items.py"} <= MODULES.keys()
    assert len(MODULES) > 30
    assert {"users", "sessions", "items"} <= {table.name for table in TABLES}


def test_only_the_database_package_commits() -> None:
    assert calls("commit", "rollback", but=DATABASE) == []


def test_only_the_database_package_begins_transactions_and_no_session_is_made_by_hand() -> None:
    makers = ["begin", "begin_nested", "async_sessionmaker", "create_async_engine"]
    assert calls(*makers, but=DATABASE) == []


def test_errors_are_app_errors() -> None:
    assert mentions("HTTPException", but={"app/api/errors.py"}) == []


def test_middleware_is_pure_asgi() -> None:
    assert mentions("BaseHTTPMiddleware") == []


def test_relationships_never_load_by_themselves() -> None:
    found = [(place, call) for place, call in nodes(ast.Call) if called(call) == "relationship"]
    assert found, "there are none left to check"
    lazy = {place: [word.value for word in call.keywords if word.arg == "lazy"] for place, call in found}
    assert {place for place, values in lazy.items() if ast.unparse(ast.List(values)) != "['raise']"} == set()


def dependants(route: object) -> Iterator[Dependant]:
    """What a route asks for, and what that asks for."""
    waiting = [getattr(route, "dependant", None)]
    while waiting:
        if (dependant := waiting.pop()) is not None:
            yield dependant
            waiting += dependant.dependencies


def test_dependencies_are_coroutines(tmp_path: Path) -> None:
    """FastAPI sends a class or a plain function to a thread, which costs more than most handlers."""
    app = create_app(Settings(data_dir=tmp_path))
    calls = {dependant.call for route in iter_route_contexts(app.routes) for dependant in dependants(route)}
    assert {get_paging, get_session} <= calls
    kinds = (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    blocking = [call for call in calls if not any(kind(of) for kind in kinds for of in (call, type(call).__call__))]
    assert blocking == []


def test_nothing_is_printed() -> None:
    assert calls("print") == []


def test_every_module_says_what_lives_in_it() -> None:
    assert [name for name, tree in MODULES.items() if not ast.get_docstring(tree)] == []


@each_table
def test_a_table_gives_no_id_twice(table: Table) -> None:
    assert table.dialect_options["sqlite"]["autoincrement"] is True
    assert [column.name for column in table.primary_key] == ["id"]


@each_table
def test_a_table_knows_when_its_rows_were_made_and_changed(table: Table) -> None:
    created_at, updated_at = table.c.created_at, table.c.updated_at
    assert not created_at.nullable
    assert not updated_at.nullable
    assert created_at.default is not None
    assert created_at.onupdate is None
    assert updated_at.default is not None
    assert updated_at.onupdate is not None


def indexed_columns(table: Table) -> Iterator[list[str]]:
    for index in table.indexes:
        yield [column.name for column in index.columns]
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint | PrimaryKeyConstraint):
            yield [column.name for column in constraint.columns]


@each_table
def test_a_foreign_key_is_where_an_index_begins(table: Table) -> None:
    """Else deleting the row it points to reads the whole table."""
    indexes = list(indexed_columns(table))
    for constraint in table.constraints:
        if isinstance(constraint, ForeignKeyConstraint):
            key = list(constraint.column_keys)
            assert any(columns[: len(key)] == key for columns in indexes), key


def plain_type(column: Column[Any]) -> TypeEngine[Any]:
    kind = column.type
    return kind.impl_instance if isinstance(kind, TypeDecorator) else kind


@each_table
def test_instants_have_a_zone_and_end_in_at(table: Table) -> None:
    instants = [column for column in table.columns if isinstance(plain_type(column), DateTime)]
    assert [column.name for column in instants if not plain_type(column).timezone] == []  # type: ignore[attr-defined] # a DateTime has one
    assert [column.name for column in instants if not column.name.endswith("_at")] == []


@each_table
def test_constraints_have_names_that_a_migration_can_use(table: Table) -> None:
    names = [str(constraint.name or "") for constraint in table.constraints]
    names += [str(index.name or "") for index in table.indexes]
    # PostgreSQL cuts longer ones, and then nobody finds them again.
    assert [name for name in names if not 1 <= len(name) <= 63] == []


def read(*parts: str) -> str:
    return ROOT.joinpath(*parts).read_text()


def declared_dependencies() -> set[str]:
    project = tomllib.loads(read("pyproject.toml"))
    groups = [
        *project.get("dependency-groups", {}).values(),
        *project["project"].get("optional-dependencies", {}).values(),
    ]
    requirements = [*project["project"]["dependencies"], *(requirement for group in groups for requirement in group)]
    return {re.split(r"[\[<>=!~; ]", requirement)[0].lower() for requirement in requirements}


def test_every_dependency_is_accounted_for_and_no_other() -> None:
    accounted = set(re.findall(r"^\| `?([a-z0-9][a-z0-9._-]*)`? +\|", read("docs", "dependencies.md"), re.MULTILINE))
    assert accounted - {"package"} == declared_dependencies()


def setting_names() -> set[str]:
    names: set[str] = set()
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        names.add(str(alias.choices[0]) if isinstance(alias, AliasChoices) else name)
    return {name.upper() for name in names}


def test_the_example_file_has_every_setting_and_no_other() -> None:
    lines = read(".env.example").splitlines()
    found = [match[1] for line in lines if (match := re.match(r"(?:# )?([A-Z][A-Z0-9_]+)=", line))]
    assert sorted(found) == sorted(setting_names())


def test_the_example_file_as_it_is_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(read(".env.example"))
    assert Settings.load() == Settings()


def test_the_example_file_tells_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever removes all the `# ` gets what was there before."""
    monkeypatch.chdir(tmp_path)
    settings = [re.sub(r"^# (?=[A-Z][A-Z0-9_]+=)", "", line) for line in read(".env.example").splitlines()]
    (tmp_path / ".env").write_text("\n".join(settings))
    assert Settings.load() == Settings()
