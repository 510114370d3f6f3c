"""name sessions by random keys, and keep what tells thieves from owners within the grace time"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "5e0c7ad91f36"
down_revision: str | Sequence[str] | None = "c1a75e0b94d2"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TRIGGER = "strata_session_shortened"
SHORTENED = "NEW.expires_at < OLD.expires_at OR NEW.user_id <> OLD.user_id OR NEW.id <> OLD.id"


def upgrade() -> None:
    # Tokens that are out name no key: nobody can tell whose they are once ids have been given again.
    op.execute("DELETE FROM sessions")
    with op.batch_alter_table("sessions", table_kwargs={"sqlite_autoincrement": True}) as sessions:
        sessions.add_column(sa.Column("key", sa.String(32), nullable=False))
        sessions.add_column(sa.Column("rotated_ip", sa.Text(), nullable=True))
        sessions.add_column(sa.Column("rotated_user_agent", sa.Text(), nullable=True))
        sessions.add_column(sa.Column("foreign_uses", sa.Integer(), nullable=False))
    tell_when(f"{SHORTENED} OR NEW.key <> OLD.key")


def downgrade() -> None:
    # Before the column that it reads.
    tell_when(SHORTENED)
    with op.batch_alter_table("sessions", table_kwargs={"sqlite_autoincrement": True}) as sessions:
        for name in ("foreign_uses", "rotated_user_agent", "rotated_ip", "key"):
            sessions.drop_column(name)


def tell_when(condition: str) -> None:
    """What the account cache has to hear of; see the migration "tell of accounts"."""
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute(f"DROP TRIGGER {TRIGGER} ON sessions")
    op.execute(
        f"CREATE TRIGGER {TRIGGER} AFTER UPDATE ON sessions FOR EACH ROW WHEN ({condition}) "
        "EXECUTE FUNCTION strata_tell_of_accounts('session')"
    )
    op.execute(f"ALTER TABLE sessions ENABLE ALWAYS TRIGGER {TRIGGER}")
