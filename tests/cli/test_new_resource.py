"""`strata new resource`: books are its output; what it writes passes every check; what it refuses changes nothing."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from app.cli.scaffold.edits import ROUTERS
from app.cli.scaffold.files import SNAPSHOT
from app.core.db import migrations
from app.core.db.migrations import ROOT
from tests.cli.conftest import Failure, Strata

BOOK = ("title:str", "author:str:index", "release_year:year:index", "isbn:str?", "--public")
INVOICE = ("number:str:unique", "amount:decimal", "paid:bool=false", "customer:ref:user", "--owned")
# Of users, and about rows that only their owners see.
RECEIPT = ("invoice:ref:invoice", "purchase:ref:order?", "item:ref:item?", "number:str:unique", "note:str?", "--owned")
THING = (
    *("title:str", "code:str:unique", "label:str?=x:index", "body:text", "notes:text?", "count:int:index"),
    *("rank:int=3", "price:decimal:index", "discount:decimal?=-1.5", "is_open:bool", "paid:bool=false:index"),
    *("held_on:date:index", "due_on:date?", "first_on:date=2026-01-31", "starts_at:datetime:index"),
    *("ends_at:datetime?", "since_at:datetime=2026-01-01T00:00:00+01:00", "contact:email:unique"),
    *("reply_to:email?", "homepage:url", "page:url?=https://example.com/:index", "made:year:index"),
    *("sold:year?", "customer:ref:user", "subject:ref:item?", "kind:enum:draft|in-work"),
    *("status_now:enum:a|b=a:index", "mood:enum:good|bad?"),
)
# Lines and words of the files that the command edits.
BOOK_LINES = re.compile(r"^(?:router\.include_router\(books\.router\)|    books,)\n", re.MULTILINE)
BOOK_WORDS = re.compile(r"(?<=[ (])books, ")
EDITED = ("app/api/v1/__init__.py", "app/api/v2/__init__.py")

pytestmark = pytest.mark.slow

type Fails = Callable[..., Failure]
type Tree = dict[str, str]


def files_of_the_repository() -> list[str]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0 and done.stdout:
        return [name for name in done.stdout.split("\0") if name and (ROOT / name).exists()]
    found = [path for folder in ("app", "alembic", "tests", "docs") for path in (ROOT / folder).rglob("*")]
    found += [*ROOT.glob("*.*"), ROOT / ".env.example"]
    return [str(path.relative_to(ROOT)) for path in found if path.is_file() and "__pycache__" not in path.parts]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository for the tests in which nothing is written, and for others to copy."""
    original = tmp_path_factory.mktemp("repository") / "copy"
    for name in files_of_the_repository():
        (original / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, original / name)
    # Each copy of it brings the bytecode along, which is found good by the times of its files.
    run(original, "compileall", "-q", "app")
    return original


