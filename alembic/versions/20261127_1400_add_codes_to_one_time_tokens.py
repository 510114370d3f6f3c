"""add codes to one-time tokens"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "8f41c2d90b67"
down_revision: str | Sequence[str] | None = "3d9a61c7e204"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    # Links that were mailed before have no code, and go on to work.
    op.add_column("one_time_tokens", sa.Column("address_key", sa.String(320), nullable=True))
    op.add_column("one_time_tokens", sa.Column("code_digest", sa.String(64), nullable=True))
    op.add_column("one_time_tokens", sa.Column("wrong_codes", sa.Integer(), nullable=False, server_default="0"))
    op.create_index("ix_one_time_tokens_address_key", "one_time_tokens", ["address_key"])


def downgrade() -> None:
    op.drop_index("ix_one_time_tokens_address_key", "one_time_tokens")
    for name in ("wrong_codes", "code_digest", "address_key"):
        op.drop_column("one_time_tokens", name)
