"""create orders and order lines"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "8a1f4be20d37"
down_revision: str | Sequence[str] | None = "5c0e6f1d7a42"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def key() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def fixed_point(precision: int, scale: int) -> sa.types.TypeEngine[object]:
    return sa.Numeric(precision, scale).with_variant(sa.BigInteger(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "orders",
        sa.Column("id", key(), nullable=False),
        sa.Column("buyer_id", key(), nullable=True),
        sa.Column("total", fixed_point(16, 2), nullable=False),
        sa.Column("status", sa.Enum("placed", "paid", "cancelled", native_enum=False, length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["buyer_id"], ["users.id"], name="fk_orders_buyer_id_users", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name="pk_orders"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_orders_buyer_id_created_at_id", "orders", ["buyer_id", "created_at", "id"])
    op.create_index("ix_orders_created_at_id", "orders", ["created_at", "id"])
    op.create_table(
        "order_lines",
        sa.Column("id", key(), nullable=False),
        sa.Column("order_id", key(), nullable=False),
        sa.Column("item_id", key(), nullable=True),
        sa.Column("title", sa.String(100), nullable=False),
        sa.Column("unit_price", fixed_point(12, 2), nullable=False),
        sa.Column("tax_rate", fixed_point(5, 4), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("total", fixed_point(16, 2), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_order_lines_quantity_positive")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_order_lines_order_id_orders", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name="fk_order_lines_item_id_items", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name="pk_order_lines"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_order_lines_order_id", "order_lines", ["order_id"])
    op.create_index("ix_order_lines_item_id", "order_lines", ["item_id"])


def downgrade() -> None:
    op.drop_table("order_lines")
    op.drop_table("orders")