@pytest.fixture
def untouched(original: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:  # noqa: ARG001 - for settings
    """A copy that the command takes for the repository it is in, and is not to change."""
    monkeypatch.setattr(migrations, "ROOT", original)
    before = tree_of(original)
    yield original
    assert tree_of(original) == before


@pytest.fixture
def copy(original: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that the command takes for the repository it is in."""
    copy = folder / "copy"
    shutil.copytree(original, copy)
    monkeypatch.setattr(migrations, "ROOT", copy)
    return copy


def tree_of(folder: Path) -> Tree:
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not {"__pycache__", ".git", ".ruff_cache"} & set(path.parts)
    }


def run(copy: Path, *arguments: str) -> None:
    """Run one of Python's modules on the copy: `app` is the copy's, not the installed one."""
    # Without coverage: what it would measure is gone when it reports.
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=copy,
        env=outside | {"PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"


def strata_in(copy: Path, *arguments: str) -> list[str]:
    """`strata …` with the copy's own code."""
    source = f"import sys; sys.argv[1:] = {list(arguments)}; from app.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", source],
        cwd=copy,
        env={name: value for name, value in os.environ.items() if not name.startswith("COV")}
        | {"PYTHONPATH": str(copy), "DATABASE_URL": f"sqlite:///{copy}/check.db"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def identifiers(path: Path) -> tuple[str, str]:
    """A migration's revision, and the one it builds on."""
    found = dict(re.findall(r'^(revision|down_revision)\b.*= "?(\w+)"?$', path.read_text(), re.MULTILINE))
    return found["revision"], found["down_revision"]


def remove_books(copy: Path) -> None:
    """As if there had never been any: neither their migration nor those that came after it."""
    for name in ("models/book.py", "schemas/book.py", "crud/book.py", "api/v1/books.py", "api/v2/books.py"):
        (copy / "app" / name).unlink()
    (copy / "tests/api/test_books.py").unlink()
    versions = copy / "alembic" / "versions"
    gone = {identifiers(path)[0] for path in versions.glob("*_create_books.py")}
    assert len(gone) == 1
    while newer := [path for path in versions.glob("*.py") if {*identifiers(path)} & gone]:
        for path in newer:
            gone.add(identifiers(path)[0])
            path.unlink()
    for name in EDITED:
        path = copy / name
        text = BOOK_WORDS.sub("", BOOK_LINES.sub("", path.read_text()))
        assert "book" not in text.lower(), name
        path.write_text(text)


def without_the_calendar(text: str) -> str:
    """What the OpenAPI document says of the last year that a `Year` may be changes with the year."""
    return re.sub(r'"maximum": 2\d{3}(,\n +"minimum": -3000)', r'"maximum": 0\1', text)


def test_books_are_what_the_command_writes(strata: Strata, copy: Path) -> None:
    """If this fails, change the templates, not the books, and then let the command write them anew."""
    remove_books(copy)
    assert strata("new", "resource", "book", *BOOK).exit_code == 0
    ours = sorted((ROOT / "alembic/versions").glob("*_create_books.py"))
    theirs = sorted((copy / "alembic/versions").glob("*_create_books.py"))
    assert [path.read_text() for path in theirs] == [path.read_text() for path in ours]
    for path in sorted(copy.rglob("*")):
        name = str(path.relative_to(copy))
        if path.is_file() and "__pycache__" not in name and path not in theirs:
            text, expected = path.read_bytes().decode(), (ROOT / name).read_bytes().decode()
            assert without_the_calendar(text) == without_the_calendar(expected), name


def code_blocks(language: str, marker: str) -> list[str]:
    """Those of the documentation that have `marker` in them."""
    text = (ROOT / "docs/add-a-resource.md").read_text().partition("## Without the command")[2]
    return [block for block in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL) if marker in block]


def make_edit(copy: Path, block: str) -> str:
    """What the documentation says of a registry: another import, and a line."""
    heading, import_, line = (line for line in block.splitlines() if line)
    path = heading.removeprefix("# ")
    beginning = import_.partition(" import ")[0]
    text = re.sub(rf"{beginning} import .*", import_, (copy / path).read_text())
    (copy / path).write_text(f"{text}{line}\n")
    return path


@pytest.fixture
def by_hand(copy: Path) -> list[str]:
    """Notes, as docs/add-a-resource.md says it: their own files and two edits."""
    before = tree_of(copy)
    (copying,) = code_blocks("sh", "sed ")
    subprocess.run(["bash", "-euc", copying], cwd=copy, check=True)
    assert [make_edit(copy, block) for block in code_blocks("python", "__init__.py")] == list(EDITED)
    (commands,) = code_blocks("sh", "strata db revision")
    for command in commands.splitlines():
        program, *arguments = shlex.split(command)
        strata_in(copy, *arguments) if program == "strata" else run(copy, program, *arguments)
    changed = [name for name, digest in tree_of(copy).items() if before.get(name, digest) != digest]
    assert changed == sorted([*EDITED, SNAPSHOT])
    written = [name for name in tree_of(copy) if name not in before and name.endswith(".py")]
    assert len(written) == 7
    return written


@pytest.fixture
def by_command(strata: Strata, copy: Path, by_hand: list[str]) -> list[str]:  # noqa: ARG001 - comes first
    """Invoices, and payments and receipts that refer to them, beside the notes: all that was written or changed."""
    before = tree_of(copy)
    answer = strata("new", "resource", "invoice", *INVOICE)
    assert "customer_id: when the user is deleted, the invoice goes too (CASCADE)." in answer.stdout
    answer = strata("new", "resource", "payment", "invoice:ref:invoice?", "amount:decimal:index")
    assert "invoice_id: when the invoice is deleted, the payment has null there (SET NULL)." in answer.stdout
    strata("new", "resource", "receipt", *RECEIPT)
    written = [name for name, digest in tree_of(copy).items() if before.get(name) != digest]
    assert len(written) == 3 * 7 + len([*EDITED, SNAPSHOT]), written
    return written


@pytest.mark.timeout(400)
def test_what_is_written_passes_every_check_and_all_tests(
    copy: Path, by_hand: list[str], by_command: list[str]
) -> None:
    """Of both at once: most of the time is that of programs that start."""
    python = [name for name in {*by_hand, *by_command} if name.endswith(".py")]
    run(copy, "ruff", "check", *python)
    run(copy, "ruff", "format", "--check", *python)
    # With the repository's cache, or it would analyse every library anew: what differs is told by its content.
    cache = ("--cache-dir", str(ROOT / ".mypy_cache"))
    run(copy, "mypy", *cache, *(name for name in python if not name.startswith("alembic/")))
    (copy / "contracts.py").write_text("from importlinter.cli import lint_imports_command\n\nlint_imports_command()\n")
    run(copy, "contracts")
    (copy / "contracts.py").unlink()
    pass_tests(copy)


def pass_tests(copy: Path) -> None:
    """Its own, and those of the whole that look at every resource."""
    tests = (
        "api/test_notes.py",
        "api/test_invoices.py",
        "api/test_payments.py",
        "api/test_receipts.py",
        "api/test_openapi.py",
        "api/test_input_bounds.py",
        "arch",
        "core/test_migrations.py",
    )
    # Of the migrations: that each can be taken back, and that together they build what the models say.
    chosen = "not test_migrations or taken_back or models"
    # Without what is slow: mypy has just looked at all of this, and would have no cache here.
    run(copy, "pytest", "-q", "-n", "0", "-m", "not slow", *(f"tests/{name}" for name in tests), "-k", chosen)


@pytest.mark.parametrize("kind", [[], ["--owned"], ["--public"], ["--owned", "--public"]], ids=" ".join)
def test_every_type_goes_with_every_kind_of_resource(strata: Strata, copy: Path, kind: list[str]) -> None:
    """The command runs ruff on what it writes, and imports it to renew the OpenAPI document."""
    answer = strata("new", "resource", "thing", *THING, *kind)
    assert answer.exit_code == 0
    document = (copy / "tests/api/openapi.json").read_text()
    assert '"things_list_v2"' in document
    assert ("admin_only=True" in (copy / "app/api/v1/things.py").read_text()) is ("--owned" not in kind)
    is_public = 'PUBLIC = {"things_list",' in (copy / "tests/api/test_things.py").read_text()
    assert is_public is ("--public" in kind)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    "fields", [["flag:bool"], ["note:text?"], ["text:str:index", "speck:str:index", "speck_id:int:index"]]
)
@pytest.mark.parametrize("kind", [[], ["--owned"], ["--public"]], ids=" ".join)
def test_a_resource_may_be_small(strata: Strata, kind: list[str], fields: list[str]) -> None:
    assert strata("new", "resource", "speck", *fields, *kind, "--dry-run").exit_code == 0


