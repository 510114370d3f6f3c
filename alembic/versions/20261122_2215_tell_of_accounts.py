"""tell of accounts and sessions that change or end, on PostgreSQL"""

from collections.abc import Sequence

from alembic import op

revision: str = "7b1f4c82d0a9"
down_revision: str | Sequence[str] | None = "de31865cc16f"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# The payload is the user's id: whatever happens to one in a transaction is told once. Of all users it is empty.
FUNCTION = (
    "CREATE FUNCTION strata_tell_of_accounts() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "IF TG_OP = 'TRUNCATE' THEN PERFORM pg_catalog.pg_notify('strata_accounts', ''); "
    "ELSIF TG_ARGV[0] = 'user' THEN PERFORM pg_catalog.pg_notify('strata_accounts', OLD.id::text); "
    "ELSE PERFORM pg_catalog.pg_notify('strata_accounts', OLD.user_id::text); "
    "END IF; RETURN NULL; END $$"
)
# Signing in, refreshing and registering stay silent: NOTIFY makes commits wait for each other.
TRIGGERS = {
    "strata_account_changed": "UPDATE ON users FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)",
    "strata_account_deleted": "DELETE ON users FOR EACH ROW",
    "strata_accounts_truncated": "TRUNCATE ON users FOR EACH STATEMENT",
    "strata_session_shortened": (
        "UPDATE ON sessions FOR EACH ROW "
        "WHEN (NEW.expires_at < OLD.expires_at OR NEW.user_id <> OLD.user_id OR NEW.id <> OLD.id)"
    ),
    "strata_session_ended": "DELETE ON sessions FOR EACH ROW",
    "strata_sessions_truncated": "TRUNCATE ON sessions FOR EACH STATEMENT",
}


def table_of(event: str) -> str:
    return event.split()[2]


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return  # one process has the file, and asks it
    op.execute(FUNCTION)
    for name, event in TRIGGERS.items():
        noun = table_of(event).removesuffix("s")
        op.execute(f"CREATE TRIGGER {name} AFTER {event} EXECUTE FUNCTION strata_tell_of_accounts('{noun}')")
        # Also where replication or a restore writes.
        op.execute(f"ALTER TABLE {table_of(event)} ENABLE ALWAYS TRIGGER {name}")


def downgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for name, event in TRIGGERS.items():
        op.execute(f"DROP TRIGGER {name} ON {table_of(event)}")
    op.execute("DROP FUNCTION strata_tell_of_accounts()")
