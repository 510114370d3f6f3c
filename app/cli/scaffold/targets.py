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
    targets = {other: target for other in models if (target := read_target(other, root)) is not None}
    if name not in targets:
        # Also every table of the server's own, of which nobody is to learn what is in it.
        what = "this is no resource with operations of its own" if name in models else "there is no such resource"
        raise MistakeError(f"ref:{name}: {what}. Those there are: {', '.join(targets)}.")
    return find_maker(targets[name], root)


def read_target(name: str, root: Path) -> Target | None:
    """None for what has no table, no SQL or no router of its own."""
    table = table_of(root / f"app/models/{name}.py", camel(name))
    crud = crud_of(root / f"app/crud/{name}.py", camel(name))
    operations = [*root.glob(f"app/api/v1/{table}.py"), *root.glob(f"app/api/v1/{table}/*.py")]
    if table is None or crud is None or not operations:
        return None
    return Target(name, table, crud, any(map(is_private, operations)))


def is_private(operations: Path) -> bool:
    """Whether rows are shown through `visible`, and so to their owner and administrators alone."""
    return any(isinstance(node, ast.FunctionDef) and node.name == "visible" for node in tree_of(operations).body)


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
            calls = [f"(await make.{target.module}({owner})).id" for owner in owners_of(node)]
            return replace(target, maker=calls[0], own_maker=calls[1])
    function = f"store_{target.module}"
    for path in sorted((root / "tests/api").glob("test_*.py")):
        if any(isinstance(node, ast.AsyncFunctionDef) and node.name == function for node in tree_of(path).body):
            calls = [f"(await {function}(make, make.number(){arguments})).id" for arguments in ("", ", owner=owner")]
            return replace(target, maker=calls[0], own_maker=calls[1], test_module=f"tests.api.{path.stem}")
    raise MistakeError(
        f"ref:{target.module}: the tests have no way to make one: give Factory in tests/factories.py a method "
        f"`{target.module}(owner)`."
    )


def owners_of(maker: ast.AsyncFunctionDef) -> tuple[str, str]:
    """What a method of the factory is given: anybody, or `owner`."""
    count = len(maker.args.args) - 1
    return ", ".join(["await make.user()"] * count), ", ".join(["owner"] * count)