@pytest.mark.usefixtures("untouched")
def test_a_dry_run_shows_everything_and_changes_nothing(strata: Strata) -> None:
    answer = strata("new", "resource", "person", "name:str", "--plural", "people", "--public", "--dry-run")
    assert answer.exit_code == 0
    for name in ("app/models/person.py", "app/api/v1/people.py", "tests/api/test_people.py"):
        assert re.search(rf"^would write   {name} \(\d+ lines\)$", answer.stdout, re.MULTILINE)
    assert re.search(r"^would write   alembic/versions/\d{8}_\d{4}_create_people\.py ", answer.stdout, re.MULTILINE)
    for name in EDITED:
        assert f"would change  {name}\n" in answer.stdout
        assert f"--- {name}\n+++ {name}\n" in answer.stdout
    assert "\n+router.include_router(people.router)\n" in answer.stdout
    assert "\nwould renew   tests/api/openapi.json\n" in answer.stdout


@pytest.mark.parametrize("path", EDITED)
def test_where_lines_stand_does_not_depend_on_what_came_first(path: str) -> None:
    ant, zebra = (f"router.include_router({name}s.router)" for name in ("ant", "zebra"))
    text = (ROOT / path).read_text()
    one = ROUTERS.insert(path, ROUTERS.insert(path, text, ant), zebra)
    other = ROUTERS.insert(path, ROUTERS.insert(path, text, zebra), ant)
    assert one == other != text
    assert one.index(ant) < one.index(zebra)


