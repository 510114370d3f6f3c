"""refuse new rows in place of old audit events, and let counts reach no end that clients could meet"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "e4b90c6f2d17"
down_revision: str | Sequence[str] | None = "4d9e27b6a0f3"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

MAX_STOCK = 2**31 - 1
# REPLACE deletes the row that is in its way without asking the triggers for DELETE.
# Of a row without an id SQLite says -1 before it is inserted: none may have that, or no other could be added.
GUARDS = {
    "audit_events_no_replace": "BEFORE INSERT ON audit_events WHEN NEW.id IN (SELECT id FROM audit_events)",
    "audit_events_no_negative_id": "AFTER INSERT ON audit_events WHEN NEW.id < 1",
}


def upgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        # Also where replication or a restore writes, or a session says that it does.
        op.execute("ALTER TABLE audit_events ENABLE ALWAYS TRIGGER audit_events_append_only")
        op.alter_column("generations", "number", type_=sa.BigInteger(), existing_type=sa.Integer())
        return
    for name, event in GUARDS.items():
        op.execute(f"CREATE TRIGGER {name} {event} BEGIN SELECT RAISE(ABORT, 'audit_events is append-only'); END")
    # SQLite's integers go on where PostgreSQL's end: orders that were cancelled have added to the greatest stock.
    op.execute(f"UPDATE items SET stock = {MAX_STOCK}, version = version + 1 WHERE stock > {MAX_STOCK}")  # noqa: S608 - a number of ours


def downgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.alter_column("generations", "number", type_=sa.Integer(), existing_type=sa.BigInteger())
        op.execute("ALTER TABLE audit_events ENABLE TRIGGER audit_events_append_only")
        return
    for name in GUARDS:
        op.execute(f"DROP TRIGGER {name}")
