"""one link a user and purpose, and an index of imported passwords"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "4d9e27b6a0f3"
down_revision: str | Sequence[str] | None = "5e0c7ad91f36"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

FOREIGN_KEY_INDEX = "ix_one_time_tokens_user_id"
UNIQUE_INDEX = "ix_one_time_tokens_user_id_purpose"
BCRYPT_INDEX = "ix_users_bcrypt"
IS_BCRYPT = sa.text("substr(hashed_password, 1, 2) = '$2'")


def upgrade() -> None:
    # Not only those that were mailed twice: none is bound to all that is asked for now, so that none would work.
    op.execute("DELETE FROM one_time_tokens")
    op.create_index(UNIQUE_INDEX, "one_time_tokens", ["user_id", "purpose"], unique=True)
    op.drop_index(FOREIGN_KEY_INDEX, "one_time_tokens")
    op.create_index(BCRYPT_INDEX, "users", ["hashed_password"], postgresql_where=IS_BCRYPT, sqlite_where=IS_BCRYPT)


def downgrade() -> None:
    op.drop_index(BCRYPT_INDEX, "users")
    op.execute("DELETE FROM one_time_tokens")
    op.create_index(FOREIGN_KEY_INDEX, "one_time_tokens", ["user_id"])
    op.drop_index(UNIQUE_INDEX, "one_time_tokens")