def test_without_fields_the_usage_is_shown(strata: Strata) -> None:
    answer = strata("new", "resource", "invoice")
    assert answer.exit_code == 2
    assert "FIELD:TYPE" in answer.output


TYPES = "str, text, int, decimal, bool, date, datetime, email, url, year, ref, enum"


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Invoice", "a:str"], "Invoice: a resource's name is snake_case, such as price_list: small letters, digits"),
        (["price-list", "a:str"], "price-list: a resource's name is snake_case"),
        (["class", "a:str"], "class: this is a word of Python's; take another name, such as class_name."),
        (["type", "a:str"], "type: this is a word of Python's"),
        (["order", "a:str"], "order: this is a word of SQL's; take another name, such as order_name."),
        (["path", "a:str"], "path: the generated code uses this name itself; take another one."),
        (["sheep", "a:str", "--plural", "sheep"], "sheep: singular and plural must differ; name the plural with"),
        (["x" * 41, "a:str"], f"{'x' * 41}: a resource's name has 40 characters at most; take a shorter one."),
        (["item", "a:str"], "app/models/item.py is there already: take another name, or remove the resource first."),
        (["order_line", "a:str"], "order_line: the class OrderLine is there already (app/models/order.py)"),
        (
            ["order_row", "a:str", "--plural", "order_lines"],
            "order_row: the table order_lines is there already (app",
        ),
        (["line", "a:str"], "line: the schema LineRead is there already (app/schemas/order.py); take another name."),
        (["sign_in", "a:str", "--plural", "auth"], "app/api/v1/auth.py is there already"),
        (["invoice", "amount"], f"amount: write it as FIELD:TYPE, such as title:str. Types: {TYPES}."),
        (["invoice", "amount:"], "amount:: write it as FIELD:TYPE, such as title:str."),
        (["invoice", "amount:money"], f"amount:money: there is no type `money`. Types: {TYPES}."),
        (["invoice", "a:str:uniq"], "a:str:uniq: there is no flag `uniq`. Flags: unique, index."),
        (["invoice", "a:text:unique"], "a:text:unique: text fields cannot be `unique`; leave the flag out."),
        (["invoice", "a:bool:unique"], "a:bool:unique: bool fields cannot be `unique`; leave the flag out."),
        (["invoice", "Amount:str"], "Amount: a field's name is snake_case"),
        (["invoice", "id:int"], "id: every resource has this column, or may have it (--owned); leave it out."),
        (["invoice", "owner:ref:user"], "owner: every resource has this column"),
        (["invoice", "version:int"], "version: every resource has this column"),
        (["invoice", "sort:str"], "sort: this is a parameter of every list; take another name."),
        (["invoice", "metadata:str"], "metadata: SQLAlchemy keeps this name for itself; take another one."),
        (["invoice", "registry:str"], "registry: SQLAlchemy keeps this name for itself; take another one."),
        (["invoice", "json:str"], "json: Pydantic keeps this name for itself; take another one."),
        (["invoice", "model_name:str"], "model_name: Pydantic keeps this name for itself; take another one."),
        (["invoice", "date:date"], "date: the generated code uses this name itself; take another one."),
        (["invoice", "import:str"], "import: this is a word of Python's; take another name, such as import_name."),
        (["invoice", "desc:str"], "desc: this is a word of SQL's; take another name, such as desc_name."),
        (["invoice", "paid:datetime"], "paid: instants have names in `_at`, a house rule; write paid_at:datetime."),
        (["invoice", "a:str", "a:int"], "a: this field is given twice; leave one out."),
        (["invoice", "a1:str", "a_1:int"], "a_1: its type would have the name of that of a1; take another name."),
        (["invoice", "a:ref:user", "a_id:int"], "a_id: this field is given twice; leave one out."),
        (["invoice", "a_id:ref:user"], "a_id: a ref's column gets its `_id` by itself; write a:ref:…."),
        (["invoice", "a:ref:cat"], "ref:cat: there is no such resource. Those there are: book, item, order, user."),
        (["invoice", "a:ref"], "ref:: there is no such resource."),
        *(
            (["invoice", f"a:ref:{name}"], f"ref:{name}: this is no resource with operations of its own. Those there")
            for name in ("audit", "job", "generation", "idempotency", "one_time_token", "device_session", "base")
        ),
        (["invoice", "a:ref:order_line"], "ref:order_line: there is no such resource. Those there are: book, item, "),
        (["invoice", "a:ref:user=1"], "a:ref:user=1: a ref has no default; make it nullable: ref:user?"),
        (["invoice", "a:enum"], "a:enum: an enum needs two values or more, such as kind:enum:draft|final."),
        (["invoice", "a:enum:x"], "a:enum:x: an enum needs two values or more"),
        (
            ["invoice", "a:enum:x|Y"],
            "a:enum:x|Y: `Y` is no value for an enum: take small letters, digits",
        ),
        (["invoice", "a:enum:x|x"], "a:enum:x|x: an enum's values must differ; name each once."),
        (
            ["invoice", f"a:enum:x|{'y' * 33}"],
            f"a:enum:x|{'y' * 33}: `{'y' * 33}` has more than the 32 characters that an enum's value may have.",
        ),
        (["invoice", "a:enum:x|y=z"], "a:enum:x|y=z: the default `z` is none of x, y."),
        (["invoice", "a:int=x"], "a:int=x: the default `x` is no int that the field would accept."),
        (["invoice", "a:int=3000000000"], "a:int=3000000000: the default `3000000000` is no int"),
        (["invoice", "a:bool=yes"], "a:bool=yes: the default `yes` is no bool"),
        (["invoice", "a:decimal=1.999"], "a:decimal=1.999: the default `1.999` is no decimal"),
        (["invoice", "a:date=2026-02-30"], "a:date=2026-02-30: the default `2026-02-30` is no date"),
        (["invoice", "a_at:datetime=2026-01-01"], "a_at:datetime=2026-01-01: the default `2026-01-01` is no datetime"),
        (["invoice", "a:email=nobody"], "a:email=nobody: the default `nobody` is no email"),
        (["invoice", "a:url=ftp://x"], "a:url=ftp://x: the default `ftp://x` is no url"),
        (["invoice", "a:year=9999"], "a:year=9999: the default `9999` is no year"),
        (["invoice", "a:str="], "a:str=: the default `` is no str that the field would accept."),
        (["invoice", "a:str=x:unique"], "a:str=x:unique: a unique field cannot have a default: the second row would"),
        (
            ["x" * 30, f"{'y' * 35}:str:unique"],
            f"uq_{'x' * 30}es_{'y' * 35}: this constraint's name would have 71 characters, and PostgreSQL keeps 63",
        ),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_what_cannot_be_is_said_in_one_line_and_changes_nothing(
    fails: Fails, arguments: list[str], message: str
) -> None:
    failure = fails("new", "resource", *arguments)
    assert (failure.code, failure.out, len(failure.lines)) == (1, "", 1)
    assert failure.lines[0].startswith(f"error: {message}")


