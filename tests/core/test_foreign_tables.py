"""What others keep in the same database is left alone; what was ours is not forgotten."""

import asyncio
import re
import shutil
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import text
from sqlalchemy.engine import URL

from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.core.db.migrations import ROOT, alembic_config, migration_head
from tests.conftest import POSTGRES_URL, settings_for

# As PostGIS, SQLite's full-text search, other programs and hasty hands leave them.
FOREIGN = [
    "CREATE TABLE spatial_ref_sys (srid INTEGER PRIMARY KEY, auth_name VARCHAR(256))",
    "CREATE INDEX spatial_auth ON spatial_ref_sys (auth_name)",
    # Words that our migrations have, too.
    "CREATE TABLE version (id INTEGER PRIMARY KEY, user_id BIGINT REFERENCES users (id))",
    "CREATE VIEW grown_ups AS SELECT id FROM users",
    "ALTER TABLE users ADD COLUMN price INTEGER",
    "CREATE INDEX by_hand ON users (price, id)",
    "CREATE UNIQUE INDEX by_hand_as_well ON items (sku, price, id)",
]
FOREIGN_ON = {
    "sqlite": ["CREATE VIRTUAL TABLE found USING fts4 (words)"],
    "postgresql": [
        "CREATE TABLE measured (at DATE NOT NULL) PARTITION BY RANGE (at)",
        "CREATE TABLE measured_2026 PARTITION OF measured FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
        "CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM users",
        "ALTER TABLE users ADD CONSTRAINT hand_made UNIQUE (price)",
    ],
}
DIALECT = "sqlite" if POSTGRES_URL is None else "postgresql"
# Formatted or not: that is another program's work.
DROP = re.compile(r"""\.drop_\w+\(\s*(?:(?:batch_)?op\.f\()?(?:["']users["'],\s*)?["'](\w+)["']""")

pytestmark = pytest.mark.real_database


@pytest.fixture
def config(empty_url: URL, tmp_path: Path) -> Config:
    """Migrations that a test may add to, and a database in which others have been."""
    shutil.copytree(ROOT / "alembic", tmp_path / "alembic")
    config = alembic_config(settings_for(empty_url, tmp_path))
    config.set_main_option("script_location", str(tmp_path / "alembic"))
    command.upgrade(config, "head")
    asyncio.run(run_in(config.attributes["settings"], *FOREIGN, *FOREIGN_ON[DIALECT]))
    return config


async def run_in(settings: Settings, *statements: str) -> None:
    database = Database(settings)
    async with database.transaction() as session:
        for statement in statements:
            await session.execute(text(statement))
    await database.close()


def versions(config: Config) -> Path:
    return Path(config.get_main_option("script_location") or "") / "versions"


def drops(config: Config) -> list[str]:
    """What the upgrade of a new revision drops, in its order."""
    before = set(versions(config).iterdir())
    command.revision(config, message="compare", autogenerate=True, rev_id="compared")
    (new,) = set(versions(config).iterdir()) - before
    upgrade, _, _ = new.read_text().partition("def downgrade")
    return DROP.findall(upgrade)


def dropped(config: Config) -> set[str]:
    return set(drops(config))


def add_migration(config: Config, *operations: str) -> None:
    body = "\n".join(f"    {operation}" for operation in operations)
    (versions(config) / "ours.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n\nTABLE = 'gadgets'\nrevision = 'ours'\n"
        f"down_revision = {migration_head()!r}\n\ndef upgrade():\n{body}\n\ndef downgrade():\n    pass\n"
    )
    command.upgrade(config, "head")


def test_what_others_keep_in_the_database_is_neither_dropped_nor_missed(config: Config) -> None:
    command.check(config)
    assert dropped(config) == set()


def test_a_revision_drops_it_where_that_is_asked_for(config: Config) -> None:
    config.attributes["drops_foreign"] = True
    assert {"spatial_ref_sys", "version", "by_hand"} <= dropped(config)


def test_what_a_migration_has_made_and_no_model_has_is_dropped(config: Config) -> None:
    add_migration(
        config,
        "op.create_table(TABLE, sa.Column('id', sa.Integer(), primary_key=True), sa.Column('size', sa.Integer()))",
        "op.create_index('ix_gadgets_size', 'gadgets', ['size'])",
        "op.add_column('users', sa.Column('nickname', sa.String(50)))",
        "op.create_index('ix_users_nickname', 'users', ['nickname'])",
        "op.create_table('to_be_renamed', sa.Column('id', sa.Integer(), primary_key=True))",
        "op.rename_table('to_be_renamed', 'renamed')",
    )
    with pytest.raises(CommandError, match="remove_table"):
        command.check(config)
    assert dropped(config) == {"gadgets", "ix_gadgets_size", "nickname", "ix_users_nickname", "renamed"}


def test_tables_that_refer_to_others_are_dropped_first(config: Config) -> None:
    key, size = "sa.Column('id', sa.Integer(), primary_key=True)", "sa.Column('size', sa.Integer(), index=True)"
    # Enough of them that no other order is right by chance.
    names = ["widgets", "gears", "screws", "springs", "axles"]
    refers = [f"sa.ForeignKeyConstraint(['size'], ['{name}.id'])" for name in names]
    tables = zip(names, ["sa.CheckConstraint('id > 0', name='positive')", *refers[:-1]], strict=True)
    add_migration(config, *(f"op.create_table('{name}', {key}, {size}, {last})" for name, last in tables))
    assert [name for name in drops(config) if name in names] == names[::-1]
    command.upgrade(config, "head")
    command.downgrade(config, "-1")


def test_what_is_made_in_a_batch_is_ours(config: Config) -> None:
    add_migration(
        config,
        "with op.batch_alter_table('users', table_kwargs={'sqlite_autoincrement': True}) as users:",
        "    users.add_column(sa.Column('motto', sa.String(50)))",
        "    users.alter_column('price', new_column_name='prize', existing_type=sa.Integer())",
    )
    assert dropped(config) == {"motto", "prize"}
