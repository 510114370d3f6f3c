"""let an owner's open items be counted in the index alone"""

from collections.abc import Sequence

from alembic import op

revision: str = "c1a75e0b94d2"
down_revision: str | Sequence[str] | None = "7b1f4c82d0a9"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

INDEX = "ix_items_owner_id_created_at_id"
COLUMNS = ["owner_id", "created_at", "id"]


def upgrade() -> None:
    if op.get_context().dialect.name == "postgresql":  # SQLite's indexes carry nothing besides
        op.drop_index(INDEX, "items")
        op.create_index(INDEX, "items", COLUMNS, postgresql_include=["is_done"])


def downgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.drop_index(INDEX, "items")
        op.create_index(INDEX, "items", COLUMNS)