@pytest.mark.parametrize(
    ("name", "anchor"),
    [
        ("app/api/v1/__init__.py", "router.include_router(admin.router)"),
        ("app/api/v2/__init__.py", "from app.api.v2 import"),
    ],
)
def test_a_file_without_the_line_to_add_to_is_named(fails: Fails, copy: Path, name: str, anchor: str) -> None:
    path = copy / name
    path.write_text(path.read_text().replace(anchor, anchor.replace(anchor[:4], "x", 1)))
    before = tree_of(copy)
    failure = fails("new", "resource", "invoice", *INVOICE[:-1], "--public")
    assert (failure.code, len(failure.lines)) == (1, 1)
    assert failure.lines[0].startswith(f"error: {name}: no line begins with `{anchor}`, where a line is to be added:")
    assert tree_of(copy) == before


def test_code_that_does_not_start_is_put_back(fails: Fails, copy: Path) -> None:
    main = copy / "app" / "main.py"
    main.write_text(f"{main.read_text()}\nraise RuntimeError('out of order')\n")
    before = tree_of(copy)
    failure = fails("new", "resource", "invoice", *INVOICE)
    assert failure.lines == [
        "error: The new code does not start, so everything was put back: RuntimeError: out of order"
    ]
    assert tree_of(copy) == before


