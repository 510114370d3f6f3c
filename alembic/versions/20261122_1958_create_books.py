"""create books"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "de31865cc16f"
down_revision: str | Sequence[str] | None = "e93b07c5d8f4"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def key() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "books",
        sa.Column("id", key(), nullable=False),
        sa.Column("title", sa.String(255), nullable=False),
        sa.Column("author", sa.String(255), nullable=False),
        sa.Column("release_year", sa.Integer(), nullable=False),
        sa.Column("isbn", sa.String(255), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_books"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_books_created_at_id", "books", ["created_at", "id"])
    op.create_index("ix_books_author_id", "books", ["author", "id"])
    op.create_index("ix_books_release_year_id", "books", ["release_year", "id"])


def downgrade() -> None:
    op.drop_table("books")
