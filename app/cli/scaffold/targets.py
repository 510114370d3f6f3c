"""What refs point to, read from the source of models, crud and tests."""

import ast
from dataclasses import replace
from pathlib import Path

from app.cli.faults import MistakeError
from app.cli.scaffold.fields import Field, Target
from app.cli.scaffold.names import camel


def with_target(field: Field, root: Path) -> Field:
    return replace(field, target=find_target(field.target_name, root)) if field.kind.name == "ref" else field


def find_target(name: str, root: Path) -> Target:
    """Raises MistakeError if there is no such resource, or no way to make a row of it for the tests."""
    models = sorted(path.stem for path in (root / "app/models").glob("[a-z]*.py"))
    table = table_of(root / f"app/models/{name}.py", camel(name)) if name in models else None
    crud = crud_of(root / f"app/crud/{name}.py", camel(name)) if table else None
    if table is None or crud is None:
        known = [other for other in models if crud_of(root / f"app/crud/{other}.py", camel(other))]
        raise MistakeError(f"ref:{name}: there is no such resource. Those there are: {', '.join(known)}.")
    return find_maker(Target(name, table, crud), root)


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text() if path.exists() else "")


def table_of(path: Path, model: str) -> str | None:
    for node in tree_of(path).body:
        if isinstance(node, ast.ClassDef) and node.name == model:
            for line in node.body:
                if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "__tablename__":
                    return str(ast.literal_eval(line.value))
    return None


def crud_of(path: Path, model: str) -> str | None:
    """The name of the object that was made of this model: `users` of `users = UserCRUD(User, …)`."""
    for node in tree_of(path).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            made_of = [ast.unparse(argument) for argument in node.value.args]
            if made_of[:1] == [model]:
                return ast.unparse(node.targets[0])
    return None


def find_maker(target: Target, root: Path) -> Target:
    """How tests make a row: the factory's method, or the function of the target's own generated tests."""
    for node in ast.walk(tree_of(root / "tests/factories.py")):
        if isinstance(node, ast.AsyncFunctionDef) and node.name == target.module:
            owners = ", ".join("await make.user()" for _ in node.args.args[1:])
            return replace(target, maker=f"(await make.{target.module}({owners})).id")
    function = f"store_{target.module}"
    for path in sorted((root / "tests/api").glob("test_*.py")):
        if any(isinstance(node, ast.AsyncFunctionDef) and node.name == function for node in tree_of(path).body):
            return replace(target, maker=f"(await {function}(make)).id", test_module=f"tests.api.{path.stem}")
    raise MistakeError(
        f"ref:{target.module}: the tests have no way to make one: give Factory in tests/factories.py a method "
        f"`{target.module}(owner)`."
    )