def test_code_that_ruff_refuses_is_not_written(fails: Fails, copy: Path) -> None:
    path = copy / "app" / "api" / "v2" / "__init__.py"
    path.write_text(f"{path.read_text()}\nundefined_name\n")
    before = tree_of(copy)
    failure = fails("new", "resource", "invoice", *INVOICE)
    assert failure.lines[0].startswith("error: app/api/v2/__init__.py: ruff finds fault with it:")
    assert tree_of(copy) == before


def test_uncommitted_changes_are_not_written_over(fails: Fails, strata: Strata, copy: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, *arguments], cwd=copy, check=True, capture_output=True)

    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message", "All")
    (copy / "README.md").write_text("changed, and none of the command's business")
    assert strata("new", "resource", "invoice", *INVOICE, "--dry-run").exit_code == 0
    registry = copy / "app" / "api" / "v1" / "__init__.py"
    registry.write_text(registry.read_text() + "# half a change\n")
    before = tree_of(copy)
    failure = fails("new", "resource", "invoice", *INVOICE)
    assert failure.lines == ["error: Uncommitted changes in app/api/v1/__init__.py: commit or stash them first."]
    assert tree_of(copy) == before


def test_an_installed_package_is_no_place_for_new_code(
    fails: Fails, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "ROOT", folder)
    failure = fails("new", "resource", "invoice", *INVOICE)
    (line,) = failure.lines
    assert line.startswith(f"error: {folder} is no checkout of the repository, but an installed package: clone the")


def test_two_ends_of_the_migrations_are_to_be_merged_first(fails: Fails, copy: Path) -> None:
    (copy / "alembic/versions/other.py").write_text('revision = "other"\ndown_revision = "b193d0fc810b"\n')
    failure = fails("new", "resource", "invoice", *INVOICE)
    assert failure.lines == [
        "error: The migrations have no single end to build on: merge them first (`alembic merge`)."
    ]
