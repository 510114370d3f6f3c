"""create jobs and their workers"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "3d9a61c7e204"
down_revision: str | Sequence[str] | None = "b7d2640f8e15"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# One notification for each transaction: PostgreSQL drops repeated ones.
FUNCTION = (
    "CREATE FUNCTION strata_tell_of_jobs() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "PERFORM pg_catalog.pg_notify('strata_jobs', ''); RETURN NULL; END $$"
)
TRIGGER = (
    "CREATE TRIGGER strata_job_added AFTER INSERT ON jobs FOR EACH STATEMENT EXECUTE FUNCTION strata_tell_of_jobs()"
)
# Each job is written three times: without these its dead rows would outnumber those that live.
STORAGE = (
    "ALTER TABLE jobs SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, "
    "autovacuum_vacuum_cost_delay = 0)"
)


def key() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def index(name: str, *columns: str, where: str, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, "jobs", list(columns), unique=unique, postgresql_where=condition, sqlite_where=condition)


def upgrade() -> None:
    op.create_table(
        "job_workers",
        sa.Column("id", key(), nullable=False),
        sa.Column("signs", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_job_workers"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "jobs",
        sa.Column("id", key(), nullable=False),
        sa.Column("kind", sa.String(100), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("run_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("worker_id", key(), nullable=True),
        sa.Column("unique_key", sa.String(255), nullable=True),
        sa.Column("error", sa.String(500), nullable=True),
        sa.Column("request_id", sa.String(128), nullable=True),
        sa.Column("user_id", key(), nullable=True),
        sa.Column("delete_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["worker_id"], ["job_workers.id"], name="fk_jobs_worker_id_job_workers"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_jobs_user_id_users", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sqlite_autoincrement=True,
    )
    index("ix_jobs_ready", "priority", "id", where="status = 'queued' AND run_at IS NULL")
    index("ix_jobs_suspects", "id", where="status = 'queued' AND run_at IS NULL AND crashes > 0")
    index("ix_jobs_run_at", "run_at", where="status = 'queued' AND run_at IS NOT NULL")
    index("ix_jobs_worker_id", "worker_id", where="worker_id IS NOT NULL")
    index("ix_jobs_delete_at", "delete_at", where="delete_at IS NOT NULL")
    index("ix_jobs_user_id", "user_id", where="user_id IS NOT NULL")
    index("uq_jobs_kind_unique_key", "kind", "unique_key", where="unique_key IS NOT NULL", unique=True)
    op.create_index("ix_jobs_status_id", "jobs", ["status", "id"])
    op.create_index("ix_jobs_kind_id", "jobs", ["kind", "id"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute(FUNCTION)
        op.execute(TRIGGER)
        op.execute("ALTER TABLE jobs ENABLE ALWAYS TRIGGER strata_job_added")
        op.execute(STORAGE)


def downgrade() -> None:
    op.drop_table("jobs")
    op.drop_table("job_workers")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION strata_tell_of_jobs()")
