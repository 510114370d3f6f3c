"""add a trigram index for the search of items, where PostgreSQL lets us have the extension"""

from collections.abc import Sequence

import sqlalchemy as sa
import structlog
from alembic import context, op
from sqlalchemy.exc import DBAPIError

revision: str = "e93b07c5d8f4"
down_revision: str | Sequence[str] | None = "c47d2e9b6a15"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

AVAILABLE = sa.text("SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_trgm'")
INDEX = "CREATE INDEX ix_items_trigrams ON items USING gin (title gin_trgm_ops, description gin_trgm_ops)"
# The same for `--sql`, where nothing can be asked.
PRINTED = (
    f"DO $$ BEGIN CREATE EXTENSION IF NOT EXISTS pg_trgm; {INDEX}; "
    "EXCEPTION WHEN insufficient_privilege OR undefined_object OR undefined_file OR feature_not_supported "
    "THEN RAISE WARNING USING MESSAGE = 'no trigram index for the search: ' || SQLERRM; END $$"
)


def upgrade() -> None:
    """Without the index the search reads every row; it finds the same."""
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    if context.is_offline_mode():
        op.execute(PRINTED)
        return
    if not connection.scalar(AVAILABLE):
        return
    try:
        with connection.begin_nested():
            connection.execute(sa.text("CREATE EXTENSION IF NOT EXISTS pg_trgm"))
            # It may be there, but in a schema that is not searched.
            connection.execute(sa.text(INDEX))
    except DBAPIError as error:
        structlog.get_logger().warning(
            "no trigram index for the search: this role may not create the extension pg_trgm, or does not see it",
            error=type(error.orig).__name__,
        )


def downgrade() -> None:
    """The extension stays: others may use it."""
    op.execute("DROP INDEX IF EXISTS ix_items_trigrams")
