"""Runs migrations with Strata's settings, one process at a time."""

import asyncio
from collections.abc import Callable
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Literal

import structlog
from alembic import context
from alembic.ddl.sqlite import SQLiteImpl
from alembic.operations.ops import DropTableOp, MigrationScript
from alembic.runtime.migration import MigrationInfo
from alembic.util import CommandError
from sqlalchemy import Connection, ForeignKeyConstraint, Table, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from app.core.config.settings import Settings
from app.core.db.engine import create_engine
from app.core.db.schema_owner import SchemaOwner
from app.core.db.startup import wait_for_database
from app.models import metadata
from app.models.base import UTCDateTime
from app.models.decimals import FixedPoint

# Any number that nothing else locks.
LOCK = 7_305_200
# In a connection's `info`: those of tables that have been dropped, by their names.
TRIGGERS = "strata_triggers"
# Building an index on a large table takes its time, and so does waiting for the instance that builds it.
STATEMENT_TIMEOUT = 3600.0

log = structlog.get_logger()
settings: Settings = context.config.attributes.get("settings") or Settings.load()


class KeepsTriggers(SQLiteImpl):
    """Batch mode makes a table anew under another name, and drops the old one: its triggers go with it unless they are
    made again.
    """

    __dialect__ = "sqlite"  # Alembic takes this class for it from now on

    def drop_table(self, table: Table, **options: Any) -> None:
        if self.connection is not None and not self.as_sql:
            found = "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table"
            triggers = self.connection.scalars(text(found), {"table": table.name}).all()
            self.connection.info.setdefault(TRIGGERS, {})[table.name] = triggers
        super().drop_table(table, **options)

    def rename_table(self, old_table_name: str, new_table_name: str, schema: str | None = None) -> None:
        # Nor do views keep it from getting its name back, which read a table that is not there at the moment.
        is_remade = old_table_name.startswith("_alembic_tmp_")
        if is_remade:
            self.execute("PRAGMA legacy_alter_table=ON")
        super().rename_table(old_table_name, new_table_name, schema)
        if is_remade:
            self.execute("PRAGMA legacy_alter_table=OFF")
        if self.connection is not None:
            for trigger in self.connection.info.get(TRIGGERS, {}).pop(new_table_name, ()):
                self.connection.exec_driver_sql(trigger)


def render_item(kind: str, item: object, _: object) -> str | Literal[False]:
    """Write our column types as what they are in the database: migrations outlive the code that made them."""
    if kind == "type" and isinstance(item, UTCDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, FixedPoint):
        return f'sa.Numeric({item.precision}, {item.scale}).with_variant(sa.BigInteger(), "sqlite")'
    return False


def name_filter() -> Callable[[str | None, str, Any], bool]:
    """Compared is what this project has made; of all else the log tells, once a command."""
    # Told by `strata db revision --drop-foreign`.
    drops_foreign = context.config.attributes.get("drops_foreign", False)
    owner = SchemaOwner.of(metadata, (Path(script.path) for script in context.script.walk_revisions()))

    def include_name(name: str | None, kind: str, parents: Any) -> bool:
        # Trigram indexes are there only where PostgreSQL lets us have them: no model knows of them.
        if kind == "index" and name is not None and name.endswith("_trigrams"):
            return False
        table = parents.get("table_name")
        if drops_foreign or owner.owns(kind, name, table):
            return True
        log.info("left alone: neither a model nor a migration has it", kind=kind, name=name, table=table)
        return False

    return include_name


def drop_referring_tables_first(_: object, __: object, scripts: list[MigrationScript]) -> None:
    """Alembic drops tables in no particular order, and makes them again in the reverse one."""
    for script in scripts:
        upgrade, downgrade = script.upgrade_ops, script.downgrade_ops
        assert upgrade is not None
        assert downgrade is not None
        drops = {each.table_name: each for each in upgrade.ops if isinstance(each, DropTableOp)}
        order = [*TopologicalSorter({name: referred_tables(drop) for name, drop in drops.items()}).static_order()]
        # After the indexes of all of them.
        upgrade.ops = [each for each in upgrade.ops if not isinstance(each, DropTableOp)]
        upgrade.ops += [drops[name] for name in reversed(order) if name in drops]
        upgrade.reverse_into(downgrade)


def referred_tables(drop: DropTableOp) -> set[str]:
    constraints = (each for each in drop.reverse().columns if isinstance(each, ForeignKeyConstraint))
    referred = {element.target_fullname.split(".")[-2] for each in constraints for element in each.elements}
    return referred - {drop.table_name}


def tell(ctx: Any, step: MigrationInfo, heads: Any, run_args: Any) -> None:  # noqa: ARG001 - Alembic's signature
    if (revision := step.up_revision) is not None:
        log.info("migrated" if step.is_upgrade else "migrated back", revision=revision.revision)


def run(connection: Connection) -> None:
    """Migrate in one transaction that starts by taking the lock; whoever comes second finds the work done."""
    is_postgresql = connection.dialect.name == "postgresql"
    context.configure(
        connection,
        target_metadata=metadata,
        render_item=render_item,
        include_name=name_filter(),
        process_revision_directives=drop_referring_tables_first,
        on_version_apply=tell,
        render_as_batch=not is_postgresql,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        if is_postgresql:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        context.run_migrations()
        if not is_postgresql:
            check_foreign_keys(connection)


def suspend_foreign_keys(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    """SQLite changes a table by copying and dropping it, and that would delete all that refers to its rows.

    See https://sqlite.org/lang_altertable.html#otheralter; inside a transaction the pragma would do nothing.
    """
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=OFF")
    cursor.close()


def check_foreign_keys(connection: Connection) -> None:
    orphan = connection.execute(text("PRAGMA foreign_key_check")).first()
    if orphan is not None:
        raise CommandError(f"The migration would leave rows of {orphan[0]} without those of {orphan[2]} they need.")


async def run_online() -> None:
    patient = settings.model_copy(update={"db_statement_timeout": STATEMENT_TIMEOUT})
    # Nor does what a URL says of statements hold for those.
    engine = create_engine(settings.database.difference_update_query(["statement_timeout"]), patient)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", suspend_foreign_keys)
    try:
        await wait_for_database(engine, settings)
        async with engine.connect() as connection:
            await connection.run_sync(run)
    finally:
        await engine.dispose()


def run_offline() -> None:
    """Print the SQL instead, for those who must have it read before it runs (`strata db upgrade --sql`)."""
    context.configure(dialect_name=settings.database.get_backend_name(), target_metadata=metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    asyncio.run(run_online())
